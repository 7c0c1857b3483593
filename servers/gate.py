"""The gate in front of every MCP app: who has no right does not get as far as the protocol.

The library cannot challenge from inside a tool (it answers 200 "Unknown tool"), so the decision is
made here, from the body, by `auth.policy.decide`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.binding import Action
from auth.policy import Allow, Challenge, Rule, admitted, decide, level_of
from servers import answers, bodies
from servers.actions import Actions
from servers.bearer import VerifiedToken
from servers.calls import refused
from servers.rules import Rules
from topology.clock import Clock
from topology.errors import BadInputError
from topology.principal import Principal
from topology.services import Face

MOST_CHALLENGES = 3
CHALLENGE_WINDOW_S = 300.0
_MEMORY = 4096
_METHOD_NOT_FOUND = -32601
_RUN = "run://"


class Gate:
    """ASGI middleware inside authentication: 401, 403, 400 and 413 are answered here."""

    def __init__(
        self, app: ASGIApp, *, face: Face, rules: Rules, clock: Clock, actions: Actions
    ) -> None:
        self._app = app
        self._actions = actions
        self._face = face
        self._rules = rules
        self._clock = clock
        self._challenged = Challenged()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = caller_of(scope)
        if caller is None:
            await unauthenticated(self._face, Headers(scope=scope))(scope, receive, send)
            return
        if not admitted(caller, self._face.actors):
            await challenge(self._face, Challenge(403, "access_denied"))(scope, receive, send)
            return
        try:
            answer, body = await self._judge(scope, receive, caller)
        except bodies.UnreadableError as error:
            answer, body = _rpc_error(error.status, error.code, error.message), b""
        if answer is not None:
            await answer(scope, receive, send)
        elif scope["method"] == "POST":
            await self._app(_resized(scope, body), bodies.replayed(body, receive), send)
        else:
            await self._app(scope, receive, send)

    async def _judge(
        self, scope: Scope, receive: Receive, caller: Principal
    ) -> tuple[Response | None, bytes]:
        if scope["method"] != "POST":
            return await self._decide(self._rules.read, caller, scope["method"], None), b""
        headers = Headers(scope=scope)
        raw = await bodies.read(receive, headers.get("content-length"))
        message = bodies.parse(raw)
        rule, about = self._rules.of(message)
        if rule is None:
            text = f"Method not found: {about[:64]!r}"
            # In a session 404 says that the session is gone, and the client would begin another.
            status = 200 if "mcp-session-id" in headers else 404
            return _rpc_error(status, _METHOD_NOT_FOUND, text, message.get("id")), b""
        if strayed(caller, message):
            return challenge(self._face, Challenge(403, "access_denied")), b""
        action = action_of(message) if rule.step_up != "none" else None
        answer = await self._decide(rule, caller, about, action, run=run_of(message))
        return answer, bodies.serialize(message)

    async def _decide(
        self, rule: Rule, caller: Principal, about: str, action: Action | None, *, run: str = ""
    ) -> Response | None:
        now = self._clock.now().timestamp()
        verdict = decide(rule, caller, now, action=action.sha256 if action else "", run=run)
        if isinstance(verdict, Allow) and action is not None and caller.bound:
            verdict = await self._actions.use(rule, caller, action, now)
        if isinstance(verdict, Allow):
            return None
        if verdict.scope and action is not None:
            await self._actions.note(caller, action if rule.step_up == "bound" else None, now)
        if verdict.scope and caller.actor is None:
            await self._actions.challenged(caller, self._face.audience, now)
        if verdict.status == 401 and self._challenged.too_often((caller.subject, about), now):
            verdict = replace(verdict, status=403, error="access_denied", scope="", acr_values="")
        return challenge(self._face, verdict)


def action_of(message: Mapping[str, Any]) -> Action | None:
    """Return what a tool call would do, or None where the message is none or has no hash."""
    params = message.get("params")
    if message.get("method") != "tools/call" or not isinstance(params, Mapping):
        return None
    arguments = params.get("arguments") or {}
    if not isinstance(arguments, Mapping):
        return None
    try:
        return Action.of(str(params.get("name")), arguments)
    except BadInputError:
        return None


def run_of(message: Mapping[str, Any]) -> str:
    """Return the one run that a tool call stops: its halt scope ``run:ID``, else empty."""
    scope = _arguments(message).get("scope")
    return scope.removeprefix("run:") if isinstance(scope, str) and scope.startswith("run:") else ""


def strayed(caller: Principal, message: Mapping[str, Any]) -> bool:
    """Tell whether a token for one job is used for another task or run."""
    if not caller.task_id:
        return False
    params = message.get("params")
    sent = params if isinstance(params, Mapping) else {}
    named = {**_arguments(message), **_tasks(sent)}
    mine = {"task_id": caller.task_id, "run_id": caller.run_id}
    return any(key in named and named[key] != own for key, own in mine.items())


def _arguments(message: Mapping[str, Any]) -> Mapping[str, Any]:
    params = message.get("params")
    found = params.get("arguments") if isinstance(params, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _tasks(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task or run that the protocol itself names: ``taskId``, or ``run://ID/..``."""
    found = {"task_id": params["taskId"]} if "taskId" in params else {}
    uri = params.get("uri")
    if isinstance(uri, str) and uri.startswith(_RUN):
        found["run_id"] = uri.removeprefix(_RUN).partition("/")[0]
    return found


