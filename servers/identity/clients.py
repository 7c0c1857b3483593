"""The pre-registered clients of a topology, with the keys that some of them sign with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auth.clients import (
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    GRANT_TYPES,
    TOKEN_EXCHANGE,
    Client,
    loopback_callbacks,
)
from auth.machine_keys import own_key, public_keys
from topology.home import Home, explaining
from topology.sections import Client as Declared
from topology.services import Topology

_GRANTS = {
    "authorization_code": GRANT_TYPES,
    "device_code": (DEVICE_CODE, "refresh_token"),
    "token_exchange": (TOKEN_EXCHANGE,),
    "client_credentials": (CLIENT_CREDENTIALS,),
}


def registered(topology: Topology, home: Home) -> tuple[Client, ...]:
    """Return the clients of the topology; key pairs of this home are made where there are none."""
    return tuple(
        Client(
            client_id=name,
            name=client.title,
            redirect_uris=_redirects(client.redirects),
            grant_types=tuple(dict.fromkeys(kind for g in client.grants for kind in _GRANTS[g])),
            keys=_keys(name, client, home),
            scopes=client.scopes,
        )
        for name, client in topology.clients.items()
    )


def key_file(home: Home, client_id: str) -> Path:
    """Return where the key pair of a client with ``keys: home`` lies."""
    return home.keys / f"client-{client_id}.json"


def _keys(name: str, client: Declared, home: Home) -> tuple[Mapping[str, Any], ...]:
    if client.keys is None:
        return ()
    if not isinstance(client.keys, str):
        return tuple(key.model_dump() for key in client.keys)
    if client.keys == "home":
        return (own_key(key_file(home, name)),)
    path = Path(client.keys.removeprefix("file:"))
    with explaining(path):
        return public_keys(path, path.read_text("utf-8"))


def _redirects(declared: tuple[str, ...]) -> tuple[str, ...]:
    callbacks = loopback_callbacks()
    return tuple(uri for text in declared for uri in (callbacks if text == "loopback" else (text,)))
