"""The kill switch as tools: pressed, seen run by run, and lifted by who has looked."""

from __future__ import annotations

import dataclasses
import threading
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from ledger import audit, halts, runs
from tests.kit.ledger import Desk
from tests.kit.office import ANNA
from tools import control_halts
from tools.control_halts import CHECKLIST, HaltView, PressedScope
from tools.registry import Office
from topology.errors import BadInputError, RefusedError
from topology.latch import Latch

MFA = dataclasses.replace(ANNA, acr="urn:alphaswarm:acr:mfa", auth_time=1767322800)


def press(office: Office, scope: str, **more: Any) -> HaltView:
    stop = partial(control_halts.halt, scope, "too risky", office=office, caller=MFA, **more)
    return anyio.run(stop)


def lift(office: Office, scope: str, epoch: int, reason: str = "checked it") -> HaltView:
    return control_halts.resume(scope, epoch, reason, list(CHECKLIST), office=office, caller=ANNA)


def row(view: HaltView, scope: str) -> PressedScope:
    return next(halt for halt in view.scopes if halt.scope == scope)


def test_a_halt_is_pressed_shown_and_lifted_with_the_epoch_that_was_seen(office: Office) -> None:
    scope = "spec:backtest/shown"
    pressed = press(office, scope, orders="keep")
    shown = control_halts.halt_status(office=office, caller=ANNA)
    seen = row(shown, scope)
    after = lift(office, scope, seen.epoch)

    assert (shown.halted, shown.latch, shown.receipt) == (True, "readable", None)
    assert (seen.actor, seen.reason, seen.orders) == ("anna", "too risky", "keep")
    assert (seen.covered, seen.stopped, seen.silent, seen.killed) == (0, 0, [], [])
    assert row(pressed, scope).epoch == seen.epoch
    assert scope not in [halt.scope for halt in after.scopes]


def test_the_receipt_names_the_row_of_the_audit_chain(office: Office) -> None:
    """K10: who, by which sign-in, why, what and which epoch stand there, before and after."""
    scope = "spec:backtest/recorded"
    pressed = press(office, scope)
    epoch = row(pressed, scope).epoch
    lifted = lift(office, scope, epoch)

    for action, view, said in (
        ("halt", pressed, {"orders": "cancel", "reason": "too risky", **MFA.facts()}),
        ("resume", lifted, {"checked": " ".join(sorted(CHECKLIST)), **ANNA.facts()}),
    ):
        assert view.receipt is not None
        found = audit.tail(office.pool, after=view.receipt.seq - 1, limit=1)[0]
        assert (found.hash, found.decision) == (view.receipt.hash, "done")
        assert (found.actor, found.action, found.target) == ("anna", action, scope)
        assert said.items() <= found.facts.items()
        assert found.facts["epoch"] == epoch
        (intended,) = audit.tail(office.pool, after=int(found.facts["intent"]) - 1, limit=1)
        assert (intended.action, intended.decision) == (action, "intended")


def test_acknowledgements_are_counted_run_by_run(office: Office, desk: Desk) -> None:
    """K9: n of m; a run that acknowledged and one that ended count, a silent one is named."""
    scope = "spec:workflow/counted"
    claims = [desk.claimed(kind="workflow", name="counted") for _ in range(3)]
    pressed = row(press(office, scope), scope)
    halts.ack(office.pool, pressed.epoch, claims[0].run_id)
    runs.finish(office.pool, claims[1], status="succeeded", stage="done", message="Done.")

    seen = row(control_halts.halt_status(office=office, caller=ANNA), scope)

    assert (pressed.covered, pressed.stopped) == (3, 0)
    assert (seen.covered, seen.stopped) == (3, 2)
    assert [(run.run_id, run.worker) for run in seen.silent] == [(claims[2].run_id, "tester")]
    with pytest.raises(RefusedError) as refused:
        lift(office, scope, seen.epoch)
    assert refused.value.facts["runs"] == [claims[2].run_id]

    frames = halts.end_killed(
        office.pool, "workflow", claims[2].run_id, attempt=1, scope=scope, epoch=seen.epoch
    )
    killed = row(control_halts.halt_status(office=office, caller=ANNA), scope)
    assert (killed.stopped, killed.killed) == (3, [claims[2].run_id])
    ended = runs.get(office.pool, claims[2].run_id)
    assert (ended.status, (ended.error or {})["facts"]["silent"]) == ("halted", True)
    assert (frames[-1].stage, frames[-1].extras["silent"]) == ("halted", True)
    lift(office, scope, seen.epoch)