class Challenged:
    """How often a caller was asked to sign in again for a thing: some clients never stop."""

    def __init__(self) -> None:
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def too_often(self, key: tuple[str, str], now: float) -> bool:
        """Note one more challenge; True once there were 3 within 300 s."""
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        while times and now - times[0] > CHALLENGE_WINDOW_S:
            times.popleft()
        if len(times) >= MOST_CHALLENGES:
            return True
        times.append(now)
        if len(self._times) > _MEMORY:
            self._times.popitem(last=False)
        return False


def caller_of(scope: Scope) -> Principal | None:
    """Return the verified caller of a request, or None."""
    token = getattr(scope.get("user"), "access_token", None)
    return token.principal if isinstance(token, VerifiedToken) else None


def unauthenticated(face: Face, headers: Headers) -> Response:
    """Return 401: without an ``error`` where no bearer token came (RFC 6750 s.3.1)."""
    scheme = headers.get("authorization", "").partition(" ")[0]
    sent = scheme.lower() == "bearer"
    parts = ['error="invalid_token"'] if sent else []
    parts += [f'scope="{face.read_scope}"'] if face.asked else []
    parts += [f'resource_metadata="{face.prm_url}"']
    return Response(status_code=401, headers=_headers(parts))


def challenge(face: Face, verdict: Challenge) -> Response:
    """Return 401 or 403 with its challenge (RFC 6750 s.3, RFC 9470 s.3) and the error object.

    Kinds of sign-in are called what the issuers of the server call them.
    """
    verdict = replace(verdict, acr_values=spoken(face, verdict.acr_values))
    values = {"error": verdict.error, "acr_values": verdict.acr_values}
    if verdict.max_age is not None and verdict.acr_values:
        values["max_age"] = str(verdict.max_age)
    values |= {"scope": verdict.scope if face.asked else "", "resource_metadata": face.prm_url}
    parts = [f'{name}="{value}"' for name, value in values.items() if value]
    body = answers.plain(refused(verdict))
    return JSONResponse(body, verdict.status, headers=_headers(parts))


def spoken(face: Face, acr_values: str) -> str:
    """Return kinds of sign-in in the words of the issuers whose tokens a server takes."""
    ours = acr_values.split()
    least = min(map(level_of, ours), default=0)
    theirs = [name for name, level in face.acr if least and level >= least]
    return " ".join(dict.fromkeys([*(ours if face.own else ()), *theirs]))


def _headers(parts: list[str]) -> dict[str, str]:
    return {"www-authenticate": f"Bearer {', '.join(parts)}", "cache-control": "no-store"}


def _unreadable(message: str) -> BadInputError:
    return BadInputError(
        message,
        hint=f"Send one JSON object in UTF-8: at most {bodies.MOST_BYTES} bytes and "
        f"{bodies.DEEPEST} levels, each key once, a method of this server.",
    )


def _rpc_error(status: int, code: int, message: str, identity: Any = None) -> Response:
    error = {"code": code, "message": message, "data": answers.plain(_unreadable(message))}
    return JSONResponse({"jsonrpc": "2.0", "id": identity, "error": error}, status)


def _resized(scope: Scope, body: bytes) -> Scope:
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"transfer-encoding")
    ]
    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
