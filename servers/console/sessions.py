"""Who is signed in at the console: tokens stay in this process, the browser has a secret for them.

Nothing is written down: a restart ends every session, and the issuer leads straight back in.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio.to_thread

from clients.errors import sign_in
from clients.login import Request, StepUp
from clients.tokens import MARGIN_S, Grant, refreshed
from topology.clock import Clock
from topology.services import Face

SESSION_S = 43_200
"""As long as a browser stays signed in at the issuer."""
VISIT_S = 600
MOST = 1_000
"""Sessions, and visits to the issuer, that are kept; the oldest go first."""
MOST_NOTICES = 5


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser on its way to the issuer: what was asked, and what follows the answer.

    ``rest`` are the servers to sign in at afterwards, ``grants`` what the visit has led to so far.
    With ``action`` it is a step-up of the session: its one call is made when the answer comes.
    """

    browser: str
    request: Request
    next: str
    until: float
    rest: tuple[str, ...] = ()
    grants: Mapping[str, Grant] = field(default_factory=dict)
    action: StepUp | None = None


@dataclass(slots=True)
class Session:
    """A person at a browser, with a grant for each server."""

    grants: dict[str, Grant]
    until: float
    notices: list[dict[str, Any]] = field(default_factory=list)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Return whose session it is."""
        return next((str(g.claims().get("sub", "")) for g in self.grants.values()), "")

    def note(self, **notice: Any) -> None:
        """Keep what the next page has to say; the oldest are dropped."""
        self.notices = [*self.notices, notice][-MOST_NOTICES:]

    async def token(self, face: Face, clock: Clock) -> str:
        """Return an access token for ``face``, refreshed where it ends soon.

        Raises ``sign_in_required`` where there is none, or where the issuer ended the grant.
        """
        async with self._locks.setdefault(face.name, asyncio.Lock()):
            grant = self.grants.get(face.name)
            if grant is None:
                raise sign_in(face.name)
            now = clock.now().timestamp()
            if grant.expires_at - MARGIN_S <= now:
                renew = partial(refreshed, face, grant, now=now)
                grant = self.grants[face.name] = await anyio.to_thread.run_sync(renew)
            return grant.access_token


class Sessions:
    """The sessions of one process, by the digest of the secret in the cookie."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def find(self, secret: str) -> Session | None:
        """Return the living session of a cookie."""
        session = self._open.get(digest(secret)) if secret else None
        if session is not None and session.until <= self._now():
            self.end(secret)
            return None
        return session

    def begin(self, grants: Mapping[str, Grant], old: str) -> str:
        """Begin a session under a new secret, which is returned; the one before ends."""
        self.end(old)
        secret = secrets.token_urlsafe(32)
        self._open[digest(secret)] = Session(dict(grants), self._now() + SESSION_S)
        _trim(self._open)
        return secret

    def end(self, secret: str) -> None:
        """Forget a session."""
        self._open.pop(digest(secret), None)

    def leave(self, visit: Visit) -> str:
        """Note a visit and return the address that it goes to."""
        self._visits[visit.request.state] = visit
        _trim(self._visits)
        return visit.request.url

    def come_back(self, state: str, secret: str) -> Visit | None:
        """Return the visit that an answer belongs to, once, and only to its own browser."""
        visit = self._visits.get(state)
        if visit is None or not hmac.compare_digest(visit.browser, digest(secret)):
            return None
        del self._visits[state]
        return visit if visit.until > self._now() else None

    def _now(self) -> float:
        return self._clock.now().timestamp()


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_token(secret: str) -> str:
    """Return the token that only a page of ours can have read."""
    return hashlib.sha256(b"console csrf:" + secret.encode()).hexdigest()


def _trim(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > MOST:
        kept.popitem(last=False)
