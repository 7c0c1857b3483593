"""Work that changes the world outside: planned, approved by a person, made once.

A run of such a kind goes through a worker twice. The first time it plans, and waits for an approval
that names the plan's hash. The second time it looks whether the plan still holds, writes the
intent, and makes the change. A worker that dies in between leaves a run that was begun: the next
one asks the world what became of it, and never begins again blindly.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from ledger import plans
from ledger.intents import intending
from ledger.waiting import Wait
from runtimes.base import Outcome, Runtime
from runtimes.context import RunContext
from topology.canonical import sha256
from topology.clock import rfc3339
from topology.errors import FaultError

Action = Literal["create", "update", "replace", "destroy"]
DESTRUCTIVE = frozenset({"replace", "destroy"})
APPLY = "apply_change"
"""The action of the audit rows around a change that is made."""


class OutcomeUnknownError(FaultError):
    """Nobody can tell whether a change was made; it is not made again."""

    code = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that would become another: its address, what happens to it, and a sentence."""

    address: str
    action: Action
    detail: str = ""

    def body(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"address": self.address, "action": self.action, "detail": self.detail}


@dataclass(frozen=True)
class Plan:
    """What applying would do; ``facts`` are what it rests on (JSON, no secrets).

    Both are under the hash that an approval names. ``approvals`` says how many are needed: 2 where
    something is destroyed that nothing brings back.
    """

    changes: tuple[Change, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    approvals: Literal[1, 2] = 1

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Plan:
        """Return the plan of its `body`."""
        changes = tuple(Change(**change) for change in body["changes"])
        return cls(changes, body["facts"], body["approvals"])

    def body(self) -> dict[str, Any]:
        """Return what is hashed and kept."""
        changes = [change.body() for change in self.changes]
        return {"changes": changes, "facts": dict(self.facts), "approvals": self.approvals}

    @cached_property
    def sha256(self) -> str:
        """The hash that an approval names."""
        return sha256(self.body())

    @property
    def destroys(self) -> tuple[str, ...]:
        """The addresses that would be destroyed or replaced."""
        return tuple(one.address for one in self.changes if one.action in DESTRUCTIVE)


class ChangeRuntime(Runtime):
    """Plans, waits for the approval, and makes the change: the four steps are the kind's own."""

    mutates = True

    @abstractmethod
    def plan(self, context: RunContext) -> Plan:
        """Find out what would change; touches nothing. No changes: the run ends here."""

    @abstractmethod
    def check(self, context: RunContext, plan: Plan) -> None:
        """Return if the approved plan still holds, else raise ``plan_stale``; touches nothing."""

    @abstractmethod
    def apply(self, context: RunContext, plan: Plan) -> Outcome | Wait:
        """Make the change, a frame ``resource.changed`` for each; the intent is written.

        A `Wait` leaves the run waiting while what it started lives.
        """

    @abstractmethod
    def recover(self, context: RunContext, plan: Plan) -> Outcome | Wait:
        """Ask the world what became of an attempt that died while it made the change.

        Finish what can be finished without doing anything twice; else raise `OutcomeUnknownError`.
        """

    def work(self, context: RunContext) -> Outcome | Wait:
        """Take the run as far as it may go now."""
        row = plans.find(context.workshop.pool, context.run.run_id)
        if row is None:
            return self._planned(context)
        plan = Plan.read(row.plan)
        if not row.approved:
            return _asked(context, row, plan)
        if row.begun_at is not None:
            with self._intending(context, row):
                return self.recover(context, plan)
        plans.check(row, plan.sha256)
        self.check(context, plan)
        context.checkpoint()
        with self._intending(context, row):
            plans.begin(context.workshop.pool, context.run.run_id)
            return self.apply(context, plan)

    def _planned(self, context: RunContext) -> Outcome | Wait:
        plan, run = self.plan(context), context.run
        context.emit("plan.done", _told(plan), plan_sha256=plan.sha256, changes=len(plan.changes))
        if not plan.changes:
            return Outcome(statistics={"plan": _shown(plan)}, message="Nothing would change.")
        row = plans.put(
            context.workshop.pool,
            run_id=run.run_id,
            kind=run.kind,
            plan_sha256=plan.sha256,
            plan=plan.body(),
            approvals=plan.approvals,
        )
        return _asked(context, row, Plan.read(row.plan))

    def _intending(self, context: RunContext, row: plans.Row) -> Any:
        """Return the block around the effect: its intent first, its outcome after it."""
        last = row.given[-1]
        return intending(
            context.workshop.pool,
            actor=str(last["by"]),
            action=APPLY,
            target=f"run:{context.run.run_id}",
            args_sha256=row.plan_sha256,
            facts={key: last[key] for key in ("client_id", "jti", "acr", "auth_time")},
        )


def _asked(context: RunContext, row: plans.Row, plan: Plan) -> Wait:
    """Return the wait for the approval of a plan."""
    del context
    expires = rfc3339(row.expires_at)
    return Wait(
        "approval.required",
        f"Approve the plan {row.plan_sha256[:12]} until {expires}.",
        {"plan_sha256": row.plan_sha256, "expires_at": expires, "destroys": list(plan.destroys)},
        {"plan": _shown(plan) | {"expires_at": expires}},
    )


def _shown(plan: Plan) -> dict[str, Any]:
    """Return what the run's record shows of a plan."""
    return {
        "sha256": plan.sha256,
        "changes": [change.body() for change in plan.changes],
        "destroys": list(plan.destroys),
        "approvals": plan.approvals,
        "facts": dict(plan.facts),
    }


def _told(plan: Plan) -> str:
    counts = [
        (action, sum(one.action == action for one in plan.changes)) for action in get_args(Action)
    ]
    said = ", ".join(f"{count} to {action}" for action, count in counts if count)
    return f"{said.capitalize()}." if said else "Nothing would change."
