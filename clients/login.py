"""Signing in: as the operating-system user over a Unix socket, or as a person in the browser.

Each sign-in yields tokens for exactly one server. In the browser one visit chains the servers: the
answer to the first request leads straight to the next.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from clients.errors import unreachable
from clients.loopback import Loopback, Page
from clients.tokens import (
    CLIENT_ID,
    Grant,
    TokenStore,
    grant_of,
    issuer_of,
    oauth_error,
    token_request,
)
from topology.errors import AlphaSwarmError, RefusedError
from topology.home import Home
from topology.services import Face

STEP_UP = frozenset(
    {
        "agent:approve",
        "backtest:code",
        "bot:author",
        "bot:live",
        "control:apply",
        "control:halt",
        "control:resume",
        "rl:promote",
    }
)
"""Scopes that no stored sign-in holds: the command that needs one asks for it, each time."""
SOCKET = "login.sock"
SOCKET_S = 10.0
_LONGEST = 65_536


def usual(face: Face) -> frozenset[str]:
    """Return the scopes that a sign-in asks for: all of the server's but the step-up ones."""
    return frozenset(face.scopes) - STEP_UP


@dataclass(frozen=True, slots=True)
class StepUp:
    """What a step-up is for: a tool and its arguments (RFC 9396), and a code if one is typed."""

    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""

    @property
    def details(self) -> str:
        """The parameter ``authorization_details``, empty where no action is named."""
        if not self.tool:
            return ""
        action = {"type": "alphaswarm_action", "tool": self.tool, "arguments": dict(self.arguments)}
        return json.dumps([action])


def locally(
    home: Home, face: Face, scopes: frozenset[str], *, now: float, step_up: StepUp | None = None
) -> Grant:
    """Sign in by peer credentials: the kernel tells the issuer who we are.

    ``step_up`` adds the code of a second factor and the action that it is for.
    """
    issuer_of(face)
    question = {"resource": face.audience, "scope": " ".join(sorted(scopes))}
    if step_up is not None:
        question |= {"code": step_up.code, "authorization_details": step_up.details}
    return grant_of(face, _over_the_socket(home, question), now=now)


def factors(home: Home, username: str) -> dict[str, Any]:
    """Return a person's second factors: ``{factors, recovery_codes, people}``."""
    return _over_the_socket(home, {"factors_of": username})


def _over_the_socket(home: Home, question: Mapping[str, str]) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(SOCKET_S)
            wire.connect(str(home.sockets / SOCKET))
            wire.sendall(json.dumps(question).encode() + b"\n")
            answer = b""
            while len(answer) < _LONGEST and (part := wire.recv(4096)):
                answer += part
        body = json.loads(answer)
    except (OSError, ValueError) as error:
        raise unreachable("The issuer's local socket") from error
    if not isinstance(body, dict) or "error" in body:
        raise oauth_error(body)
    return body


@dataclass(frozen=True, slots=True)
class Request:
    """One authorization request: where the browser goes, and what its answer must match."""

    face: Face
    url: str
    state: str
    verifier: str = field(repr=False)
    redirect_uri: str
    client_id: str


def in_browser(
    wanted: Sequence[tuple[Face, frozenset[str]]],
    show: Callable[[str], None],
    *,
    now: Callable[[], float],
    timeout_s: float = 300.0,
    step_up: StepUp | None = None,
) -> list[Grant]:
    """Sign in with authorization code and PKCE (RFC 7636, RFC 8252), one grant per pair.

    ``show`` gets the URL to open. Raises ``sign_in_required`` when the person says no or nothing
    comes back within ``timeout_s``.
    """
    grants: list[Grant] = []
    with Loopback() as door:
        requests = [
            asked(face, scopes, door.redirect_uri, step_up=step_up) for face, scopes in wanted
        ]
        show(requests[0].url)
        for index, request in enumerate(requests):
            following = requests[index + 1].url if index + 1 < len(requests) else None
            arrived = door.wait(request.state, timeout_s=timeout_s)
            if arrived is None:
                raise RefusedError(
                    "No sign-in came back from the browser.",
                    hint="Try again, or use `alphaswarm login --local` on this machine.",
                    code="sign_in_required",
                )
            try:
                grants.append(redeem(request, arrived.answer, now=now()))
            except AlphaSwarmError as error:
                arrived.reply(Page("The sign-in did not work", error.message))
                raise
            arrived.reply(following or Page("You are signed in", "You can close this page."))
    return grants


def keep(store: TokenStore, faces: Iterable[Face], grants: Iterable[Grant]) -> None:
    """Store each grant with its server."""
    for face, grant in zip(faces, grants, strict=True):
        store.keep(face, grant)


def asked(
    face: Face,
    scopes: frozenset[str],
    redirect_uri: str,
    *,
    client_id: str = CLIENT_ID,
    step_up: StepUp | None = None,
) -> Request:
    """Return a new authorization request with PKCE, for exactly this server and these scopes."""
    details = step_up.details if step_up else ""
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "resource": face.audience,
        "scope": " ".join(sorted(scopes)),
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **({"authorization_details": details} if details else {}),
    }
    url = f"{issuer_of(face)}/authorize?{urlencode(query)}"
    return Request(face, url, state, verifier, redirect_uri, client_id)


def redeem(request: Request, answer: Mapping[str, str], *, now: float) -> Grant:
    """Exchange the code of ``answer``; its ``iss`` must be the issuer that was asked (RFC 9207).

    Raises ``access_denied`` for another issuer's answer and ``sign_in_required`` for a no.
    """
    if not hmac.compare_digest(answer.get("iss", "").encode(), request.face.issuer.encode()):
        raise RefusedError(
            "The answer did not come from our issuer.",
            hint="Nothing was signed in. Try again, and run `alphaswarm doctor`.",
            code="access_denied",
        )
    if "error" in answer:
        raise RefusedError(
            answer.get("error_description") or answer["error"],
            hint="Nothing was signed in; try again when you want to.",
            code="sign_in_required",
            error=answer["error"],
        )
    fields = {
        "grant_type": "authorization_code",
        "client_id": request.client_id,
        "code": answer.get("code", ""),
        "redirect_uri": request.redirect_uri,
        "code_verifier": request.verifier,
        "resource": request.face.audience,
    }
    response = token_request(request.face.issuer, fields)
    return grant_of(request.face, response, now=now, client_id=request.client_id)
