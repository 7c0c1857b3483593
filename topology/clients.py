"""The rules of pre-registered clients: who needs a redirect, who a key, who may act for whom."""

from __future__ import annotations

from collections.abc import Iterator

from topology.errors import did_you_mean
from topology.marks import Path
from topology.sections import Client, Map, Server

Finding = tuple[Path, str]

STEP_UP = frozenset(
    {
        "agent:approve",
        "backtest:code",
        "bot:author",
        "bot:live",
        "control:apply",
        "control:halt",
        "control:resume",
        "rl:promote",
    }
)
"""Scopes that only a person with a second factor has; no machine acts with one."""


def findings(topology: Map) -> Iterator[Finding]:
    """Yield every broken rule of the clients and of who may exchange tokens."""
    for name, client in topology.clients.items():
        yield from _client(topology, client, ("clients", name))
    yield from _patterns(topology.registration.redirects, ("registration", "redirects"))
    for index, _ in enumerate(topology.exchange):
        yield from _exchange(topology, index)
    for name, server in topology.servers.items():
        yield from _actors(topology, server, ("servers", name, "allowed_actors"))


def is_public_key(path: Path) -> bool:
    """Tell whether a place of raw data is a coordinate or the name of a client's public key."""
    tail = path[-5:]
    public = len(tail) == 5 and tail[4] in {"x", "y", "kid"}
    return public and (tail[0], tail[2]) == ("clients", "keys")


def _client(topology: Map, client: Client, here: Path) -> Iterator[Finding]:
    if "authorization_code" in client.grants and not client.redirects:
        yield (*here, "redirects"), "the grant authorization_code needs one"
    yield from _patterns(client.redirects, (*here, "redirects"))
    needing = {"token_exchange", "client_credentials"} & set(client.grants)
    if needing and not client.keys:
        yield (
            (*here, "keys"),
            f"the grant {min(needing)} needs keys: a client that can prove itself",
        )
    if client.scopes and "client_credentials" not in client.grants:
        yield (*here, "scopes"), "only the grant client_credentials has scopes of its own"
    yield from _scopes(topology, client.scopes, (*here, "scopes"))


def _patterns(redirects: tuple[str, ...], here: Path) -> Iterator[Finding]:
    for index, uri in enumerate(redirects):
        if "*" in uri:
            yield (*here, index), "a redirect is a whole URI, not a pattern"


def _exchange(topology: Map, index: int) -> Iterator[Finding]:
    rule, here = topology.exchange[index], ("exchange", index)
    client = topology.clients.get(rule.client)
    if client is None:
        yield (*here, "client"), f"no such client. {did_you_mean(rule.client, topology.clients)}"
    elif "token_exchange" not in client.grants:
        yield (*here, "client"), "this client has no grant token_exchange"
    if rule.source not in topology.servers:
        yield (*here, "source"), f"no such server. {did_you_mean(rule.source, topology.servers)}"
    targets = {**topology.servers, **topology.resources}
    for name in rule.targets:
        if name not in targets:
            yield (*here, "targets"), f"no such server. {did_you_mean(name, targets)}"
    yield from _scopes(topology, rule.scopes, (*here, "scopes"))


def _actors(topology: Map, server: Server, here: Path) -> Iterator[Finding]:
    for index, name in enumerate(server.allowed_actors or ()):
        issuer, of_others, _ = name.partition(":")
        client = topology.clients.get(name)
        if of_others:
            if issuer not in (server.issuer, *server.trusts):
                yield (*here, index), f"the server does not take the tokens of {issuer!r}"
        elif client is None:
            hint = did_you_mean(name, topology.clients)
            yield (*here, index), f"no such client. {hint}".rstrip()
        elif not client.keys:
            yield (*here, index), "this client cannot prove itself: it has no keys"


def _scopes(topology: Map, scopes: tuple[str, ...], here: Path) -> Iterator[Finding]:
    known = {scope for one in topology.servers.values() for scope in one.scopes}
    known |= {scope for one in topology.resources.values() for scope in one.scopes}
    for place, scope in enumerate(scopes):
        if scope in STEP_UP:
            yield (*here, place), "a step-up scope is for a person with a second factor only"
        elif scope not in known:
            yield (*here, place), f"no server has this scope. {did_you_mean(scope, known)}".rstrip()
