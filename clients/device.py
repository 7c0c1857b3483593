"""Signing in on a machine without a browser (RFC 8628): show a code, wait until somebody allows it.

One code is good for all servers that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clients.tokens import CLIENT_ID, Grant, grant_of, issuer_of, oauth_error, token_request
from clients.wire import client, json_of, reaching
from topology.errors import AlphaSwarmError, RefusedError
from topology.services import Face

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
LONGER_S = 5
"""How much longer to wait after ``slow_down`` (RFC 8628 s.3.5)."""

Wanted = Sequence[tuple[Face, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Code:
    """What a person needs: the address to open and the code to type there."""

    url: str
    user_code: str
    complete_url: str
    expires_s: float


def by_device(
    wanted: Wanted,
    show: Callable[[Code], None],
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[Grant]:
    """Sign in at all ``wanted`` servers of one issuer with one code; one grant for each.

    ``show`` gets the code at once; then the issuer is asked every few seconds. Raises
    ``sign_in_required`` when the person says no or nobody decides in time.
    """
    issuer = issuer_of(wanted[0][0])
    begun = _begin(issuer, wanted)
    show(_code(begun))
    fields = {
        "grant_type": GRANT_TYPE,
        "client_id": CLIENT_ID,
        "device_code": str(begun["device_code"]),
    }
    pause, end = float(begun.get("interval", LONGER_S)), now() + float(begun["expires_in"])
    grants: list[Grant] = []
    while len(grants) < len(wanted):
        face = wanted[len(grants)][0]
        try:
            body = token_request(issuer, {**fields, "resource": face.audience})
            grants.append(grant_of(face, body, now=now()))
        except AlphaSwarmError as error:
            pause = _longer(error, pause)
            if now() + pause >= end:
                raise _over("Nobody allowed the sign-in in time.") from None
            sleep(pause)
    return grants


def _begin(issuer: str, wanted: Wanted) -> dict[str, Any]:
    scopes = sorted(scope for _, wanted_scopes in wanted for scope in wanted_scopes)
    form: dict[str, Any] = {
        "client_id": CLIENT_ID,
        "resource": [face.audience for face, _ in wanted],
        "scope": " ".join(scopes),
    }
    with reaching("The issuer"), client(issuer) as wire:
        response = wire.post(f"{issuer}/device_authorization", data=form)
    body = json_of(response)
    if response.status_code != 200 or not isinstance(body, dict) or "device_code" not in body:
        raise oauth_error(body)
    return body


def _code(body: dict[str, Any]) -> Code:
    url = str(body["verification_uri"])
    complete = str(body.get("verification_uri_complete", url))
    return Code(url, str(body["user_code"]), complete, float(body["expires_in"]))


def _longer(error: AlphaSwarmError, pause: float) -> float:
    """Return how long to wait after a refusal; one that waiting does not cure is raised."""
    if error.wire_code == "authorization_pending":
        return pause
    if error.wire_code == "slow_down":
        return pause + LONGER_S
    if error.wire_code in {"access_denied", "expired_token"}:
        raise _over(error.message) from None
    raise error


def _over(message: str) -> RefusedError:
    return RefusedError(
        message,
        hint="Nothing was signed in. Run `alphaswarm login --device` again for a new code.",
        code="sign_in_required",
    )
