"""What one field cannot know alone: the rules between the sections of the map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args
from urllib.parse import urlsplit

from topology import clients, egress, stacks, triggers, trust, workloads
from topology.errors import did_you_mean
from topology.fields import is_loopback, port_of
from topology.issuers import EmbeddedIssuer
from topology.marks import Path
from topology.models import ADDRESS, Model
from topology.redact import looks_secret
from topology.sections import Map, Queue, RemotePostgres, RemoteValkey, address_of
from topology.sources import FromCredential, HttpSource

Finding = tuple[Path, str]

_SECRET_KEYS = ("password", "passwd", "secret", "token", "api_key", "apikey", "private_key")


def findings(topology: Map, *, profile: str) -> Iterator[Finding]:
    """Yield every broken rule with the path of what breaks it."""
    yield from _listening(topology, profile)
    yield from _addresses(topology)
    yield from _scopes(topology)
    yield from trust.findings(topology)
    yield from clients.findings(topology)
    yield from _credentials(topology)
    yield from _egress(topology)
    yield from _sources(topology)
    yield from _models(topology)
    yield from _work(topology)
    yield from triggers.findings(topology.triggers)
    yield from stacks.findings(topology.terraform, topology.credentials)
    yield from workloads.findings(topology.workload, topology.credentials)


def secrets(data: Any, path: Path = ()) -> Iterator[Finding]:
    """Yield every place of raw data that holds a literal secret, without the value."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            inner = (*path, key)
            named = any(word in str(key).lower() for word in _SECRET_KEYS)
            if clients.is_public_key(inner):
                continue
            if isinstance(value, str) and named:
                yield inner, "a literal secret has no place here: name a credential"
            else:
                yield from secrets(value, inner)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from secrets(value, (*path, index))
    elif isinstance(data, str) and _holds_secret(data):
        yield path, "looks like a literal secret: name a credential instead"


def _holds_secret(text: str) -> bool:
    authority = text.partition("://")[2].partition("/")[0]
    return looks_secret(text) or "@" in authority


def _listening(topology: Map, profile: str) -> Iterator[Finding]:
    listen, base = topology.listen, urlsplit(topology.base_url)
    for index, host in enumerate(listen.hosts):
        path = ("listen", "hosts", index)
        if host in listen.hosts[:index]:
            yield path, "the same host stands above"
        if is_loopback(host):
            continue
        if profile == "embedded":
            yield path, "the embedded profile listens on loopback only: 127.0.0.1 or '::1'"
        elif base.scheme != "https":
            yield path, "beyond loopback base_url must be https"
    if is_loopback(base.hostname or "") and port_of(topology.base_url) != listen.port:
        yield ("base_url",), f"names another port than listen.port, {listen.port}"


def _addresses(topology: Map) -> Iterator[Finding]:
    audiences: dict[str, str] = {}
    issuers = topology.issuers.items()
    paths = {one.path: f"issuers.{key}" for key, one in issuers if isinstance(one, EmbeddedIssuer)}
    for name, server in topology.servers.items():
        here = ("servers", name)
        owner = paths.setdefault(server.path, f"servers.{name}")
        if owner != f"servers.{name}":
            yield (*here, "path"), f"{owner} has the same path"
        audience = server.audience or server.url or topology.base_url + server.path
        owner = audiences.setdefault(audience, name)
        if owner != name:
            key = "audience" if server.audience else "url" if server.url else "path"
            yield (*here, key), f"servers.{owner} has the same audience"


def _scopes(topology: Map) -> Iterator[Finding]:
    for name, server in topology.servers.items():
        path = ("servers", name, "scopes")
        for index, scope in enumerate(server.scopes):
            if not scope.startswith(f"{name}:"):
                yield (*path, index), f"belongs to another server: write {name}:..."
            if scope in server.scopes[:index]:
                yield (*path, index), "the same scope stands above"
        if f"{name}:read" not in server.scopes:
            yield path, f"must hold {name}:read"


def _credentials(topology: Map) -> Iterator[Finding]:
    used: list[tuple[Path, str]] = []
    if isinstance(topology.stores.postgres, RemotePostgres):
        roles = topology.stores.postgres.credentials
        here = ("stores", "postgres", "credentials")
        used += [((*here, role), name) for role, name in roles.items()]
    if isinstance(topology.stores.valkey, RemoteValkey) and topology.stores.valkey.credential:
        used.append((("stores", "valkey", "credential"), topology.stores.valkey.credential))
    for path, name in used:
        if name not in topology.credentials:
            yield path, f"no such credential. {did_you_mean(name, topology.credentials)}".rstrip()


