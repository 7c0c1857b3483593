"""Short-lived random values that are good once: challenges of passkeys, tickets of an enrolment.

A value carries its end and a MAC over what it is for, so showing a page to a stranger writes no
row; using a value writes one, and of two uses exactly one wins.
"""

from __future__ import annotations

import base64
import hmac
import os
from dataclasses import dataclass

from auth.factors.seal import Seal
from auth.store import Store

LIFE_S = 300
"""How long a page may stay open before its button is too late."""
_RANDOM = 24
_END = 8
_MAC = 32


@dataclass(frozen=True, repr=False)
class Once:
    """Values of one purpose; ``seal`` is the home's."""

    seal: Seal
    purpose: str

    def make(self, about: str, now: int) -> bytes:
        """Return a fresh value of 64 bytes for ``about``: the session or person that it is for."""
        body = (now + LIFE_S).to_bytes(_END, "big") + os.urandom(_RANDOM)
        return body + self._mac(body, about)

    def good(self, value: bytes, about: str, now: int) -> bool:
        """Tell whether a value is ours, for this, and not too old; it may have been used."""
        body, mac = value[:-_MAC], value[-_MAC:]
        if len(value) != _END + _RANDOM + _MAC:
            return False
        ours = hmac.compare_digest(mac, self._mac(body, about))
        return ours and now < int.from_bytes(body[:_END], "big")

    def use(self, store: Store, value: bytes, about: str, now: int) -> bool:
        """Use a good value up; False for one that is not good or was used before."""
        return self.good(value, about, now) and store.use_once(
            f"{self.purpose}:{value[_END:-_MAC].hex()}", until=now + LIFE_S
        )

    def _mac(self, body: bytes, about: str) -> bytes:
        return self.seal.mac(f"{self.purpose}\n{about}\n".encode() + body)


@dataclass(frozen=True, repr=False)
class Tickets:
    """Texts that let a person enrol one passkey; each names whose it is."""

    once: Once

    @classmethod
    def of(cls, seal: Seal) -> Tickets:
        """Return the tickets of a home."""
        return cls(Once(seal, "ticket"))

    def make(self, username: str, now: int) -> str:
        """Return a ticket for a person, as it goes into an address."""
        return f"{encode(username.encode())}.{encode(self.once.make(username, now))}"

    def owner(self, text: str, now: int) -> str | None:
        """Return whose ticket this is, None for one that is not good; it may have been used."""
        username, value = _parts(text)
        return username if self.once.good(value, username, now) else None

    def use(self, store: Store, text: str, now: int) -> bool:
        """Use a ticket up; False for one that is not good or was used before."""
        username, value = _parts(text)
        return self.once.use(store, value, username, now)


def encode(data: bytes) -> str:
    """Return unpadded base64url, as WebAuthn and addresses have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of unpadded base64url; anything else raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parts(text: str) -> tuple[str, bytes]:
    try:
        name, _, value = text.partition(".")
        return decode(name).decode("utf-8"), decode(value)
    except ValueError:
        return "", b""
