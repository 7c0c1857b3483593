"""The sections of ``topology.yaml``: shapes and the rules that one field can check alone."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
)

from topology.credentials import CredentialRef

Role = Literal[
    "alphaswarm",
    "alphaswarm_owner",
    "alphaswarm_app",
    "alphaswarm_writer",
    "alphaswarm_reader",
]
"""Database roles: superuser, owner of the tables, servers and workers, lake writer, lake reader."""

Queue = Literal["control", "interactive", "batch"]
"""The queues of work, each served by its own group of processes."""

_DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "redis": 6379, "rediss": 6379}
_NAME = r"^[a-z][a-z0-9_-]{0,31}$"


class Section(BaseModel):
    """A frozen part of the map that knows all its keys and never repeats a value in an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True
    )


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def port_of(url: str) -> int | None:
    """Return the port of a URL, its scheme's default where none is written."""
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _checked_url(text: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(
            f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"
        )
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; name a credential")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must have no query and no fragment")
    if not text.startswith(f"{parts.scheme}://{parts.netloc.lower()}"):
        raise ValueError("scheme and host must be lower-case")
    if port is not None and port == _DEFAULT_PORTS.get(parts.scheme):
        raise ValueError(f"must not write the default port {port}")
    if text.endswith("/"):
        raise ValueError("must not end with a slash")
    return text


def _web_url(text: str) -> str:
    _checked_url(text, ("http", "https"))
    parts = urlsplit(text)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https beyond this machine")
    return text


def _base_url(text: str) -> str:
    if urlsplit(_web_url(text)).path:
        raise ValueError("must have no path")
    return text


def _origin(text: str) -> str:
    return _base_url(text)


def _postgres_url(text: str) -> str:
    return _checked_url(text, ("postgresql",))


def _valkey_url(text: str) -> str:
    return _checked_url(text, ("redis", "rediss"))


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address such as 127.0.0.1 or '::1'") from None


def _redirect(text: str) -> str:
    if text == "loopback":
        return text
    if re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s#]+", text) is None:
        raise ValueError("must be 'loopback' or a whole URI without a fragment")
    return text


def _reference(text: str) -> str:
    return str(CredentialRef.parse(text))


