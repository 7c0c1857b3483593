"""What the issuer publishes about itself (RFC 8414)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from auth.binding import TYPE
from auth.clients import (
    AUTH_METHODS,
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    GRANT_TYPES,
    TOKEN_EXCHANGE,
)
from auth.config import IssuerConfig
from auth.grants.device import RUN
from auth.policy import LEVELS
from auth.tokens import ALGORITHM


def describe(config: IssuerConfig) -> dict[str, Any]:
    """Return the authorization server metadata; checked by authlib's own reader of RFC 8414.

    ``scopes_supported`` is left out on purpose: clients ask for everything that is listed, and
    each resource lists its own read scope (RFC 9728). Client-ID documents are advertised where they
    may be read from the web: a client that reads so brings an id that nobody may have pinned.
    """
    document: dict[str, Any] = {
        "issuer": config.issuer,
        "authorization_endpoint": config.endpoint("authorize"),
        "token_endpoint": config.endpoint("token"),
        "revocation_endpoint": config.endpoint("revoke"),
        "device_authorization_endpoint": config.endpoint("device_authorization"),
        "jwks_uri": config.endpoint("jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [*GRANT_TYPES, DEVICE_CODE, TOKEN_EXCHANGE, CLIENT_CREDENTIALS],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": [ALGORITHM],
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": [ALGORITHM],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": config.fetching,
        "acr_values_supported": list(LEVELS),
        "authorization_details_types_supported": [TYPE, RUN],
        "prompt_values_supported": ["none", "login", "consent"],
    }
    if config.registration is not None:
        document["registration_endpoint"] = config.endpoint("register")
    AuthorizationServerMetadata(document).validate()
    return document


def describe_openid(config: IssuerConfig) -> dict[str, Any]:
    """Return the same for clients that look under ``openid-configuration``.

    There is no ID token; the two members that OpenID Connect Discovery 1.0 s.3 requires are there
    because strict clients do not read the document without them.
    """
    return {
        **describe(config),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
