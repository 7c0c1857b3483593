"""Clients that are programs: a key of their own, assertions, and the topology that knows them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.kit.identity import Scene

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
SPEC = "5" * 64


@dataclass
class Machine:
    """A confidential client with its private key."""

    client_id: str = "agent-runtime"
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", auto_kid=True))

    def public(self) -> dict[str, Any]:
        """Return the public key as the topology holds it."""
        return dict(self.key.as_dict(private=False, use="sig", alg="ES256"))

    def assertion(self, scene: Scene, /, **changes: Any) -> str:
        """Return a fresh assertion with changed claims; None removes one."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": scene.issuer,
            "iat": scene.now(),
            "exp": scene.now() + 60,
            "jti": secrets.token_urlsafe(8),
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256", "kid": self.key.kid}
        return jwt.encode(header, kept, self.key, algorithms=["ES256"])

    def proof(self, scene: Scene, /, **changes: Any) -> dict[str, str]:
        return {
            "client_assertion_type": ASSERTION,
            "client_assertion": self.assertion(scene, **changes),
        }

    async def ask(self, scene: Scene, grant_type: str, /, **form: str) -> httpx2.Response:
        """Ask the token endpoint, signed."""
        return await scene.post("token", grant_type=grant_type, **self.proof(scene), **form)

    async def exchange(self, scene: Scene, token: str, /, **form: str) -> httpx2.Response:
        """Exchange a person's token for one of the server ``control``, with changes."""
        good = {
            "subject_token": token,
            "subject_token_type": ACCESS,
            "resource": scene.faces["control"],
            "spec": SPEC,
            **form,
        }
        return await self.ask(scene, EXCHANGE, **{k: v for k, v in good.items() if v})
