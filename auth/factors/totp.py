"""One-time codes (RFC 6238): six digits, 30 s, this step or the one before, each once.

The library's own check has no memory, so a code that somebody looked at could be used again; here
the step that was accepted is stored, and no step up to it is ever accepted after.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

import pyotp

from auth.factors.seal import Seal
from auth.store import Factor, Store

STEP_S = 30
ISSUER = "AlphaSwarm"


@dataclass(frozen=True, repr=False)
class Enrolment:
    """A new secret, shown once: as text, and as the URI that authenticator apps read."""

    secret: str
    uri: str

    @classmethod
    def begin(cls, username: str) -> Enrolment:
        """Return a fresh secret of 160 bits for a user."""
        secret = pyotp.random_base32()
        return cls(secret, pyotp.TOTP(secret, name=username, issuer=ISSUER).provisioning_uri())

    def confirms(self, code: str, now: int) -> int:
        """Return the step whose code this is, 0 for a wrong one: the app has taken it over."""
        return _step(self.secret, code, now)


def check(store: Store, seal: Seal, username: str, code: str, now: int) -> Factor | None:
    """Return the factor whose code this is and use the code up, or None."""
    for factor in store.factors(username, kind="totp"):
        step = _step(seal.read(factor.secret, owner=username), code, now)
        if step and store.use_step(factor.id, step):
            return factor
    return None


def _step(secret: str, code: str, now: int) -> int:
    code = code.replace(" ", "")
    if not (code.isascii() and code.isdigit() and len(code) == 6):
        return 0
    found = 0
    for step in (now // STEP_S, now // STEP_S - 1):
        expected = pyotp.TOTP(secret).generate_otp(step)
        found = found or (step if hmac.compare_digest(expected, code) else 0)
    return found
