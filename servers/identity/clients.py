"""The pre-registered clients of a topology, with the keys that some of them sign with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from auth.clients import (
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    GRANT_TYPES,
    TOKEN_EXCHANGE,
    Client,
    loopback_callbacks,
)
from auth.tokens import ALGORITHM
from topology.errors import FaultError
from topology.home import Home, explaining, write_private
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
        return (_own_key(key_file(home, name)),)
    path = Path(client.keys.removeprefix("file:"))
    with explaining(path):
        return _public(path, path.read_text("utf-8"))


def _own_key(path: Path) -> Mapping[str, Any]:
    with explaining(path):
        if not path.exists():
            key = ECKey.generate_key("P-256", auto_kid=True)
            write_private(path, json.dumps(key.as_dict(private=True)))
        text = path.read_text("utf-8")
    return _public(path, json.dumps({"keys": [json.loads(text)]}))[0]


def _public(path: Path, text: str) -> tuple[Mapping[str, Any], ...]:
    """Return the public parts of a JWK set; anything but P-256 keys with a kid is damaged."""
    try:
        keys = KeySet.import_key_set(json.loads(text)).keys
        good = keys and all(isinstance(k, ECKey) and k.curve_name == "P-256" for k in keys)
    except (JoseError, ValueError, TypeError, KeyError):
        good, keys = False, []
    if not good:
        raise FaultError(
            f"The key file {path.name!r} of a client cannot be used.",
            hint="It is a JSON object with `keys`: public P-256 keys (RFC 7517), each with a kid.",
        )
    return tuple(k.as_dict(private=False, use="sig", alg=ALGORITHM) for k in keys)


def _redirects(declared: tuple[str, ...]) -> tuple[str, ...]:
    callbacks = loopback_callbacks()
    return tuple(uri for text in declared for uri in (callbacks if text == "loopback" else (text,)))
