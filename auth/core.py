"""The issuer: authlib's protocol engine, held to OAuth 2.1, one audience and used-once codes.

Synchronous and without HTTP: parameters in, a `Reply` out. Protocol failures become the error
shapes of RFC 6749; a store or an audit ledger that does not answer raises through.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import AuthorizationServer, OAuth2Error

from auth.assertion import SignedAssertion
from auth.audit import REPLAY, REVOKE, Sink, family_facts
from auth.clients import (
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    GRANT_TYPES,
    SIGNED,
    TOKEN_EXCHANGE,
    Client,
)
from auth.config import IssuerConfig
from auth.documents import Documents
from auth.factors.codes import Codes
from auth.factors.once import Tickets
from auth.factors.passkeys import Passkeys
from auth.factors.passwords import Passwords
from auth.factors.seal import Seal
from auth.grants.client_credentials import CredentialsGrant
from auth.grants.code import CodeGrant
from auth.grants.device import DeviceGrant, DeviceRequests
from auth.grants.exchange import ExchangeGrant
from auth.grants.refresh import RefreshGrant
from auth.issue import Minter
from auth.keys import KeyRing
from auth.pkce import StrictPKCE
from auth.resource import Resources
from auth.revocation import Revocation
from auth.store import Code, Family, Grant, Store, digest
from auth.strength import strength
from auth.wire import NO_STORE, Parameters, Reply, Request, refusal
from topology.clock import Clock

T = TypeVar("T")
GRANTS = frozenset((*GRANT_TYPES, DEVICE_CODE, TOKEN_EXCHANGE, CLIENT_CREDENTIALS))
RETRY_S = 60
"""When to come back after 429."""
log = logging.getLogger(__name__)
logging.getLogger("authlib").setLevel(logging.INFO)  # its DEBUG lines hold whole tokens


class Issuer(AuthorizationServer):  # type: ignore[misc]  # authlib has no types
    """One embedded authorization server."""

    def __init__(
        self,
        config: IssuerConfig,
        *,
        store: Store,
        keys: KeyRing,
        audit: Sink,
        clock: Clock,
        seal: Seal,
        passwords: Passwords | None = None,
        stopped: Callable[[Grant, Family], bool] = lambda _, __: False,
    ) -> None:
        super().__init__()
        self.stopped = stopped
        self.documents = Documents()
        self.config = config
        self.store = store
        self.keys = keys
        self.audit = audit
        self.clock = clock
        self.passwords = passwords or Passwords()
        self.codes = Codes(seal, self.passwords)
        self.passkeys = Passkeys.of(config.issuer, seal)
        self.tickets = Tickets.of(seal)
        self.minter = Minter(config, keys, audit)
        self.resources = Resources(config.resources)
        self._known = {client.client_id: client for client in config.clients}
        self.register_grant(CodeGrant, [StrictPKCE(), self.resources])
        for grant in (RefreshGrant, DeviceGrant, ExchangeGrant, CredentialsGrant):
            self.register_grant(grant)
        self.register_client_auth_method(SIGNED, SignedAssertion(self))
        self.register_endpoint(DeviceRequests)
        self.register_endpoint(Revocation)

    def now(self) -> int:
        """Return whole seconds since the epoch."""
        return int(self.clock.now().timestamp())

    def authorization(self, parameters: Parameters) -> CodeGrant:
        """Return the validated authorization request; raises `OAuth2Error`.

        An error with a ``redirect_uri`` goes back to the client, any other is shown to the person.
        """
        request = Request("GET", self.config.endpoint("authorize"), parameters)
        grant: CodeGrant = self.get_consent_grant(request, None)
        return grant

    def token(self, raw: bytes) -> Reply:
        """Answer the token endpoint; ``raw`` is the form."""
        return self.guarded(lambda: self.create_token_response(self._post("token", raw)))

    def revocation(self, raw: bytes) -> Reply:
        """Answer the revocation endpoint; ``raw`` is the form."""
        return self.guarded(
            lambda: self.create_endpoint_response("revocation", self._post("revoke", raw))
        )

    def device_authorization(self, raw: bytes) -> Reply:
        """Answer the device authorization endpoint (RFC 8628 s.3.1); ``raw`` is the form."""
        name = "device_authorization"
        return self.guarded(lambda: self.create_endpoint_response(name, self._post(name, raw)))

    def guarded(self, answer: Callable[[], T]) -> T | Reply:
        """Return the answer, or the error it raised in its RFC 6749 shape.

        authlib raises bare Python errors on some malformed input; they mean ``invalid_request``
        and are logged by type and place, without values.
        """
        try:
            return answer()
        except OAuth2Error as error:
            return self.failure(error)
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("malformed request: %s at %s", type(error).__name__, _place(error))
            return self.failure(refusal("invalid_request", "The request is malformed."))

    def failure(self, error: OAuth2Error) -> Reply:
        """Return the reply of an OAuth error: a redirect where the error names a redirect URI."""
        reply: Reply = self.handle_response(*error())
        return reply

    def revoke(self, family: Family, action: str) -> None:
        """End a family now and record why; commits before anything is raised."""
        if self.store.revoke_family(family.sid, now=self.now()) or action == REPLAY:
            decision = "done" if action == REVOKE else "refused"
            self.audit(
                actor=family.username,
                action=action,
                target=family.resource,
                decision=decision,
                facts=family_facts(family),
            )

    def save_code(self, code: str, request: Request) -> None:
        """Store a new family for the sign-in of ``request`` with its code."""
        now, login = self.now(), request.login
        if login is None:
            raise refusal("access_denied", "Nobody is signed in.")
        held = strength(login)
        family = Family(
            sid=secrets.token_urlsafe(16),
            username=login.username,
            client_id=request.client.client_id,
            resource=request.resource,
            scope=request.scope,
            acr=held.acr,
            auth_time=held.auth_time,
            created_at=now,
            expires_at=now + self.config.lifetimes.absolute_s,
            amr=held.amr,
            action=request.action,
        )
        challenge = request.payload.get("code_challenge")
        redirect_uri = request.payload.get("redirect_uri")
        end = now + self.config.lifetimes.code_s
        self.store.add_code(Code(digest(code), family.sid, redirect_uri, challenge, end), family)
        self.store.take_challenge(login.username, family.client_id, family.resource, since=now)
        if request.client.registered:
            self.store.touch_client(request.client.client_id, now=now)

    # What authlib asks of its integration.

    def query_client(self, client_id: str) -> Client | None:
        """Return a pre-registered client, else a described one, else a registered one."""
        if client_id in self._known:
            return self._known[client_id]
        described = self.documents.find(client_id, self.now())
        if described is not None:
            return described
        record = self.store.find_client(client_id)
        return Client.of_record(record) if record else None

    def get_authorization_grant(self, request: Request) -> Any:
        """Return the code grant; any other response type goes back to a client that is known."""
        if request.payload.repeated:
            error = refusal("invalid_request", "A parameter was sent more than once.")
        elif request.payload.response_type == "code":
            return super().get_authorization_grant(request)
        else:
            error = refusal("unsupported_response_type", "response_type must be code.")
        client = self.query_client(request.payload.get("client_id"))
        redirect_uri = request.payload.get("redirect_uri")
        if client is not None and client.check_redirect_uri(redirect_uri):
            error.redirect_uri = redirect_uri
        raise error

    def get_token_grant(self, request: Request) -> Any:
        """Return the grant of a token request."""
        if not request.payload.grant_type:
            raise refusal("invalid_request", "grant_type is required.")
        if request.payload.grant_type not in GRANTS:
            raise refusal("unsupported_grant_type", "This issuer has no such grant.")
        return super().get_token_grant(request)

    def create_oauth2_request(self, request: Request) -> Request:
        """Return the request: it is already of authlib's shape."""
        return request

    def handle_response(
        self, status: int, body: Mapping[str, Any] | str, headers: list[tuple[str, str]]
    ) -> Reply:
        """Return a `Reply`; a redirect carries ``iss`` (RFC 9207), errors too, and is a 303."""
        location = dict(headers).get("Location")
        if location is None:
            later = (("Retry-After", str(RETRY_S)),) if status == 429 else ()
            return Reply(status, body if isinstance(body, Mapping) else {}, (*NO_STORE, *later))
        target = add_params_to_uri(location, [("iss", self.config.issuer)])
        return Reply(303, {}, (("Location", target), *NO_STORE))

    def save_token(self, token: Any, request: Request) -> None:
        """Do nothing: the minter records tokens."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: nobody listens."""

    def _post(self, endpoint: str, raw: bytes) -> Request:
        return Request("POST", self.config.endpoint(endpoint), Parameters.parse(raw).unique())


def _place(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else "unknown"
