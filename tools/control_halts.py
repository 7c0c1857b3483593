"""The kill switch as tools of ``control``: pressed by a person, lifted by one who has looked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, get_args

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from ledger import standing
from ledger.halts import ActiveHalt
from tools.registry import Office, tool
from topology.clock import rfc3339
from topology.errors import LatchUnreadableError, RefusedError
from topology.latch import Latch, Orders, parse_scope
from topology.principal import Principal

READ = Rule(scopes=("control:read",), actor="any")
HALT = Rule(scopes=("control:halt",), step_up="mfa", own_run=True)
RESUME = Rule(scopes=("control:resume",), step_up="bound")

Check = Literal["open_orders_0", "positions_known"]
CHECKLIST: tuple[Check, ...] = get_args(Check)
MOST_NAMED = 50
"""Runs that a result names one by one."""

Scope = Annotated[str, Field(description="all, kind:K, spec:KIND/NAME or run:ID")]
Reason = Annotated[str, Field(min_length=3, max_length=500)]


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


class SilentRun(Frozen):
    """A run that a halt covers and that has not stopped; ``worker`` is node:pid."""

    run_id: str
    worker: str


class PressedScope(Frozen):
    """One scope that is halted now, and how far it has come: ``stopped`` of ``covered`` runs.

    ``silent`` runs have not stopped; ``killed`` ones had to be ended.
    """

    scope: str
    epoch: int
    actor: str
    reason: str
    at: str
    orders: Orders
    covered: int
    stopped: int
    silent: list[SilentRun]
    killed: list[str]


class Receipt(Frozen):
    """The row of the audit chain that says that it was done."""

    seq: int
    hash: str


class HaltView(Frozen):
    """The kill switch: ``halted`` is true while any scope is pressed or the latch is unreadable.

    ``receipt`` comes with a halt or resume; null while its audit row waits in the spool.
    """

    halted: bool
    epoch: int
    latch: str
    scopes: list[PressedScope]
    receipt: Receipt | None = None


def _liquidates(arguments: Mapping[str, Any]) -> str | None:
    """Stopping asks nobody; selling everything does."""
    return str(arguments["scope"]) if arguments["orders"] == "flatten" else None


@tool(server="control", auth=READ, title="Kill switch status", read_only=True)
def halt_status(*, office: Office, caller: Principal) -> HaltView:
    """Tell what is halted, by whom and why, and which runs have stopped for it or say nothing."""
    del caller
    return _view(office)


@tool(
    server="control",
    auth=HALT,
    title="Halt",
    read_only=False,
    destructive=True,
    idempotent=True,
    confirm=_liquidates,
)
async def halt(
    scope: Scope,
    reason: Reason,
    orders: Annotated[Orders, Field(description="What becomes of open orders")] = "cancel",
    confirm: Annotated[str | None, Field(description="The scope again, to flatten")] = None,
    *,
    office: Office,
    caller: Principal,
) -> HaltView:
    """Stop what a scope covers, at once, until a person resumes it. Needs a second factor.

    New work always stops; open orders are cancelled unless kept. `flatten` closes positions too
    and must be confirmed. Halting twice only raises the epoch. An agent may halt its own run.
    """
    del confirm
    _only_itself(caller, scope, orders)
    press = partial(_press, office, caller, parse_scope(scope), reason, orders)
    return await anyio.to_thread.run_sync(press, limiter=anyio.CapacityLimiter(1))


@tool(
    server="control",
    auth=RESUME,
    title="Lift a halt",
    read_only=False,
    destructive=True,
    idempotent=True,
)
def resume(
    scope: Scope,
    epoch: Annotated[int, Field(ge=1, description="Of the halt that you looked at")],
    reason: Reason,
    checked: Annotated[list[Check], Field(description="What you made sure of: all of it")],
    *,
    office: Office,
    caller: Principal,
) -> HaltView:
    """Lift one halt. Needs a person's second factor, just now, for exactly this.

    A newer halt of the scope stays. Refused while a run that it covers has not stopped, and until
    open orders are none and positions are known. What was halted stays ended.
    """
    _complete(parse_scope(scope), checked)
    _quiet(office, scope, epoch)
    office.halts.lift(
        scope,
        epoch=epoch,
        actor=caller.subject,
        acr=caller.acr,
        auth_time=caller.auth_time,
        reason=reason,
        facts={**caller.facts(), "checked": " ".join(sorted(set(checked)))},
    )
    return _view(office, _receipt(office, "resume", scope, epoch))


def _only_itself(caller: Principal, scope: str, orders: Orders) -> None:
    """Refuse an agent whatever is not its own run, and closing positions there too."""
    if caller.actor is not None and (scope != f"run:{caller.run_id}" or orders == "flatten"):
        raise RefusedError(
            "An agent stops its own run and nothing else.",
            hint=f"Halt 'run:{caller.run_id}', or ask a person.",
            scope=scope,
        )


def _press(office: Office, caller: Principal, scope: str, reason: str, orders: Orders) -> HaltView:
    """Press in a thread of its own: a stop waits for no other call, of nobody."""
    epoch = office.halts.press(
        scope,
        actor=caller.actor or caller.subject,
        acr=caller.acr,
        auth_time=caller.auth_time,
        reason=reason,
        orders=orders,
        facts={**caller.facts(), "on_behalf_of": caller.subject},
    )
    return _view(office, _receipt(office, "halt", scope, epoch))


def _complete(scope: str, checked: list[Check]) -> None:
    missing = [check for check in CHECKLIST if check not in checked]
    if missing:
        raise RefusedError(
            f"The checklist is not complete: {', '.join(missing)}.",
            hint="Make sure of each, then name them all in checked.",
            code="resume_refused",
            scope=scope,
            missing=missing,
        )


def _quiet(office: Office, scope: str, epoch: int) -> None:
    """Refuse while a run that this halt covers is still at work: it would simply go on."""
    pressed = [h for h in office.halts.status().scopes if (h.scope, h.epoch) == (scope, epoch)]
    silent = [run for h in pressed for run, _ in standing.of(office.pool, scope, h.at).silent]
    if silent:
        raise RefusedError(
            f"{len(silent)} runs under the halt of {scope!r} have not stopped yet.",
            hint="Wait: what does not stop by itself is killed within seconds.",
            code="resume_refused",
            scope=scope,
            runs=silent[:MOST_NAMED],
        )


def _view(office: Office, receipt: Receipt | None = None) -> HaltView:
    status = office.halts.status()
    try:
        with Latch.open(office.home.latch):
            latch = "readable"
    except LatchUnreadableError:
        latch = "unreadable"
    return HaltView(
        halted=status.halted or latch == "unreadable",
        epoch=status.epoch,
        latch=latch,
        scopes=[_pressed(office, halt) for halt in status.scopes],
        receipt=receipt,
    )


def _pressed(office: Office, halt: ActiveHalt) -> PressedScope:
    runs = standing.of(office.pool, halt.scope, halt.at)
    return PressedScope(
        scope=halt.scope,
        epoch=halt.epoch,
        actor=halt.actor,
        reason=halt.reason,
        at=rfc3339(halt.at),
        orders=halt.orders,
        covered=len(runs.covered),
        stopped=len(runs.stopped),
        silent=[SilentRun(run_id=run, worker=at) for run, at in runs.silent[:MOST_NAMED]],
        killed=list(runs.killed[:MOST_NAMED]),
    )


def _receipt(office: Office, action: str, scope: str, epoch: int) -> Receipt | None:
    found = standing.receipt(office.pool, action, scope, epoch)
    return None if found is None else Receipt(seq=found.seq, hash=found.hash)
