"""The keys of clients that sign: public ones from a JWK set, and key pairs of this home."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from auth.tokens import ALGORITHM
from topology.errors import FaultError
from topology.home import Home, explaining, write_private

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S = 60
"""How long an assertion of ours lives; it works once."""


def key_file(home: Home, client_id: str) -> Path:
    """Return where the key pair of a client with ``keys: home`` lies."""
    return home.keys / f"client-{client_id}.json"


def proof(home: Home, client_id: str, *, issuer: str, now: int) -> dict[str, str]:
    """Return the form fields by which a client of this home proves itself once (RFC 7523 s.2.2).

    The key pair is made by the issuer when it starts; a missing one raises `HomeError`.
    """
    path = key_file(home, client_id)
    with explaining(path):
        key = ECKey.import_key(json.loads(path.read_text("utf-8")))
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": now,
        "exp": now + ASSERTION_S,
        "jti": secrets.token_urlsafe(16),
    }
    header = {"alg": ALGORITHM, "kid": key.kid}
    signed = jwt.encode(header, claims, key, algorithms=[ALGORITHM])
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}


def own_key(path: Path) -> Mapping[str, Any]:
    """Return the public part of the key pair in ``path``, which is made (0600) where it is not."""
    with explaining(path):
        if not path.exists():
            key = ECKey.generate_key("P-256", auto_kid=True)
            write_private(path, json.dumps(key.as_dict(private=True)))
        text = path.read_text("utf-8")
    return public_keys(path, json.dumps({"keys": [json.loads(text)]}))[0]


def public_keys(path: Path, text: str) -> tuple[Mapping[str, Any], ...]:
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
