"""Device flow (RFC 8628): a machine without a browser shows a code, a person allows it elsewhere.

One request may name several servers (``resource`` repeats, RFC 8707 s.2): the person decides once,
and the device redeems its code once for each. A confidential client may ask for a grant for a long
run instead (``authorization_details`` of type ``alphaswarm_run``).
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint

from auth.audit import REPLAY
from auth.clients import AUTH_METHODS, DEVICE_CODE, TOKEN_EXCHANGE, Client
from auth.grants.exchange import acting, subject_of
from auth.issue import may_refresh
from auth.policy import step_up_of
from auth.resource import Resource, scopes_for
from auth.store import Device, Family, Grant, digest
from auth.wire import NO_STORE, Parameters, Request, refusal

RUN = "alphaswarm_run"
INTERVAL_S = 5
MOST_WAITING = 200
"""Requests that may wait for a person at once; more are told to come back (429)."""
MOST_RESOURCES = 16
MOST_HOURS = 168
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so no words (RFC 8628 s.6.1); eight letters are 34 bits."""
_HASH = re.compile(r"[0-9a-f]{64}")

Answer = tuple[int, dict[str, Any], list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Run:
    """A long run that a machine wants a grant for: the SHA-256 of its spec, and how many hours."""

    spec: str = ""
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Run:
        """Return what ``authorization_details`` asks for; nothing where it was not sent."""
        if not text:
            return cls()
        try:
            (one,) = json.loads(text)
            run = cls(one["spec"], one["hours"])
            good = one["type"] == RUN and _HASH.fullmatch(run.spec) is not None
            if good and type(run.hours) is int and 1 <= run.hours <= MOST_HOURS:
                return run
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        about = f"authorization_details is one {RUN} with spec and hours (1 to {MOST_HOURS})."
        raise refusal("invalid_authorization_details", about)


class DeviceRequests(DeviceAuthorizationEndpoint):  # type: ignore[misc]  # authlib has no types
    """The device authorization endpoint; ``resource`` is required."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def create_endpoint_response(self, request: Request) -> Answer:
        """Return the two codes (RFC 8628 s.3.2)."""
        client: Client = self.authenticate_client(request)
        if not client.check_grant_type(DEVICE_CODE):
            raise refusal("unauthorized_client", "This client has no device flow.")
        run = Run.parse(request.payload.get("authorization_details"))
        if run.spec and not client.check_grant_type(TOKEN_EXCHANGE):
            raise refusal("unauthorized_client", "Only who may exchange tokens can hold a grant.")
        device, user = secrets.token_urlsafe(32), new_code()
        self._save(client, request.payload, run, device, user)
        page = self.server.config.endpoint("device")
        body = {
            "device_code": device,
            "user_code": f"{user[:4]}-{user[4:]}",
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={user[:4]}-{user[4:]}",
            "expires_in": self.server.config.lifetimes.device_s,
            "interval": INTERVAL_S,
        }
        return 200, body, list(NO_STORE)

    def _save(self, client: Client, asked: Parameters, run: Run, device: str, user: str) -> None:
        now, server = self.server.now(), self.server
        rows = [
            Device(
                device_hash=digest(device),
                resource=uri,
                user_hash=user_hash(user),
                client_id=client.client_id,
                scope=scope,
                created_at=now,
                expires_at=now + server.config.lifetimes.device_s,
                interval_s=INTERVAL_S,
                spec=run.spec,
                hours=run.hours,
            )
            for uri, scope in _wanted(server, asked).items()
        ]
        server.store.purge(now=now)
        if not server.store.add_devices(rows, now=now, at_most=MOST_WAITING):
            raise refusal("temporarily_unavailable", "Too many devices wait.", status=429)


class DeviceGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """The token endpoint's side: pending, slow_down, denied, over, or the token, once."""

    GRANT_TYPE = DEVICE_CODE
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def validate_token_request(self) -> None:
        """Check everything, and only then use the code up; a replay revokes what it gave."""
        client: Client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise refusal("unauthorized_client", "This client has no device flow.")
        self.request.client = client
        device = self._device(client)
        family: Family | None = self.server.store.find_family(device.sid)
        if family is None:
            raise refusal("expired_token", "The device code is over.")
        refresh = None
        self._device_row, self._family, self._refresh_token = device, family, None
        if not device.spec and may_refresh(family, client.grant_types):
            self._refresh_token, refresh = self.server.minter.refresh(family, self.server.now())
        used = (device.device_hash, device.resource, refresh)
        if not self.server.store.use_device(*used, now=self.server.now()):
            self.server.revoke(family, REPLAY)
            raise refusal("invalid_grant", "The device code was used before.")

    def create_token_response(self) -> Answer:
        """Return the token response; for a long run it names the grant (RFC 9396 s.7)."""
        family, device, server = self._family, self._device_row, self.server
        if not device.spec:
            body = server.minter.response(family, family.scope, self._refresh_token, server.now())
            return 200, body, list(NO_STORE)
        subject = subject_of(server, Grant(family.sid, device.spec), family)
        body = acting(server, self.request.client, subject, " ".join(subject.allowed))
        granted = {"type": RUN, "spec": device.spec, "hours": device.hours, "grant": family.sid}
        return 200, {**body, "authorization_details": [granted]}, list(NO_STORE)

    def _device(self, client: Client) -> Device:
        code = self.request.payload.get("device_code")
        if not code:
            raise refusal("invalid_request", "device_code is required.")
        rows, early = self.server.store.poll_device(digest(code), now=self.server.now())
        if not rows or rows[0].client_id != client.client_id:
            raise refusal("invalid_grant", "The device code is unknown.")
        device = self._chosen(rows)
        if device.decision == "deny":
            raise refusal("access_denied", "The person said no.")
        if device.expires_at <= self.server.now():
            raise refusal("expired_token", "The device code is over.")
        if not device.decision:
            name = "slow_down" if early else "authorization_pending"
            raise refusal(name, f"Ask again in {device.interval_s} seconds.")
        return device

    def _chosen(self, rows: list[Device]) -> Device:
        sent = self.request.payload.datalist.get("resource", [])
        if not sent and len(rows) == 1:
            return rows[0]
        uri = self.server.resources.find(sent).uri
        for device in rows:
            if device.resource == uri:
                return device
        raise refusal("invalid_target", "The device did not ask for this resource.")


def new_code() -> str:
    """Return a user code of eight letters."""
    return "".join(secrets.choice(ALPHABET) for _ in range(8))


def user_hash(typed: str) -> str:
    """Return the digest of a user code as typed; case, blanks and dashes are nothing."""
    return digest("device:" + "".join(letter for letter in typed.upper() if letter in ALPHABET))


def _wanted(server: Any, asked: Parameters) -> dict[str, str]:
    """Return the scope for each resource asked for: what the request names of its scopes."""
    sent = asked.datalist.get("resource", [])
    if len(sent) > MOST_RESOURCES:
        raise refusal("invalid_target", f"At most {MOST_RESOURCES} resources at once.")
    found: list[Resource] = [server.resources.find([uri]) for uri in sent or [""]]
    scopes = set(asked.get("scope").split())
    if step_up_of(scopes) != "none":
        raise refusal("invalid_scope", "A step-up scope is granted in the browser that acts.")
    known = {scope for resource in found for scope in resource.scopes}
    if not scopes - {"offline_access"} <= known:
        raise refusal("invalid_scope", "None of the resources has such a scope.")
    return {r.uri: scopes_for(r, " ".join(scopes & set(r.scopes))) for r in found}
