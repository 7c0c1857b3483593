"""Whose tokens each server takes: our own issuer's, those of external ones, or both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from auth.issuers import ClaimMap, ExternalVerifier, Trusted
from auth.remote_keys import RemoteKeys
from auth.tokens import Verifier
from lakehouse.providers.wire import Wire
from servers.identity.compose import Identity
from topology.egress import Guard
from topology.fields import is_loopback
from topology.issuers import ExternalIssuer
from topology.services import Topology

PURPOSE = "identity"
TIMEOUT_S = 3.0
MOST_BYTES = 262_144
WELL_KNOWN = ".well-known/openid-configuration"

Get = Callable[[str], bytes]
"""Return what an address answers with a success; anything else is an exception."""


class Trust:
    """The issuers of a topology as its servers see them; one per process.

    ``identity`` is our own issuer where one is open, ``get`` reads what external ones publish. A
    server whose own issuer is not open takes the tokens of the others only.
    """

    def __init__(
        self, topology: Topology, identity: Identity | None, get: Get | None = None
    ) -> None:
        self._topology = topology
        self._identity = identity
        used = {n: one for server in topology.faces for n, one in topology.external(server).items()}
        get = get or (guarded(topology) if used else _nothing)
        self._keys = {
            name: RemoteKeys(name, partial(published, get, one.issuer), one.algs)
            for name, one in used.items()
        }

    def verifier(self, server: str) -> Trusted:
        """Return what checks the tokens that come to a server."""
        face = self._topology.face(server)
        found: dict[str, Verifier] = {}
        if face.own and self._identity is not None:
            issuer = self._identity.issuer.config.issuer
            found[issuer] = self._identity.verifier(face.audience)
        for name, external in self._topology.external(server).items():
            found[external.issuer] = ExternalVerifier(
                claim_map(name, external),
                keys=self._keys[name].find,
                audience=external.audience.get(server, face.audience),
                offered=frozenset(face.scopes),
            )
        return Trusted(found)

    def require(self, now: float) -> None:
        """Raise unless the keys of every issuer are known: ours is asked for its signing key."""
        if self._identity is not None:
            self._identity.issuer.keys.current(now)
        for keys in self._keys.values():
            keys.require(now)


def claim_map(name: str, issuer: ExternalIssuer) -> ClaimMap:
    """Return how to read the tokens of an issuer of the topology."""
    return ClaimMap(
        name=name,
        issuer=issuer.issuer,
        algs=issuer.algs,
        types=frozenset(issuer.typ),
        names=issuer.claims.model_dump(),
        listed=issuer.scope_form == "list",
        scopes=issuer.scopes,
        levels=issuer.step_up.acr if issuer.step_up else {},
        lifetime_s=issuer.lifetime_s,
    )


def published(get: Get, issuer: str) -> list[Mapping[str, Any]]:
    """Return the keys that an issuer publishes (OpenID Connect Discovery 1.0 s.4, RFC 7517 s.5).

    Its metadata must name itself, letter by letter (s.4.3), and keys at an https address, or on
    this machine. Anything else raises an exception.
    """
    described = _object(get(f"{issuer.removesuffix('/')}/{WELL_KNOWN}"))
    if described.get("issuer") != issuer:
        raise ValueError("the metadata is of another issuer")
    address = described.get("jwks_uri")
    if not isinstance(address, str) or not _private(address):
        raise ValueError("the metadata names no address of keys")
    keys = _object(get(address)).get("keys")
    return [one for one in keys if isinstance(one, dict)] if isinstance(keys, list) else []


def guarded(topology: Topology) -> Get:
    """Return a GET that reaches what ``egress.allow`` lists for this purpose, and nothing else."""
    wire = Wire(Guard(topology.egress, PURPOSE), timeout_s=TIMEOUT_S, most_bytes=MOST_BYTES)

    def get(address: str) -> bytes:
        return wire.get(address, {"Accept": "application/json"}).checked().body

    return get


def _private(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _object(raw: bytes) -> dict[str, Any]:
    return dict(json.loads(raw))


def _nothing(address: str) -> bytes:
    raise ValueError(address)
