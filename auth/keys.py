"""The issuer's signing keys: files that say from when a key signs, and a ring that reads them.

A key is *next* (published, unused), then *current*, then *retired* (published until its last token
expires). The states follow from ``active_from`` alone, so rotation is one new file and needs no
later step: nothing has to run at the right moment.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from auth.policy import CLOCK_SKEW_S
from auth.tokens import ALGORITHM, MAX_LIFETIME_S
from topology.errors import FaultError
from topology.home import explaining, write_private

State = Literal["next", "current", "retired", "gone"]

JWKS_MAX_AGE_S = 300
RELOAD_S = 60.0
LEAD_S = 600
"""A new key is published this long before it signs: reload + JWKS caches, with room to spare."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private ES256 key and the second from which it signs."""

    key: ECKey
    active_from: int

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint."""
        return self.key.kid or ""


def generate(active_from: int) -> SigningKey:
    """Make a key; its ``kid`` is the RFC 7638 thumbprint of the public part."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    return SigningKey(key, active_from)


def state_of(key: SigningKey, ring: Sequence[SigningKey], now: float) -> State:
    """Return the state of a key among its ring at ``now``.

    A retired key is gone when the last token it could sign has expired everywhere.
    """
    if key.active_from > now:
        return "next"
    successors = [k.active_from for k in ring if key.active_from < k.active_from <= now]
    if not successors:
        return "current"
    last_use = min(successors) + RELOAD_S + CLOCK_SKEW_S
    return "retired" if now < last_use + MAX_LIFETIME_S else "gone"


class KeyRing:
    """The keys of one folder; it reads the files again at most once in 60 s.

    Unknown key ids never cause a read of their own: a key is published long before it signs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: tuple[SigningKey, ...] = ()
        self._public: dict[str, tuple[SigningKey, ECKey]] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def ensure(self, now: float) -> None:
        """Make a key that signs at once where none does: a next one alone would be early."""
        if all(key.active_from > now for key in self._ring(now)):
            write_key(self._folder, generate(int(now)))
            self._read_at = float("-inf")

    def rotate(self, now: float) -> SigningKey:
        """Publish a new key that starts to sign in ten minutes, and delete keys long gone.

        A rotation that has not begun to sign yet is returned as it is.
        """
        self._read_at = float("-inf")
        ring = self._ring(now)
        for key in ring:
            if state_of(key, ring, now) == "gone":
                _path(self._folder, key.kid).unlink(missing_ok=True)
        waiting = [key for key in ring if state_of(key, ring, now) == "next"]
        fresh = waiting[0] if waiting else generate(int(now) + LEAD_S)
        if not waiting:
            write_key(self._folder, fresh)
        self._read_at = float("-inf")
        return fresh

    def current(self, now: float) -> ECKey:
        """Return the private key that signs at ``now``."""
        ring = self._ring(now)
        for key in ring:
            if state_of(key, ring, now) == "current":
                return key.key
        raise FaultError(
            "The issuer has no signing key in use.",
            hint="Run `python -m servers.identity rotate-keys` or check the clock.",
        )

    def public(self, kid: str, now: float) -> ECKey | None:
        """Return the public key of ``kid`` while it is published, else None."""
        ring = self._ring(now)
        found = self._public.get(kid)
        if found is None or state_of(found[0], ring, now) == "gone":
            return None
        return found[1]

    def jwks(self, now: float) -> dict[str, Any]:
        """Return the JWK set of every published key: public members, kid, use and alg only."""
        ring = self._ring(now)
        shown = [key for key in ring if state_of(key, ring, now) != "gone"]
        return {"keys": [k.key.as_dict(private=False, use="sig", alg=ALGORITHM) for k in shown]}

    def _ring(self, now: float) -> tuple[SigningKey, ...]:
        with self._lock:
            if not 0 <= now - self._read_at < RELOAD_S:
                self._keys = tuple(read_keys(self._folder))
                self._public = {k.kid: (k, _public_part(k.key)) for k in self._keys}
                self._read_at = now
            return self._keys


def write_key(folder: Path, key: SigningKey) -> None:
    """Write ``as-<kid>.json`` with mode 0600."""
    body = {"active_from": key.active_from, "key": key.key.as_dict(private=True)}
    path = _path(folder, key.kid)
    with explaining(path):
        write_private(path, json.dumps(body))


def read_keys(folder: Path) -> list[SigningKey]:
    """Read every ``as-*.json``, oldest first; a damaged one raises `FaultError` by its name."""
    with explaining(folder):
        files = [(path, path.read_text("utf-8")) for path in sorted(folder.glob("as-*.json"))]
    return sorted((_parse(path, text) for path, text in files), key=lambda key: key.active_from)


def _parse(path: Path, text: str) -> SigningKey:
    try:
        body = json.loads(text)
        key = ECKey.import_key(body["key"])
        active_from = body["active_from"]
    except (ValueError, KeyError, TypeError, JoseError):
        raise _damaged(path) from None
    if not isinstance(active_from, int) or not key.is_private or path.stem != f"as-{key.kid}":
        raise _damaged(path)
    return SigningKey(key, active_from)


def _damaged(path: Path) -> FaultError:
    return FaultError(
        f"The signing key file {path.name!r} cannot be used.",
        hint="Restore it from a backup, or move it away: tokens signed with it stop working.",
    )


def _public_part(key: ECKey) -> ECKey:
    return ECKey.import_key(key.as_dict(private=False))


def _path(folder: Path, kid: str) -> Path:
    return folder / f"as-{kid}.json"
