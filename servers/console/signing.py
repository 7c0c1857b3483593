"""The console's visits to the issuer: to sign in, server after server, and to step up for one call.

Authorization code with PKCE; the code and the tokens it leads to never reach a script.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from clients import login
from clients.tokens import Grant, revoke
from servers.console import calls
from servers.console.sessions import VISIT_S, Session, Sessions, Visit, digest
from servers.identity.clients import CONSOLE, CONSOLE_CALLBACK
from topology.clock import Clock
from topology.errors import AlphaSwarmError, BadInputError
from topology.services import Face, Topology

HOME = "/console"
_OURS = re.compile(r"/console(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*(\?[A-Za-z0-9_.=&%:/+-]*)?")


class Signing:
    """Leads browsers to the issuer and takes its answers."""

    def __init__(self, topology: Topology, sessions: Sessions, clock: Clock) -> None:
        self._faces = calls.faces(topology)
        self._redirect = topology.base_url + CONSOLE_CALLBACK
        self._sessions = sessions
        self._clock = clock

    def begin(self, secret: str, target: str, *, fresh: bool) -> tuple[str, str]:
        """Return where a sign-in goes first, and the secret of the browser that makes it.

        ``fresh`` asks for the password even where the issuer still knows the browser.
        """
        secret = secret or secrets.token_urlsafe(32)
        first, *rest = self._faces
        face = self._faces[first]
        request = login.asked(face, calls.scopes(face), self._redirect, client_id=CONSOLE)
        visit = Visit(digest(secret), request, safe(target), self._until(), tuple(rest))
        return self._sessions.leave(visit) + ("&prompt=login" if fresh else ""), secret

    def step_up(self, secret: str, tool: str, arguments: Mapping[str, Any], target: str) -> str:
        """Return where a step-up for one call goes; the call is made when its answer comes."""
        if tool not in calls.STEPPED:
            raise BadInputError(
                f"The console steps up for {', '.join(sorted(calls.STEPPED))} only.",
                hint="Call this tool from another client.",
            )
        face, action = self._faces[calls.CONTROL], login.StepUp(tool, dict(arguments))
        wanted = frozenset({face.read_scope, calls.STEPPED[tool]})
        request = login.asked(face, wanted, self._redirect, client_id=CONSOLE, step_up=action)
        visit = Visit(digest(secret), request, safe(target), self._until(), action=action)
        return self._sessions.leave(visit)

    async def answered(self, secret: str, answer: Mapping[str, str]) -> tuple[str, str]:
        """Take the issuer's answer; return where the browser goes, and the secret it has now.

        An answer that no visit of this browser waits for leads to the sign-in page, which says so.
        """
        visit = self._sessions.come_back(answer.get("state", ""), secret)
        if visit is None:
            return f"{HOME}?failed=stale", secret
        session = self._sessions.find(secret)
        try:
            grant = await self._redeem(visit, answer)
        except AlphaSwarmError as error:
            if visit.action is None or session is None:
                return f"{HOME}?failed={error.wire_code}", secret
            session.note(tool=visit.action.tool, error=error.body())
            return visit.next, secret
        if visit.action is None:
            return self._onward(visit, grant, secret)
        if session is not None:
            await self._act(session, visit.action, grant)
        return visit.next, secret

    async def sign_out(self, secret: str) -> None:
        """End a session here, and its grants at the issuer as far as that answers."""
        session = self._sessions.find(secret)
        self._sessions.end(secret)
        for grant in session.grants.values() if session else ():
            await _revoked(grant)

    async def _redeem(self, visit: Visit, answer: Mapping[str, str]) -> Grant:
        now = self._clock.now().timestamp()
        return await anyio.to_thread.run_sync(lambda: login.redeem(visit.request, answer, now=now))

    def _onward(self, visit: Visit, grant: Grant, secret: str) -> tuple[str, str]:
        """Lead on to the next server, or, when there is none, into the session."""
        grants = {**visit.grants, grant.server: grant}
        if not visit.rest:
            return visit.next, self._sessions.begin(grants, secret)
        first, *rest = visit.rest
        face = self._faces[first]
        request = login.asked(face, calls.scopes(face), self._redirect, client_id=CONSOLE)
        following = Visit(digest(secret), request, visit.next, self._until(), tuple(rest), grants)
        return self._sessions.leave(following), secret

    async def _act(self, session: Session, action: login.StepUp, grant: Grant) -> None:
        """Make the one call that a step-up was for, and give its token back."""
        face: Face = self._faces[calls.CONTROL]
        try:
            result = await calls.once(face, grant.access_token, action.tool, action.arguments)
        except AlphaSwarmError as error:
            session.note(tool=action.tool, arguments=dict(action.arguments), error=error.body())
        else:
            session.note(tool=action.tool, arguments=dict(action.arguments), result=result)
        await _revoked(grant)

    def _until(self) -> float:
        return self._clock.now().timestamp() + VISIT_S


def safe(target: str) -> str:
    """Return a path of the console, whatever was asked for."""
    return target if len(target) <= 500 and _OURS.fullmatch(target) else HOME


async def _revoked(grant: Grant) -> None:
    try:
        await anyio.to_thread.run_sync(lambda: revoke(grant))
    except AlphaSwarmError:
        return  # it ends by itself, within minutes
