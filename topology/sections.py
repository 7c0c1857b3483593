"""The sections of ``topology.yaml``: which there are, and the rules that one can check alone."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from topology.fields import (
    AbsolutePath,
    BaseUrl,
    HostName,
    IpAddress,
    Name,
    Port,
    PostgresUrl,
    Redirect,
    Reference,
    Scope,
    Seconds,
    Section,
    ServerPath,
    ValkeyUrl,
    WebUrl,
    is_loopback,
)
from topology.issuers import Actor, Issuer, Resource
from topology.models import Model
from topology.sources import Source
from topology.stacks import Terraform
from topology.triggers import Trigger
from topology.workloads import Workloads

_IMAGE = r"^[a-z0-9][a-z0-9._/:-]*(@sha256:[0-9a-f]{64})?$"

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


class Listen(Section):
    """Where the servers listen, and which web pages besides ours may call them."""

    hosts: tuple[IpAddress, ...] = Field(min_length=1)
    port: Port
    origins: tuple[BaseUrl, ...] = ()


GrantName = Literal["authorization_code", "device_code", "token_exchange", "client_credentials"]
"""Ways to a token. Refresh tokens come with the first two."""


class Jwk(Section):
    """A public P-256 key (RFC 7517); a private member has no place here."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    y: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    kid: Annotated[str, Field(min_length=1, max_length=128)]
    use: Literal["sig"] = "sig"
    alg: Literal["ES256"] = "ES256"


class Client(Section):
    """A pre-registered client; ``loopback`` among its redirects is any port of this machine.

    With ``keys`` it is confidential and signs its requests (private_key_jwt): public keys, or
    ``file:/..`` of a JWK set, or ``home``: a key pair in the home's ``keys/``, made at the start.
    ``scopes`` are what it may have on its own behalf (client_credentials).
    """

    title: str = Field(default="", max_length=80)
    redirects: tuple[Redirect, ...] = ()
    grants: tuple[GrantName, ...] = Field(default=("authorization_code",), min_length=1)
    keys: Annotated[str, Field(pattern=r"^(home|file:/.+)$")] | tuple[Jwk, ...] | None = None
    scopes: tuple[Scope, ...] = ()


class Exchange(Section):
    """A client that may exchange a person's token for ``source`` for one of each target.

    A target is a server, or one of ``resources``. ``scopes`` is the most that the new token can
    hold; a step-up scope never is.
    """

    client: Name
    source: Name
    targets: tuple[Name, ...] = Field(min_length=1)
    scopes: tuple[Scope, ...] = Field(min_length=1)


class Registration(Section):
    """What dynamic client registration accepts besides loopback redirects: whole URIs."""

    redirects: tuple[Redirect, ...] = ()


class Server(Section):
    """An MCP server; ``url`` and ``audience`` are derived unless an ingress changes them.

    People sign in at ``issuer``; tokens of those in ``trusts`` are taken as well.
    """

    path: ServerPath
    issuer: Name
    trusts: tuple[Name, ...] = ()
    scopes: tuple[Scope, ...] = Field(min_length=1)
    url: WebUrl | None = None
    audience: WebUrl | None = None
    allowed_actors: tuple[Actor, ...] | None = None
    """Machine clients that may act there for a person; null is every pre-registered one."""


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
    url: PostgresUrl
    credentials: dict[Role, Name] = Field(default_factory=dict)
    sslmode: Literal["verify-full", "verify-ca", "require"] | None = None


class EmbeddedValkey(Section):
    """Valkey from the wheel (or ``binaries``), under our supervisor."""

    kind: Literal["embedded"]
    binaries: str | None = None


class RemoteValkey(Section):
    """Valkey somewhere else, one node or a primary with replicas; never cluster mode."""

    kind: Literal["url"]
    url: ValkeyUrl
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

    source: Reference = Field(alias="from")


Purpose = Literal["ingest", "stores", "models", "identity", "stacks", "workloads"]
"""What dials out: providers, stores elsewhere, language models, readers of issuers' keys,
Terraform for its providers, workloads for their cluster."""


class Allowed(Section):
    """A place that named purposes may reach.

    ``address`` is where the name may lead: a ``public`` address, the ``lan`` or ``loopback``.
    Null: what the host itself says, and ``public`` for every name but ``localhost``.
    """

    host: HostName
    port: Port = 443
    purposes: tuple[Purpose, ...] = Field(alias="for", min_length=1)
    address: Literal["public", "lan", "loopback"] | None = None


def address_of(allowed: Allowed) -> Literal["public", "lan", "loopback"]:
    """Return the kind of address that ``allowed`` may lead to."""
    if allowed.address is not None:
        return allowed.address
    if is_loopback(allowed.host):
        return "loopback"
    try:
        return "public" if ipaddress.ip_address(allowed.host).is_global else "lan"
    except ValueError:
        return "public"


