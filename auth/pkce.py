"""PKCE with S256 and nothing else (OAuth 2.1 s.4.1.1, RFC 7636)."""

from __future__ import annotations

import hmac
import re
from typing import Any

from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7636.challenge import create_s256_code_challenge

from auth.wire import Request, refusal

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url of 32 bytes, without padding


def _same(verifier: str, challenge: str) -> bool:
    return hmac.compare_digest(create_s256_code_challenge(verifier), challenge)


class StrictPKCE(CodeChallenge):  # type: ignore[misc]  # authlib has no types
    """The challenge is required and its method is S256, said aloud.

    Stock `CodeChallenge(required=True)` accepts a missing challenge at the authorization endpoint
    and reads a missing method as ``plain``.
    """

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": _same}  # noqa: RUF012  authlib reads a class attribute

    def __init__(self) -> None:
        super().__init__(required=True)

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        """Refuse an authorization request without a proper S256 challenge."""
        request: Request = grant.request
        if request.payload.get("code_challenge_method") != "S256":
            raise refusal("invalid_request", "code_challenge_method must be S256.")
        if not _CHALLENGE.fullmatch(request.payload.get("code_challenge")):
            raise refusal("invalid_request", "code_challenge must be an S256 challenge.")

    def get_authorization_code_challenge_method(self, authorization_code: Any) -> str:
        """Return S256: a code cannot exist with another one."""
        return "S256"
