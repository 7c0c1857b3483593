"""A device with passkeys, in software: what a browser would send for the options of a page.

It signs as WebAuthn says and lies on request: another origin, no person, a counter that went back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

ORIGIN = "http://localhost:8000"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def options_of(html: str) -> dict[str, Any]:
    """Return the options of a page's passkey form."""
    found = re.search(r'data-options="([^"]*)"', html)
    assert found, html
    options: dict[str, Any] = json.loads(unescape(found[1]))
    return options


@dataclass
class Authenticator:
    """One device with one key; its counter grows by one at every use."""

    origin: str = ORIGIN
    flags: int = PRESENT | VERIFIED
    count: int = 0
    cross: bool = False
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    key_id: bytes = field(default_factory=lambda: os.urandom(32))
    handle: str = ""

    def create(self, options: dict[str, Any]) -> str:
        """Answer ``navigator.credentials.create``."""
        self.handle = options["user"]["id"]
        data = self._about(options["rp"]["id"], ATTESTED) + bytes(16)
        data += len(self.key_id).to_bytes(2, "big") + self.key_id + cbor2.dumps(self._cose())
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        said = {"clientDataJSON": self._client("webauthn.create", options)}
        return self._sent({**said, "attestationObject": text(attestation)})

    def get(self, options: dict[str, Any]) -> str:
        """Answer ``navigator.credentials.get``."""
        self.count += 1
        client = self._client("webauthn.get", options)
        data = self._about(options["rpId"], 0)
        signed = data + hashlib.sha256(raw(client)).digest()
        said = {
            "clientDataJSON": client,
            "authenticatorData": text(data),
            "signature": text(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            "userHandle": self.handle,
        }
        return self._sent(said)

    def _client(self, kind: str, options: dict[str, Any]) -> str:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return text(json.dumps({**said, "crossOrigin": self.cross}).encode())

    def _about(self, host: str, more: int) -> bytes:
        digest = hashlib.sha256(host.encode()).digest()
        return digest + bytes([self.flags | more]) + self.count.to_bytes(4, "big")

    def _cose(self) -> dict[int, Any]:
        point = self.key.public_key().public_numbers()
        return {
            1: 2,
            3: -7,
            -1: 1,
            -2: point.x.to_bytes(32, "big"),
            -3: point.y.to_bytes(32, "big"),
        }

    def _sent(self, response: dict[str, str]) -> str:
        name = text(self.key_id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(encoded: str) -> bytes:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
