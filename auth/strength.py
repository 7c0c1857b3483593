"""What a browser session is worth: the kind of sign-in behind it, and how old that is."""

from __future__ import annotations

from dataclasses import dataclass

from auth.policy import ACR_MFA, ACR_PASSKEY, ACR_PASSWORD
from auth.store import Login

_METHODS = {"": "pwd", "totp": "pwd otp", "recovery": "pwd otp", "passkey": "pwd hwk"}
PASSKEY_ALONE = "hwk user"


@dataclass(frozen=True, slots=True)
class Strength:
    """``acr`` and ``auth_time`` as a token carries them, ``amr`` by RFC 8176, space-separated."""

    acr: str
    auth_time: int
    amr: str


def strength(login: Login) -> Strength:
    """Return what a session is worth; ``auth_time`` is that of the older of its factors."""
    if login.acr == ACR_PASSKEY:
        return Strength(ACR_PASSKEY, login.auth_time, PASSKEY_ALONE)
    if not login.factor:
        return Strength(ACR_PASSWORD, login.auth_time, _METHODS[""])
    acr = ACR_PASSKEY if login.factor == "passkey" else ACR_MFA
    return Strength(acr, min(login.auth_time, login.factor_time), _METHODS[login.factor])
