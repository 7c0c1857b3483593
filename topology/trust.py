"""The rules of who is trusted for tokens: nothing in the map may make a check weaker than ours."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from topology import egress
from topology.clients import STEP_UP
from topology.errors import did_you_mean
from topology.fields import port_of
from topology.issuers import EmbeddedIssuer, ExternalIssuer
from topology.marks import Path
from topology.sections import Map

Finding = tuple[Path, str]


def findings(topology: Map) -> Iterator[Finding]:
    """Yield every broken rule of issuers, of what they may say, and of resources elsewhere."""
    yield from _named(topology)
    yield from _once(topology)
    for name, issuer in topology.issuers.items():
        if isinstance(issuer, ExternalIssuer):
            here: Path = ("issuers", name)
            yield from _reached(topology, issuer, here)
            yield from _audiences(topology, name, issuer, here)
            yield from _scopes(topology, name, issuer, here)
            yield from _sign_ins(topology, name, issuer, here)
    yield from _resources(topology)


def _named(topology: Map) -> Iterator[Finding]:
    for name, server in topology.servers.items():
        named: list[tuple[Path, str]] = [(("issuer",), server.issuer)]
        named += [(("trusts", index), one) for index, one in enumerate(server.trusts)]
        seen: set[str] = set()
        for path, issuer in named:
            here: Path = ("servers", name, *path)
            if issuer not in topology.issuers:
                yield here, f"no such issuer. {did_you_mean(issuer, topology.issuers)}"
            elif issuer in seen:
                yield here, "the same issuer stands before"
            seen.add(issuer)


def _once(topology: Map) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, issuer in topology.issuers.items():
        external = isinstance(issuer, ExternalIssuer)
        address = issuer.issuer if isinstance(issuer, ExternalIssuer) else "our own"
        owner = seen.setdefault(address, name)
        if owner != name and external:
            yield ("issuers", name, "issuer"), f"issuers.{owner} has the same address"
        elif owner != name:
            yield ("issuers", name), f"a suite has one issuer of its own, issuers.{owner}"
        elif isinstance(issuer, ExternalIssuer) and issuer.issuer in _own(topology):
            yield ("issuers", name, "issuer"), "this is our own issuer: write kind: embedded"


def _own(topology: Map) -> list[str]:
    ours = (one for one in topology.issuers.values() if isinstance(one, EmbeddedIssuer))
    return [topology.base_url + one.path for one in ours]


def _reached(topology: Map, issuer: ExternalIssuer, here: Path) -> Iterator[Finding]:
    host, port = urlsplit(issuer.issuer).hostname or "", port_of(issuer.issuer) or 0
    if not egress.Guard(topology.egress, "identity").lists(host, port):
        line = egress.line(host, port, ["identity"])
        yield (*here, "issuer"), f"egress.allow must hold {line}"


def _users(topology: Map, issuer: str) -> dict[str, tuple[str, ...]]:
    """Return the servers that take an issuer's tokens, with their scopes."""
    servers = topology.servers.items()
    return {n: one.scopes for n, one in servers if issuer in (one.issuer, *one.trusts)}


def _audiences(topology: Map, name: str, issuer: ExternalIssuer, here: Path) -> Iterator[Finding]:
    users, owners = _users(topology, name), _urls(topology)
    for server, audience in issuer.audience.items():
        path = (*here, "audience", server)
        if server not in users:
            yield path, f"no such server of this issuer. {did_you_mean(server, users)}".rstrip()
        owner = owners.setdefault(audience, server)
        if owner != server:
            yield path, f"servers.{owner} has the same audience"


def _urls(topology: Map) -> dict[str, str]:
    """Return which server each declared audience means."""
    return {
        one.audience or one.url or topology.base_url + one.path: name
        for name, one in topology.servers.items()
    }


def _scopes(topology: Map, name: str, issuer: ExternalIssuer, here: Path) -> Iterator[Finding]:
    known = {scope for scopes in _users(topology, name).values() for scope in scopes}
    for value, scopes in issuer.scopes.items():
        for index, scope in enumerate(scopes):
            if scope not in known:
                hint = did_you_mean(scope, known)
                path = (*here, "scopes", value, index)
                yield path, f"no server of this issuer has this scope. {hint}".rstrip()


def _sign_ins(topology: Map, name: str, issuer: ExternalIssuer, here: Path) -> Iterator[Finding]:
    worth = issuer.step_up.acr.values() if issuer.step_up else ()
    if max(worth, default=0) >= 2:
        return
    path = (*here, "step_up", "acr") if issuer.step_up else here
    for server, declared in topology.servers.items():
        classes = sorted(STEP_UP & set(declared.scopes))
        if declared.issuer == name and classes:
            what = "step_up.acr must say which kinds of sign-in are worth 2, a second factor"
            yield path, f"servers.{server} has {classes[0]}: {what}"


def _resources(topology: Map) -> Iterator[Finding]:
    owners = {audience: f"servers.{name}" for audience, name in _urls(topology).items()}
    for name, resource in topology.resources.items():
        here: Path = ("resources", name)
        if name in topology.servers:
            yield here, "a server has the same name"
        owner = owners.setdefault(resource.audience, f"resources.{name}")
        if owner != f"resources.{name}":
            yield (*here, "audience"), f"{owner} has the same audience"
        prefix = resource.read_scope.removesuffix("read")
        for index, scope in enumerate(resource.scopes):
            if not scope.startswith(prefix):
                yield (*here, "scopes", index), f"belongs to another server: write {prefix}..."
        if resource.read_scope not in resource.scopes:
            yield (*here, "scopes"), f"must hold {resource.read_scope}"