class Egress(Section):
    """What may leave this machine: nothing, unless it is listed; see `topology.egress.Guard`.

    ``cimd`` lets the issuer read the metadata documents of clients whose id is an https URL, at
    public addresses only. ``cloud`` lets runs that a person stepped up for send prompts to models
    beyond the private network.
    """

    default: Literal["deny"] = "deny"
    allow: tuple[Allowed, ...] = ()
    cimd: bool = False
    cloud: bool = False

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a store at ``host:port`` is on this machine or listed."""
        return is_loopback(host) or any((a.host, a.port) == (host, port) for a in self.allow)


class Ingest(Section):
    """Absolute folders that ``ingest`` may read besides the inbox."""

    folders: tuple[AbsolutePath, ...] = ()


class Maintenance(Section):
    """When workers tidy the lake: nightly at ``at`` (UTC), and where a table has grown untidy.

    Untidy is a table with so many ``small_files`` in one partition or so many ``snapshots`` that no
    run names; ``look_s`` is how often that is asked.
    """

    enabled: bool = True
    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "03:30"
    look_s: Seconds = 60
    small_files: Annotated[int, Field(ge=5, le=10_000)] = 50
    snapshots: Annotated[int, Field(ge=100, le=100_000)] = 200


class Audit(Section):
    """Where heads of the audit chain go, besides the home's ``logs/audit.heads``, and how often.

    ``copies`` are absolute files, best where the owner of the database cannot write over them.
    """

    publish_s: Seconds = 1
    copies: tuple[AbsolutePath, ...] = ()


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

    access_s: Annotated[int, Field(ge=1, le=900)] = 900
    code_s: Annotated[int, Field(ge=1, le=600)] = 60
    refresh_s: PositiveInt = 1_209_600
    absolute_s: Annotated[int, Field(ge=1, le=31_536_000)] = 7_776_000
    device_s: Annotated[int, Field(ge=60, le=1_800)] = 600
    exchanged_s: Annotated[int, Field(ge=10, le=120)] = 120
    job_s: Annotated[int, Field(ge=60, le=300)] = 120


class RequestLimits(Section):
    """What one address may ask of one endpoint of the issuer within a minute.

    More than ``per_minute`` requests, or ``failures`` refused ones, are answered by 429 until the
    minute is over.
    """

    per_minute: Annotated[int, Field(ge=10, le=10_000_000)] = 30_000
    failures: Annotated[int, Field(ge=5, le=10_000_000)] = 300


class IngestLimits(Section):
    """What one ingest may hold in memory, in MB, before it works on disk."""

    memory_mb: int = Field(default=512, ge=128, le=1_048_576)


class SweepLimits(Section):
    """How many trials one run may have, and in how many threads of a worker they are played."""

    trials: Annotated[int, Field(ge=1, le=10_000)] = 5_000
    threads: Annotated[int, Field(ge=1, le=256)] = 2


class StrategyLimits(Section):
    """Bounds of a strategy's own code: seconds of one bar and of the start, and memory.

    They hold for scripts, for strategies of installed packages and for submitted source, which run
    in a process of their own. ``cpu_s`` is the processor time that submitted source has for a run.
    """

    bar_s: Seconds = 10
    plan_s: Seconds = 120
    cpu_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    memory_mb: Annotated[int, Field(ge=16, le=1_000_000)] = 1_024


class Limits(Section):
    """Every bound that operators may move."""

    halt: HaltLimits = HaltLimits()
    sql: SqlLimits = SqlLimits()
    spec: SpecLimits = SpecLimits()
    tokens: TokenLimits = TokenLimits()
    requests: RequestLimits = RequestLimits()
    lease_s: Seconds = 30
    reap_s: Seconds = 3
    exports_s: Seconds = 604_800
    ingest: IngestLimits = IngestLimits()
    sweep: SweepLimits = SweepLimits()
    strategy: StrategyLimits = StrategyLimits()


class Deployment(Section):
    """What containers of this suite are made of; see `topology.render`.

    ``image`` is best named by digest. ``storage`` and ``storage_class`` (null: the cluster's own)
    are those of the volume that all pods share.
    """

    image: Annotated[str, Field(pattern=_IMAGE)] = "alphaswarm:0.1.0"
    namespace: Name = "alphaswarm"
    storage: Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")] = "20Gi"
    storage_class: Name | None = None


class Map(Section):
    """The whole of ``topology.yaml`` after its overlay."""

    version: Literal[1]
    listen: Listen
    base_url: BaseUrl
    issuers: dict[Name, Issuer] = Field(min_length=1)
    clients: dict[Name, Client] = Field(default_factory=dict)
    exchange: tuple[Exchange, ...] = ()
    registration: Registration = Registration()
    resources: dict[Name, Resource] = Field(default_factory=dict)
    servers: dict[Name, Server] = Field(min_length=1)
    workers: dict[Queue, Workers]
    stores: Stores
    credentials: dict[Name, Credential] = Field(default_factory=dict)
    egress: Egress = Egress()
    ingest: Ingest = Ingest()
    providers: dict[Name, Source] = Field(default_factory=dict)
    models: dict[Name, Model] = Field(default_factory=dict)
    maintenance: Maintenance = Maintenance()
    triggers: dict[Name, Trigger] = Field(default_factory=dict)
    limits: Limits = Limits()
    audit: Audit = Audit()
    terraform: Terraform = Terraform()
    workload: Workloads = Workloads()
    deployment: Deployment = Deployment()
    profiles: dict[Name, dict[str, Any]] = Field(default_factory=dict)