def _egress(topology: Map) -> Iterator[Finding]:
    for store in ("postgres", "valkey"):
        entry = getattr(topology.stores, store)
        if not isinstance(entry, RemotePostgres | RemoteValkey):
            continue
        host, port = urlsplit(entry.url).hostname or "", port_of(entry.url) or 0
        path = ("stores", store, "url")
        if not topology.egress.allows(host, port):
            yield path, f"egress.allow does not list {host} port {port}"
        plain = (
            not entry.sslmode if isinstance(entry, RemotePostgres) else "rediss" not in entry.url
        )
        if plain and not is_loopback(host):
            cure = "set sslmode" if isinstance(entry, RemotePostgres) else "write rediss://"
            yield path, f"must be encrypted beyond this machine: {cure}"


def _sources(topology: Map) -> Iterator[Finding]:
    for name, source in topology.providers.items():
        here: Path = ("providers", name)
        if isinstance(source, HttpSource):
            yield from _sent(topology, source, here)
            yield from _paged(source, here)
            yield from _reached(topology, source.url, (*here, "url"))
        elif source.mirror is not None:
            yield from _reached(topology, source.mirror, (*here, "mirror"))


def _sent(topology: Map, source: HttpSource, here: Path) -> Iterator[Finding]:
    values = [("headers", *item) for item in source.headers.items()]
    values += [("query", *item) for item in source.query.items()]
    for key, field, value in values:
        if isinstance(value, FromCredential) and value.credential not in topology.credentials:
            hint = did_you_mean(value.credential, topology.credentials)
            yield (*here, key, field), f"no such credential. {hint}".rstrip()


def _paged(source: HttpSource, here: Path) -> Iterator[Finding]:
    wanted = {"page": ("page", "offset"), "cursor": ("cursor",)}.get(source.pagination.kind, ())
    if wanted and not source.places & set(wanted):
        names = " or ".join(f"{{{name}}}" for name in wanted)
        yield (*here, "pagination"), f"needs {names} in the url: each page would be the first"


def _reached(topology: Map, url: str, here: Path) -> Iterator[Finding]:
    host, port = urlsplit(url).hostname or "", port_of(url) or 0
    if not egress.Guard(topology.egress, "ingest").lists(host, port):
        yield here, f"egress.allow must hold {egress.line(host, port, ['ingest'])}"


def _models(topology: Map) -> Iterator[Finding]:
    for name, model in topology.models.items():
        here: Path = ("models", name)
        if model.credential is not None and model.credential not in topology.credentials:
            hint = did_you_mean(model.credential, topology.credentials)
            yield (*here, "credential"), f"no such credential. {hint}".rstrip()
        yield from _asked(topology, model, here)
        if model.egress == "cloud" and not topology.egress.cloud:
            yield (*here, "egress"), "nothing goes to a cloud unless egress.cloud is true"
        if model.egress == "cloud" and model.price is None:
            yield here, "needs a price: a budget of money means nothing without one"


def _asked(topology: Map, model: Model, here: Path) -> Iterator[Finding]:
    """Yield why a model's origin cannot be reached, or is of another kind than ``egress`` says."""
    allowed = egress.Guard(topology.egress, "models").find(*model.place)
    if allowed is None:
        kind = "lan" if model.egress == "lan" else None
        entry = egress.line(*model.place, ["models"], kind)
        yield (*here, "base_url"), f"egress.allow must hold {entry}"
    elif address_of(allowed) != ADDRESS[model.egress]:
        yield (*here, "egress"), f"egress.allow says that this host is {address_of(allowed)}"
    if model.egress == "cloud" and not model.base_url.startswith("https:"):
        yield (*here, "base_url"), "must be https beyond the private network"


def _work(topology: Map) -> Iterator[Finding]:
    for queue in get_args(Queue):
        if queue not in topology.workers:
            yield ("workers",), f"no group serves the queue {queue!r}"
    limits = topology.limits
    ordered = [
        (("halt",), "grace_s", limits.halt.grace_s, "kill_s", limits.halt.kill_s),
        (("tokens",), "refresh_s", limits.tokens.refresh_s, "absolute_s", limits.tokens.absolute_s),
        ((), "reap_s", limits.reap_s, "lease_s", limits.lease_s),
    ]
    for section, low, small, high, large in ordered:
        if small > large:
            yield ("limits", *section, low), f"must not be above {high}"
