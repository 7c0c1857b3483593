"""Bound tokens at the gate: each works once; what was refused waits for the person's sign-in."""

from __future__ import annotations

from typing import Protocol

import anyio.to_thread

from auth.binding import REMEMBERED_S, Action
from auth.policy import FRESH_S, Allow, Challenge, Rule, accepted
from auth.store import Refused
from topology.principal import Principal

KEPT_S = 1_800
"""How long a used token is remembered: longer than any token lives."""


class OnceStore(Protocol):
    """The part of the issuer's memory that the gate needs; may block."""

    def note_refused(self, refused: Refused) -> None:
        """Remember the newest refused action of a person at a client."""

    def note_challenge(self, username: str, client_id: str, resource: str, *, now: int) -> None:
        """Remember that a server asked for a stronger sign-in."""

    def use_once(self, jti: str, *, until: int) -> bool:
        """Note that a token was used; False when it was before."""


class Actions:
    """What one process of servers knows of bound tokens, all of it in the store."""

    def __init__(self, store: OnceStore) -> None:
        self._store = store

    async def use(
        self, rule: Rule, caller: Principal, action: Action, now: float
    ) -> Allow | Challenge:
        """Use a bound token up for the action that it names; for another one it is no token."""
        if caller.bound == action.sha256 and await anyio.to_thread.run_sync(
            lambda: self._store.use_once(caller.jti, until=int(now) + KEPT_S)
        ):
            return Allow()
        return Challenge(
            401,
            "insufficient_user_authentication",
            scope=" ".join(sorted({*caller.scopes, *rule.scopes})),
            acr_values=" ".join(accepted(rule.step_up)),
            max_age=FRESH_S,
        )

    async def challenged(self, caller: Principal, audience: str, now: float) -> None:
        """Remember that the caller needs a new sign-in: a refresh would not do.

        TypeScript clients answer a challenge by a refresh of the old scope and then give up
        (typescript-sdk #2255); the issuer refuses that one refresh, and they sign in.
        """
        about = (caller.subject, caller.client_id, audience)
        await anyio.to_thread.run_sync(lambda: self._store.note_challenge(*about, now=int(now)))

    async def note(self, caller: Principal, action: Action | None, now: float) -> None:
        """Remember what was refused, so that the issuer can ask the person about exactly that.

        None, for what needs no bound token, forgets what was noted: the next sign-in is for this.
        """
        refused = Refused(
            username=caller.subject,
            client_id=caller.client_id,
            tool=action.tool if action else "",
            text=action.text if action else "",
            expires_at=int(now) + (REMEMBERED_S if action else 0),
        )
        await anyio.to_thread.run_sync(lambda: self._store.note_refused(refused))
