"""Passkeys (WebAuthn Level 3): keys that never leave a device and sign for our host name only.

A key is discoverable, and its device must have verified the person: it is first and second factor
in one. A counter that went back means a copy (s.6.1.1): the use is refused.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from auth.factors.once import LIFE_S, Once, decode, encode
from auth.factors.passwords import FAILURES, LOCK_S, LockedError, refuse_locked
from auth.factors.seal import Seal
from auth.store import Factor, Store, digest
from topology.errors import BadInputError

AT_MOST = 10
"""Keys of one person."""
NAME_LENGTH = 64
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
T = TypeVar("T")


class RefusedKeyError(Exception):
    """A passkey was not accepted.

    ``reason`` is ``unknown`` (no key of ours, or no answer to our challenge), ``wrong``,
    ``copied`` (its counter went back) or ``locked``; ``username`` is whose key it is, if known.
    """

    def __init__(
        self, reason: str, username: str = "", *, seconds: int = 0, began: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.username, self.seconds, self.began = reason, username, seconds, began


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser sent back: its text, the challenge in it, and the id of the key."""

    text: str
    challenge: bytes
    key_id: str
    handle: str

    @classmethod
    def read(cls, text: str) -> Answer:
        """Read it without believing any of it; anything malformed raises `RefusedKeyError`."""
        sent = _attempt(lambda: json.loads(text))
        data = _attempt(lambda: json.loads(decode(sent["response"]["clientDataJSON"])))
        if not isinstance(data, Mapping) or data.get("crossOrigin"):
            raise RefusedKeyError("unknown")
        challenge = _attempt(lambda: decode(data["challenge"]))
        key_id = _attempt(lambda: digest(sent["id"]))
        return cls(text, challenge, key_id, str(sent["response"].get("userHandle") or ""))