WebUrl = Annotated[str, AfterValidator(_web_url)]
Path_ = Annotated[str, Field(pattern=r"^(/[a-z0-9][a-z0-9_.-]*)+$")]
Seconds = Annotated[PositiveFloat, Field(le=86_400 * 365)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Name = Annotated[str, Field(pattern=_NAME)]
Scope = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*$")]


class Listen(Section):
    """Where the servers listen, and which web pages besides ours may call them."""

    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(min_length=1)
    port: Port
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()


class Issuer(Section):
    """An authorization server; ``embedded`` is ours, at ``base_url`` + ``path``."""

    kind: Literal["embedded"]
    path: Path_
    algs: tuple[Literal["ES256"], ...] = Field(default=("ES256",), min_length=1)


class Client(Section):
    """A pre-registered public client; ``loopback`` stands for any port of this machine."""

    title: str = Field(default="", max_length=80)
    redirects: tuple[Annotated[str, AfterValidator(_redirect)], ...] = Field(min_length=1)


class Registration(Section):
    """What dynamic client registration accepts besides loopback redirects: whole URIs."""

    redirects: tuple[Annotated[str, AfterValidator(_redirect)], ...] = ()


class Server(Section):
    """An MCP server; ``url`` and ``audience`` are derived unless an ingress changes them."""

    path: Path_
    issuer: Name
    scopes: tuple[Scope, ...] = Field(min_length=1)
    url: WebUrl | None = None
    audience: WebUrl | None = None


class Workers(Section):
    """A group of worker processes for one queue."""

    processes: Annotated[int, Field(ge=1, le=256)] = 1
    threads: Annotated[int, Field(ge=1, le=256)]


class EmbeddedPostgres(Section):
    """PostgreSQL from the wheel (or ``binaries``), under our supervisor."""

    kind: Literal["embedded"]
    binaries: str | None = None
    state_dir: str | None = None
    max_connections: Annotated[int, Field(ge=20, le=10_000)] = 200


class RemotePostgres(Section):
    """PostgreSQL somewhere else; ``credentials`` names one credential per role."""

    kind: Literal["url"]
    url: Annotated[str, AfterValidator(_postgres_url)]
    credentials: dict[Role, Name] = Field(default_factory=dict)
    sslmode: Literal["verify-full", "verify-ca", "require"] | None = None


class EmbeddedValkey(Section):
    """Valkey from the wheel (or ``binaries``), under our supervisor."""

    kind: Literal["embedded"]
    binaries: str | None = None


class RemoteValkey(Section):
    """Valkey somewhere else, one node or a primary with replicas; never cluster mode."""

    kind: Literal["url"]
    url: Annotated[str, AfterValidator(_valkey_url)]
    credential: Name | None = None


class Warehouse(Section):
    """The folder of the Iceberg tables; relative paths start at the home."""

    path: Annotated[str, Field(min_length=1)]


class Catalog(Section):
    """The Iceberg catalog; ``sql`` keeps it in the database ``lake``."""

    kind: Literal["sql"]


class Stores(Section):
    """Where the record, the queue and the tables are."""

    postgres: Annotated[EmbeddedPostgres | RemotePostgres, Field(discriminator="kind")]
    valkey: Annotated[EmbeddedValkey | RemoteValkey, Field(discriminator="kind")]
    warehouse: Warehouse
    catalog: Catalog


class Credential(Section):
    """Where a secret comes from, never the secret."""

    source: Annotated[str, AfterValidator(_reference)] = Field(alias="from")


class Allowed(Section):
    """A place outside this machine that named purposes may reach."""

    host: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
    port: Port = 443
    purposes: tuple[Name, ...] = Field(alias="for", min_length=1)


class Egress(Section):
    """What may leave this machine: nothing, unless it is listed."""

    default: Literal["deny"] = "deny"
    allow: tuple[Allowed, ...] = ()

    def allows(self, host: str, port: int) -> bool:
        """Tell whether ``host:port`` is this machine or listed."""
        return is_loopback(host) or any((a.host, a.port) == (host, port) for a in self.allow)


class Ingest(Section):
    """Absolute folders that ``ingest`` may read besides the inbox."""

    folders: tuple[Annotated[str, Field(pattern=r"^/.+")], ...] = ()


class HaltLimits(Section):
    """How fast work must stop: warn at ``grace_s``, kill at ``kill_s``."""

    grace_s: Seconds = 3
    kill_s: Seconds = 5
    heartbeat_s: Seconds = 2
    poll_s: Seconds = 0.25


class SqlLimits(Section):
    """What one query of an agent may cost."""

    timeout_s: Seconds = 3
    memory_mb: Annotated[int, Field(ge=16, le=1_048_576)] = 256
    max_rows: PositiveInt = 10_000


class SpecLimits(Section):
    """How large and how deep a spec may be."""

    bytes: PositiveInt = 262_144
    depth: Annotated[int, Field(ge=4, le=256)] = 64


class TokenLimits(Section):
    """Lifetimes in seconds."""

    access_s: PositiveInt = 900
    code_s: PositiveInt = 60
    refresh_s: PositiveInt = 1_209_600
    absolute_s: PositiveInt = 7_776_000


class Limits(Section):
    """Every bound that operators may move."""

    halt: HaltLimits = HaltLimits()
    sql: SqlLimits = SqlLimits()
    spec: SpecLimits = SpecLimits()
    tokens: TokenLimits = TokenLimits()
    lease_s: Seconds = 30
    reap_s: Seconds = 3
    exports_s: Seconds = 604_800


class Map(Section):
    """The whole of ``topology.yaml`` after its overlay."""

    version: Literal[1]
    listen: Listen
    base_url: Annotated[str, AfterValidator(_base_url)]
    issuers: dict[Name, Issuer] = Field(min_length=1)
    clients: dict[Name, Client] = Field(default_factory=dict)
    registration: Registration = Registration()
    servers: dict[Name, Server] = Field(min_length=1)
    workers: dict[Queue, Workers]
    stores: Stores
    credentials: dict[Name, Credential] = Field(default_factory=dict)
    egress: Egress = Egress()
    ingest: Ingest = Ingest()
    limits: Limits = Limits()
    profiles: dict[Name, dict[str, Any]] = Field(default_factory=dict)
