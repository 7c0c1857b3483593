"""Clients, and when a redirect URI is theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from authlib.oauth2.rfc6749 import ClientMixin

from auth.store import ClientRecord

AuthMethod = Literal["none", "private_key_jwt"]

_LOOPBACK = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>(?:[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?)"
)
LOOPBACK_HOSTS = ("127.0.0.1", "[::1]", "localhost")
GRANT_TYPES = ("authorization_code", "refresh_token")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  a name
CLIENT_CREDENTIALS = "client_credentials"
PUBLIC: Literal["none"] = "none"
SIGNED: AuthMethod = "private_key_jwt"
AUTH_METHODS = (SIGNED, PUBLIC)


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # authlib has no types
    """A client, pre-registered, dynamic or described by a document; methods are what authlib asks.

    ``keys`` are public JWKs: a client that has some proves itself with them (private_key_jwt).
    ``scopes`` are what it may have on its own behalf. ``own`` is a page of this suite itself: its
    one redirect is matched to the port, so that no other program can have its answers, and nobody
    is asked whether it may act for them, but for a step-up.
    """

    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...] = GRANT_TYPES
    registered: bool = False
    keys: tuple[Mapping[str, Any], ...] = ()
    scopes: tuple[str, ...] = ()
    own: bool = False

    @classmethod
    def of_record(cls, record: ClientRecord) -> Client:
        """Return the client of a stored registration."""
        facts: dict[str, Any] = json.loads(record.metadata)
        return cls(
            client_id=record.client_id,
            name=facts.get("client_name", ""),
            redirect_uris=tuple(facts["redirect_uris"]),
            grant_types=tuple(facts["grant_types"]),
            registered=True,
        )

    def get_client_id(self) -> str:
        """Return the id."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return None: the redirect URI must be sent (OAuth 2.1 s.4.1.1)."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scope unchanged: a registered scope is a hint, the resource decides."""
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether the URI is registered: byte for byte, but any port on loopback.

        RFC 8252 s.7.3; the host word must be the registered one, ``localhost`` is not 127.0.0.1.
        """
        if self.own:
            return redirect_uri in self.redirect_uris
        return any(redirect_matches(known, redirect_uri) for known in self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """Return False: no client of ours has a secret."""
        return False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Tell whether the client may present itself this way."""
        return method == (SIGNED if self.keys else PUBLIC)

    def check_response_type(self, response_type: str) -> bool:
        """Tell whether the client may ask for this."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the client may use this grant."""
        return grant_type in self.grant_types


def loopback_callbacks(path: str = "/callback") -> tuple[str, ...]:
    """Return what the topology's word ``loopback`` stands for: any port, one path."""
    return tuple(f"http://{host}{path}" for host in LOOPBACK_HOSTS)


def is_loopback_redirect(uri: str) -> bool:
    """Tell whether a redirect URI is plain http to this machine, without user or fragment."""
    return _without_port(uri) is not None


def redirect_matches(registered: str, sent: str) -> bool:
    """Tell whether ``sent`` is the registered redirect URI."""
    if registered == sent:
        return True
    known = _without_port(registered)
    return known is not None and known == _without_port(sent)


def _without_port(uri: str) -> tuple[str, str] | None:
    match = _LOOPBACK.fullmatch(uri)
    if match is None or int(match["port"] or 1) > 65_535:
        return None
    return match["host"], match["rest"]
