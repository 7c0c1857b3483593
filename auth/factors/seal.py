"""Secrets that have to be read again, sealed: a row of the database alone opens nothing.

AES-256-GCM under a key in the home's ``keys/`` (0600); the user's name is authenticated with it, so
that a row cannot be moved to somebody else.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from topology.errors import FaultError
from topology.home import explaining, write_private

FILE = "factors.key"
_NONCE = 12


@dataclass(frozen=True, repr=False)
class Seal:
    """One key."""

    key: bytes

    @classmethod
    def open(cls, folder: Path) -> Seal:
        """Return the seal of a home, making its key at the first use."""
        file = folder / FILE
        with explaining(file):
            if not file.exists():
                write_private(file, base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
            return cls(base64.b64decode(file.read_text(encoding="ascii")))

    def close(self, secret: str, *, owner: str) -> str:
        """Return the sealed text of a secret that belongs to ``owner``."""
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self.key).encrypt(nonce, secret.encode(), owner.encode())
        return base64.b64encode(nonce + sealed).decode()

    def read(self, sealed: str, *, owner: str) -> str:
        """Return the secret; another key or another owner raises `FaultError`."""
        raw = base64.b64decode(sealed)
        try:
            return AESGCM(self.key).decrypt(raw[:_NONCE], raw[_NONCE:], owner.encode()).decode()
        except InvalidTag:
            raise FaultError(
                "A second factor cannot be read with the key of this home.",
                hint=f"Put keys/{FILE} of the home back, or enrol the factor again.",
            ) from None

    def mac(self, text: bytes) -> bytes:
        """Return 32 bytes that only this home can make of ``text`` (HMAC-SHA-256)."""
        key = hmac.digest(self.key, b"alphaswarm mac", "sha256")  # not the key that encrypts
        return hmac.digest(key, text, "sha256")
