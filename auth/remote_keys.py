"""The public keys of an external issuer: read when needed, kept, and never asked for in a hurry.

Reading is handed in; this file knows no HTTP. A token with an unknown ``kid`` makes the keys be
read again, at most once a minute: otherwise everybody could make us ask.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from auth.tokens import Key
from topology.errors import AlphaSwarmError, StoreUnreachableError

KEPT_S = 300.0
UNKNOWN_S = 60.0
RETRY_S = 15.0
STALE_S = 3_600.0
"""How long keys count that could not be read again: a key that was withdrawn must end some time."""
LEAST_RSA_BITS = 2_048
MOST_KEYS = 64
_KINDS: Mapping[str, type[ECKey] | type[RSAKey]] = {"ES256": ECKey, "RS256": RSAKey}
_log = logging.getLogger(__name__)

Read = Callable[[], Sequence[Mapping[str, Any]]]
"""Return the JWKs that an issuer publishes; anything that goes wrong is an exception."""


class RemoteKeys:
    """The keys of the issuer called ``name`` that can sign with one of ``algs``; thread-safe."""

    def __init__(self, name: str, read: Read, algs: Sequence[str]) -> None:
        self._name = name
        self._read = read
        self._algs = tuple(algs)
        self._keys: dict[str, Key] = {}
        self._read_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, kid: str, now: float) -> Key | None:
        """Return the key of ``kid``, or None where the issuer has none; may block.

        Keys are kept for 300 s and read again for an unknown one at most once in 60 s. Old ones
        count for an hour while the issuer does not answer; then `StoreUnreachableError` is raised.
        """
        key = self._keys.get(kid)
        if key is not None and self._fresh(now):
            return key
        if self._lock.acquire(blocking=key is None):  # one reads; who has an old key goes on
            try:
                self._refresh(kid, now)
            finally:
                self._lock.release()
        self.require(now)
        return self._keys.get(kid)

    def require(self, now: float) -> None:
        """Raise `StoreUnreachableError` where no keys are known, or only very old ones."""
        if self._read_at == float("-inf"):
            with self._lock:
                self._refresh("", now)
        if now - self._read_at >= STALE_S:
            raise StoreUnreachableError(
                f"The keys of the issuer {self._name!r} cannot be read.",
                hint="Check that it answers at its address, and that egress.allow lists its hosts.",
                store=f"issuer:{self._name}",
            )

    def _refresh(self, kid: str, now: float) -> None:
        if 0 <= now - self._tried_at < self._pause(kid, now):
            return
        self._tried_at = now
        try:
            self._keys = dict(usable(self._read(), self._algs))
            self._read_at = now
        except Exception as error:  # noqa: BLE001 - whatever it is, the old keys go on counting
            said = error.message if isinstance(error, AlphaSwarmError) else type(error).__name__
            _log.warning("the keys of the issuer %s were not read: %s", self._name, said)

    def _pause(self, kid: str, now: float) -> float:
        """Return how long after the last look the next may come."""
        if not self._fresh(now):
            return RETRY_S
        return float("inf") if kid in self._keys else UNKNOWN_S  # another thread has read it

    def _fresh(self, now: float) -> bool:
        return 0 <= now - self._read_at < KEPT_S


def usable(
    published: Iterable[Mapping[str, Any]], algs: Sequence[str]
) -> Iterable[tuple[str, Key]]:
    """Yield the keys, by ``kid``, that may sign an access token with one of ``algs``.

    Others (for encryption, of another kind, too short, damaged, without a name) are left out.
    """
    for one in list(published)[:MOST_KEYS]:
        kid = one.get("kid")
        if not isinstance(kid, str) or one.get("use", "sig") != "sig":
            continue
        for alg in algs:
            if one.get("alg", alg) == alg and (key := _imported(one, alg)) is not None:
                yield kid, key


def _imported(one: Mapping[str, Any], alg: str) -> Key | None:
    kind = _KINDS[alg]
    if one.get("kty") != kind.key_type:
        return None
    try:
        key = kind.import_key({k: v for k, v in one.items() if isinstance(v, str)})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if key.is_private:
        return None
    if isinstance(key, RSAKey):
        return key if key.public_key.key_size >= LEAST_RSA_BITS else None
    return key if key.curve_name == "P-256" else None
