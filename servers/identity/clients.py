"""The pre-registered clients of a topology, with the keys that some of them sign with.

The console is one, whatever the topology says: a page of this suite, at an address of its own.
"""

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
from auth.machine_keys import key_file, own_key, public_keys
from topology.home import Home, explaining
from topology.sections import Client as Declared
from topology.services import Topology

_GRANTS = {
    "authorization_code": GRANT_TYPES,
    "device_code": (DEVICE_CODE, "refresh_token"),
    "token_exchange": (TOKEN_EXCHANGE,),
    "client_credentials": (CLIENT_CREDENTIALS,),
}


CONSOLE = "alphaswarm-console"
CONSOLE_CALLBACK = "/console/callback"


def registered(topology: Topology, home: Home) -> tuple[Client, ...]:
    """Return the clients of the topology; key pairs of this home are made where there are none."""
    console = Client(
        client_id=CONSOLE,
        name="AlphaSwarm console",
        redirect_uris=(topology.base_url + CONSOLE_CALLBACK,),
        own=True,
    )
    return console, *(
        Client(
            client_id=name,
            name=client.title,
            redirect_uris=_redirects(client.redirects),
            grant_types=tuple(dict.fromkeys(kind for g in client.grants for kind in _GRANTS[g])),
            keys=_keys(name, client, home),
            scopes=client.scopes,
        )
        for name, client in topology.clients.items()
        if name != CONSOLE
    )


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
