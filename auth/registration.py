"""Dynamic client registration (RFC 7591): public clients of this machine, and nobody else.

authlib's own metadata checks crash on odd types, hand a secret to clients that asked for none and
accept any scheme; so the metadata is a pydantic model of ours, followed by policy.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, Literal

from authlib.oauth2 import OAuth2Error
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from auth.audit import REGISTER
from auth.clients import PUBLIC, is_loopback_redirect
from auth.config import Registration
from auth.core import Issuer
from auth.fields import GrantTypes, Text, Uri
from auth.store import ClientRecord
from auth.wire import MAX_BYTES, Reply, refusal

_WINDOW_S = 60


AuthMethod = Literal["none", "client_secret_basic", "client_secret_post"]


class Metadata(BaseModel):
    """What a client says of itself; unknown members are ignored (RFC 7591 s.2).

    Whatever way of authentication it asks for, it is registered as a public client and told so
    (RFC 7591 s.3.2.1 lets a server replace values). A scope is a hint, not a ceiling.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    redirect_uris: tuple[Uri, ...] = Field(min_length=1, max_length=10)
    grant_types: GrantTypes = ("authorization_code",)
    response_types: tuple[Literal["code"], ...] = Field(("code",), min_length=1, max_length=1)
    token_endpoint_auth_method: AuthMethod = PUBLIC
    client_name: Text | None = None
    client_uri: Annotated[Uri, StringConstraints(pattern=r"^https?://")] | None = None
    scope: Text | None = None
    software_id: Text | None = None
    software_version: Text | None = None


def register(issuer: Issuer, raw: bytes) -> Reply:
    """Answer the registration endpoint: 201 with the metadata as registered, without a secret.

    Bad metadata is ``invalid_client_metadata`` or ``invalid_redirect_uri``; more than the
    configured number of registrations a minute is 429.
    """
    return issuer.guarded(lambda: _register(issuer, raw))


def _register(issuer: Issuer, raw: bytes) -> Reply:
    policy = issuer.config.registration
    if policy is None:
        raise refusal("access_denied", "Registration is closed here.", status=403)
    metadata = _metadata(raw)
    _check_redirects(metadata, policy)
    return _registered(issuer, metadata, policy)


def _metadata(raw: bytes) -> Metadata:
    if len(raw) > MAX_BYTES:
        raise refusal("invalid_client_metadata", "The metadata is too long.", status=413)
    try:
        return Metadata.model_validate(json.loads(raw))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]["loc"]
        field = str(first[0]) if first and first[0] in Metadata.model_fields else "the metadata"
        raise _bad_metadata(field) from None
    except (ValueError, RecursionError):
        raise refusal("invalid_client_metadata", "The body is not a JSON object.") from None


def _bad_metadata(field: str) -> OAuth2Error:
    if field == "redirect_uris":
        return refusal("invalid_redirect_uri", "redirect_uris must be 1 to 10 absolute URIs.")
    return refusal("invalid_client_metadata", f"This server does not accept that value: {field}.")


def _check_redirects(metadata: Metadata, policy: Registration) -> None:
    for uri in metadata.redirect_uris:
        if uri not in policy.redirects and not is_loopback_redirect(uri):
            raise refusal(
                "invalid_redirect_uri",
                "Redirect URIs are http on 127.0.0.1, [::1] or localhost, or in the topology.",
            )


def _registered(issuer: Issuer, metadata: Metadata, policy: Registration) -> Reply:
    now = issuer.now()
    facts: dict[str, Any] = metadata.model_dump(mode="json", exclude_none=True)
    facts["token_endpoint_auth_method"] = PUBLIC
    record = ClientRecord(secrets.token_urlsafe(16), json.dumps(facts), now)
    if not issuer.store.add_client(record, since=now - _WINDOW_S, at_most=policy.per_minute):
        raise refusal("temporarily_unavailable", "Too many registrations.", status=429)
    issuer.audit(
        actor="anonymous",
        action=REGISTER,
        target=record.client_id,
        decision="done",
        facts={"client_id": record.client_id, "redirect_uris": " ".join(metadata.redirect_uris)},
    )
    return Reply(201, {"client_id": record.client_id, "client_id_issued_at": now, **facts})
