"""The runtime of kind ``terraform``: planned, approved by the hash of the plan, applied once."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

from ledger import specs
from ledger.waiting import Wait
from runtimes.base import Outcome
from runtimes.changes import Change, ChangeRuntime, OutcomeUnknownError, Plan
from runtimes.context import CancelledError, RunContext
from runtimes.specs.terraform import StackSpec
from runtimes.terraform import reading
from runtimes.terraform.formats import Message, State
from runtimes.terraform.program import StackError
from runtimes.terraform.session import Session, opened
from topology.errors import AlphaSwarmError, BadInputError, HaltedError

DRIFT = "stack_drift"
"""Code of the warning that something was changed outside."""
NAMED = 50
"""Addresses that an error or a result names one by one."""
_DONE = {"create": "create", "update": "update", "delete": "destroy"}


class TerraformRuntime(ChangeRuntime):
    """Serves one attempt; the stack's folder is held until it ends."""

    kind: ClassVar[str] = "terraform"

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._session: Session | None = None
        self._applied: list[dict[str, str]] = []

    def work(self, context: RunContext) -> Outcome | Wait:
        """Take the run as far as it may go now, then let go of the stack."""
        with self._open:
            return super().work(context)

    def plan(self, context: RunContext) -> Plan:
        """Plan against the state as it is; nothing of a value leaves the folder."""
        session = self._opened(context)
        state = session.state()
        shown = session.plan()
        plan = reading.read(
            shown,
            state,
            hashes=session.files.hashes(),
            mode=session.spec.mode,
            stores=context.workshop.topology.terraform.stores,
        )
        drift = plan.facts["drift"]
        if drift:
            text = f"{len(drift)} resources were changed outside."
            addresses = [one["address"] for one in drift[:NAMED]]
            context.emit("warning", text, code=DRIFT, addresses=addresses)
        if not plan.changes:
            session.files.forget()
        return plan

    def check(self, context: RunContext, plan: Plan) -> None:
        """Compare the plan's files with their hashes, and the state with its serial."""
        session = self._opened(context)
        expected = (plan.facts["plan_bin_sha256"], plan.facts["plan_json_sha256"])
        if session.files.hashes() != expected:
            raise _stale("The plan's file is not the one that was approved.", plan)
        state = session.state()
        if (state.serial, state.lineage) != _stands(plan):
            raise _stale("The state was written since the plan was made.", plan, state)

    def apply(self, context: RunContext, plan: Plan) -> Outcome:
        """Apply the very file that was approved; a program that dies is asked about afterwards."""
        session = self._opened(context)
        try:
            ended = session.apply(lambda said: self._heard(context, said))
        except (HaltedError, CancelledError) as error:
            error.facts.update(self._told(session))
            session.files.forget()
            raise
        session.files.forget()
        if ended.status == 0:
            return self._outcome(session.state(), plan)
        if ended.status < 0:
            return self.recover(context, plan)
        try:
            session.program.accepted("apply", ended)
        except StackError as error:
            error.facts.update(self._told(session))
            raise
        raise AssertionError  # pragma: no cover - a status that is not 0 was refused

    def recover(self, context: RunContext, plan: Plan) -> Outcome:
        """Compare tree, state and world anew: nothing left to change means that it was made.

        Anything else leaves open how far it came, and nothing is applied.
        """
        session = self._opened(context)
        state = session.state()
        left: list[str] = []
        try:
            changed = session.compare(heard=lambda said: _left(left, said))
        except StackError as error:
            raise self._unknown(plan, state, left) from error
        if changed:
            raise self._unknown(plan, state, left)
        return self._outcome(state, plan, reconciled=True)

    def salvage(self, context: RunContext) -> Outcome | None:
        """Keep which resources a run had changed that was stopped in between."""
        if not self._applied:
            return None
        return Outcome({"applied": self._applied[:NAMED], "partial": True})

    def _opened(self, context: RunContext) -> Session:
        if self._session is None:
            version = specs.get(context.workshop.pool, context.run.spec_sha256, kind=self.kind)
            spec = StackSpec.model_validate(version.body)
            self._session = self._open.enter_context(opened(context, spec))
        return self._session

    def _heard(self, context: RunContext, said: Message) -> None:
        if said.type != "apply_complete" or said.hook is None:
            return
        action = _DONE.get(said.hook.action, said.hook.action)
        done = Change(said.hook.resource.addr, action)  # type: ignore[arg-type]  # as it was said
        self._applied.append({"address": done.address, "action": action})
        text = f"{done.address}: {action}."
        context.emit("resource.changed", text, address=done.address, action=action)

    def _told(self, session: Session) -> dict[str, Any]:
        """Return what is known of a change that was not made whole."""
        known = {"applied": self._applied[:NAMED]}
        return known | ({"outcome": "unknown"} if session.program.hard else {})

    def _outcome(self, state: State, plan: Plan, *, reconciled: bool = False) -> Outcome:
        found = {
            "plan_sha256": plan.sha256,
            "changes": len(plan.changes),
            "applied": self._applied[:NAMED],
            "resources": len(state.addresses()),
            "state_serial": state.serial,
            "reconciled": reconciled,
        }
        message = "The state holds it all: nothing is left to change." if reconciled else "Applied."
        return Outcome(found, message=message)

    def _unknown(self, plan: Plan, state: State, left: list[str]) -> AlphaSwarmError:
        serial, _ = _stands(plan)
        return OutcomeUnknownError(
            "The program ended while it made the change, and not all of it is in the state.",
            hint="Compare the stack with the world by hand, import what the state lacks, then plan "
            "again. Nothing is applied a second time by itself.",
            state_serial_before=serial,
            state_serial=state.serial,
            left=left[:NAMED],
        )


def _left(left: list[str], said: Message) -> None:
    if said.type == "planned_change" and said.change is not None:
        left.append(said.change.resource.addr)


def _stands(plan: Plan) -> tuple[int, str]:
    return plan.facts["state_serial"], plan.facts["state_lineage"]


def _stale(message: str, plan: Plan, state: State | None = None) -> BadInputError:
    facts: dict[str, Any] = {"plan_sha256": plan.sha256}
    if state is not None:
        facts |= {"planned_at_serial": plan.facts["state_serial"], "serial": state.serial}
    return BadInputError(
        message,
        hint="Plan again, look at what it would change, and approve that.",
        code="plan_stale",
        **facts,
    )