@pytest.mark.parametrize("missing", CHECKLIST)
def test_a_resume_needs_the_whole_checklist(office: Office, missing: str) -> None:
    """K11: open orders 0, positions known; both, or nothing is lifted."""
    scope = "spec:backtest/listed"
    epoch = row(press(office, scope), scope).epoch
    checked: list[Any] = [check for check in CHECKLIST if check != missing]

    with pytest.raises(RefusedError) as refused:
        control_halts.resume(scope, epoch, "hasty", checked, office=office, caller=ANNA)

    assert (refused.value.wire_code, refused.value.facts["missing"]) == (
        "resume_refused",
        [missing],
    )
    lift(office, scope, epoch)


def test_nobody_lifts_a_halt_that_he_has_not_seen(office: Office) -> None:
    """K2: a resume names the epoch it lifts and cannot clear a newer one."""
    scope = "spec:backtest/twice"
    seen = row(press(office, scope), scope).epoch
    newer = row(press(office, scope), scope).epoch

    with pytest.raises(RefusedError) as refused:
        lift(office, scope, seen)
    lift(office, scope, newer)

    assert refused.value.wire_code == "resume_refused"
    assert refused.value.facts["epoch"] == newer


@pytest.mark.parametrize("orders", ["cancel", "keep", "flatten"])
def test_what_becomes_of_orders_stands_in_latch_and_record(office: Office, orders: Any) -> None:
    """K3: chosen when it is pressed, readable where no database is."""
    scope = "spec:bot/effects"
    epoch = row(press(office, scope, orders=orders), scope).epoch
    with Latch.open(office.home.latch) as latch:
        assert latch.orders(("all", scope)) == orders
    halts.sync_latch(office.pool, office.home)
    assert row(control_halts.halt_status(office=office, caller=ANNA), scope).orders == orders
    lift(office, scope, epoch)


@pytest.mark.parametrize(
    "scope",
    ["everything", "kind:backtests", "spec:backtest", "run:1", "all ", ""],
)
def test_a_scope_that_is_none_is_refused(office: Office, scope: str) -> None:
    with pytest.raises(BadInputError):
        press(office, scope)
    with pytest.raises(BadInputError):
        lift(office, scope, 1)


def test_a_latch_that_is_gone_counts_as_halted(office: Office) -> None:
    """K6: unreadable is halted."""
    latch = office.home.latch
    away = latch.with_suffix(".gone")
    latch.rename(away)
    try:
        shown = control_halts.halt_status(office=office, caller=ANNA)
    finally:
        away.rename(latch)

    assert (shown.halted, shown.latch) == (True, "unreadable")


def test_a_stop_waits_for_no_other_call(office: Office) -> None:
    """K5: every thread of the server may be busy; a halt has one of its own."""
    scope, busy = "spec:backtest/unqueued", threading.Event()

    async def occupy() -> None:
        await anyio.to_thread.run_sync(busy.wait)

    async def halted() -> HaltView:
        threads = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
        async with anyio.create_task_group() as group:
            for _ in range(threads):
                group.start_soon(occupy)
            await anyio.sleep(0.1)
            try:
                with anyio.fail_after(30):
                    view = await control_halts.halt(scope, "now", office=office, caller=MFA)
            finally:
                busy.set()
        return view

    lift(office, scope, row(anyio.run(halted), scope).epoch)