@dataclass(frozen=True, repr=False)
class Passkeys:
    """The ceremonies of one issuer; ``host`` is the relying party, a host name."""

    host: str
    origin: str
    asked: Once = field(repr=False)
    made: Once = field(repr=False)

    @classmethod
    def of(cls, issuer: str, seal: Seal) -> Passkeys | None:
        """Return the passkeys of an issuer's URL, None where its host is an IP address.

        A relying party is a host name (WebAuthn s.5.1.2); browsers refuse addresses.
        """
        parts = urlsplit(issuer)
        host = parts.hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            origin = f"{parts.scheme}://{parts.netloc}"
            return cls(host, origin, Once(seal, "passkey.get"), Once(seal, "passkey.create"))
        return None

    def request(self, about: str, now: int, keys: list[Factor] | None = None) -> str:
        """Return the JSON for ``navigator.credentials.get``; any key of ours without ``keys``."""
        options = {
            "challenge": encode(self.asked.make(about, now)),
            "rpId": self.host,
            "timeout": LIFE_S * 1000,
            "userVerification": "required",
            "allowCredentials": [_descriptor(key) for key in keys or ()],
        }
        return json.dumps(options)

    def creation(self, store: Store, username: str, about: str, now: int) -> str:
        """Return the JSON for ``navigator.credentials.create``, for a person."""
        keys = store.factors(username, kind="passkey")
        options = {
            "challenge": encode(self.made.make(about, now)),
            "rp": {"id": self.host, "name": "AlphaSwarm"},
            "user": {"id": handle(username), "name": username, "displayName": username},
            "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-8, -7, -257)],
            "timeout": LIFE_S * 1000,
            "attestation": "none",
            "authenticatorSelection": {
                "residentKey": "required",
                "requireResidentKey": True,
                "userVerification": "required",
            },
            "excludeCredentials": [_descriptor(key) for key in keys],
        }
        return json.dumps(options)

    def registered(
        self, store: Store, username: str, text: str, *, name: str, about: str, now: int
    ) -> Factor:
        """Return the new key of a person that answers our challenge, still to be stored.

        An answer to none of our challenges, or to one for somebody else, raises `RefusedKeyError`;
        a name or a number of keys that cannot be, and a key that is known, `BadInputError`.
        """
        kept = store.factors(username, kind="passkey")
        title = _named(name, kept)
        answer = Answer.read(text)
        if not self.made.use(store, answer.challenge, about, now):
            raise RefusedKeyError("unknown", username)
        new = self._attested(answer)
        factor_id = digest(encode(new.credential_id))
        if store.find_factor(factor_id):
            raise BadInputError("This passkey is enrolled already.", hint="Use it to sign in.")
        secret = {"id": encode(new.credential_id), "public_key": encode(new.credential_public_key)}
        return Factor(
            factor_id, username, "passkey", json.dumps(secret), now, new.sign_count, title
        )

    def check(self, store: Store, text: str, *, about: str, now: int, username: str = "") -> Factor:
        """Return the key that signed our challenge, of ``username`` where one is given.

        Anything else raises `RefusedKeyError`. Five wrong signatures lock the key for 60 s.
        """
        answer = Answer.read(text)
        if not self.asked.use(store, answer.challenge, about, now):
            raise RefusedKeyError("unknown", username)
        factor = store.find_factor(answer.key_id)
        if factor is None or factor.kind != "passkey" or username not in {"", factor.username}:
            raise RefusedKeyError("unknown", username)
        count = self._counted(store, factor, answer, now)
        if (count or factor.used) and not store.use_step(factor.id, count):
            raise RefusedKeyError("copied", factor.username)
        return factor

    def _counted(self, store: Store, factor: Factor, answer: Answer, now: int) -> int:
        """Return the counter that a right signature holds; wrong ones are counted."""
        key = digest(f"passkey:{factor.id}")
        try:
            refuse_locked(store.locked_until(key, now=now), now, began=False)
            count = self._signed(factor, answer)
            if count is None:
                until = store.count_failure(key, now=now, limit=FAILURES, lock_s=LOCK_S)
                refuse_locked(until, now, began=True)
                raise RefusedKeyError("wrong", factor.username)
        except LockedError as error:
            raise RefusedKeyError(
                "locked", factor.username, seconds=error.seconds, began=error.began
            ) from None
        store.clear_failures(key)
        return count

    def _signed(self, factor: Factor, answer: Answer) -> int | None:
        """Return the counter of a right signature, None for a wrong one."""
        from webauthn import verify_authentication_response

        if answer.handle not in {"", handle(factor.username)}:
            return None
        secret = json.loads(factor.secret)
        try:
            return _attempt(
                lambda: (
                    verify_authentication_response(
                        credential=answer.text,
                        expected_challenge=answer.challenge,
                        expected_rp_id=self.host,
                        expected_origin=self.origin,
                        credential_public_key=decode(secret["public_key"]),
                        credential_current_sign_count=0,  # `check` compares, by one update
                        require_user_verification=True,
                    ).new_sign_count
                )
            )
        except RefusedKeyError:
            return None

    def _attested(self, answer: Answer) -> Any:
        from webauthn import verify_registration_response

        return _attempt(
            lambda: verify_registration_response(
                credential=answer.text,
                expected_challenge=answer.challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        )


def handle(username: str) -> str:
    """Return what a device stores for a person instead of the name (WebAuthn s.14.6.1)."""
    return encode(hashlib.sha256(f"alphaswarm user {username}".encode()).digest())


def _named(name: str, kept: list[Factor]) -> str:
    title = name.strip() or f"passkey {len(kept) + 1}"
    if len(title) > NAME_LENGTH or not title.isprintable():
        raise BadInputError(f"A name has 1 to {NAME_LENGTH} printable characters.", hint="Shorter.")
    if len(kept) >= AT_MOST:
        hint = "Remove one that is no longer used first."
        raise BadInputError(f"A person has at most {AT_MOST} passkeys.", hint=hint)
    return title


def _attempt(work: Callable[[], T]) -> T:
    """Return what ``work`` returns; whatever the library makes of malformed input is a refusal."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        return work()
    except (*_MALFORMED, WebAuthnException, InvalidSignature, UnsupportedAlgorithm):
        raise RefusedKeyError("unknown") from None


def _descriptor(key: Factor) -> dict[str, str]:
    return {"type": "public-key", "id": json.loads(key.secret)["id"]}
