"""Every way in which a run can end, and that it ends once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ledger import halts, runs
from ledger.reaper import reap
from runtimes.base import Outcome
from runtimes.context import CancelledError, RunContext
from tests.kit.work import KIND, Bench, with_lease
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    StoreUnreachableError,
)
from topology.home import Home
from topology.latch import Latch


def raising(error: BaseException) -> Callable[[RunContext], Outcome]:
    def script(context: RunContext) -> Outcome:
        raise error

    return script


def test_a_run_that_succeeds_leaves_its_result_in_the_row_and_in_the_done_frame(
    bench: Bench,
) -> None:
    found = Outcome({"sharpe": 1.5}, {"equity": "a.b"}, "ab" * 32)

    run = bench.perform(lambda context: found)

    frames = bench.frames(run)
    assert [frame.stage for frame in frames] == ["start", "done"]
    assert frames[0].extras["attempt"] == 1
    assert frames[-1].extras["run_id"] == run.run_id
    assert frames[-1].extras["result"] == {
        "statistics": {"sharpe": 1.5},
        "result_tables": {"equity": "a.b"},
        "run_sha": None,
        "result_sha": "ab" * 32,
    }
    assert (run.status, run.statistics, run.result_sha) == ("succeeded", {"sharpe": 1.5}, "ab" * 32)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(BadInputError("No."), "failed", "invalid_arguments", id="bad input fails"),
        pytest.param(
            BadInputError("No bars.", code="empty_window"),
            "failed",
            "empty_window",
            id="the code on the wire is the instance's own",
        ),
        pytest.param(FaultError("Ours."), "failed", "internal", id="our fault fails"),
        pytest.param(
            ZeroDivisionError("secret /etc/path"), "failed", "internal", id="a bug is internal"
        ),
        pytest.param(
            StoreUnreachableError("Disk.", store="warehouse"),
            "failed",
            "store_unreachable",
            id="a warehouse that is gone fails the run",
        ),
        pytest.param(CancelledError("Stop."), "cancelled", "cancelled", id="cancelled"),
    ],
)
def test_what_the_work_raises_decides_how_the_run_ends(
    bench: Bench, error: AlphaSwarmError, status: str, code: str
) -> None:
    run = bench.perform(raising(error))

    assert run.status == status
    assert run.error is not None
    assert run.error["code"] == code
    last = bench.frames(run)[-1]
    assert last.stage == status
    assert "secret" not in last.model_dump_json()


@pytest.mark.parametrize(
    ("error", "keeps"),
    [
        pytest.param(BadInputError("No."), True, id="what was asked for failed"),
        pytest.param(FaultError("Ours."), False, id="our fault: nothing is to be trusted"),
    ],
)
def test_a_run_that_fails_for_what_it_was_asked_keeps_what_it_had(
    bench: Bench, error: AlphaSwarmError, keeps: bool
) -> None:
    kept = Outcome({"partial": True, "bars": 3}, {"equity": "t"})

    run = bench.perform(raising(error), kept=kept)

    assert run.status == "failed"
    assert (run.statistics, run.result_tables) == (
        ({"partial": True, "bars": 3}, {"equity": "t"}) if keeps else (None, None)
    )
    assert ("result" in bench.frames(run)[-1].extras) == keeps


@pytest.mark.parametrize("store", ["postgres", "catalog"])
def test_a_ledger_that_vanishes_in_the_middle_leaves_the_run_to_a_later_attempt(
    bench: Bench, store: str
) -> None:
    run = bench.perform(raising(StoreUnreachableError("Gone.", store=store)))

    assert run.status == "running"
    assert "failed" not in [frame.stage for frame in bench.frames(run)]


def test_a_run_that_was_claimed_elsewhere_is_left_alone(bench: Bench) -> None:
    run = bench.submit()
    taken = runs.claim(bench.workshop.pool, KIND, run.run_id, worker="other")
    assert taken is not None

    after = bench.perform(raising(AssertionError("must not run")), run=run)

    assert after.status == "running"
    assert after.worker == "other"


def test_a_halt_ends_the_run_with_epoch_scope_and_a_partial_result(
    bench: Bench, migrated: Home
) -> None:
    kept = Outcome({"partial": True, "bars": 3}, {"equity": "t"})
    run = bench.submit()
    scope = f"run:{run.run_id}"

    def script(context: RunContext) -> Outcome:
        with Latch.open(migrated.latch) as latch:
            latch.press(scope)
        context.checkpoint()
        raise AssertionError("the halt was not seen")

    run = bench.perform(script, run=run, kept=kept)

    assert (run.status, run.statistics) == ("halted", {"partial": True, "bars": 3})
    last = bench.frames(run)[-1]
    assert (last.stage, last.extras["scope"]) == ("halted", scope)
    assert run.run_id in halts.acks(bench.workshop.pool, last.extras["epoch"])
    with Latch.open(migrated.latch) as latch:
        assert latch.lift(scope, epoch=last.extras["epoch"])


def test_a_halt_pressed_before_the_start_stops_the_run_before_any_work(
    bench: Bench, migrated: Home
) -> None:
    run = bench.submit()
    scope = f"run:{run.run_id}"
    with Latch.open(migrated.latch) as latch:
        epoch = latch.press(scope)

    run = bench.perform(raising(AssertionError("must not run")), run=run)

    assert (run.status, run.statistics) == ("halted", None)
    with Latch.open(migrated.latch) as latch:
        latch.lift(scope, epoch=epoch)


def test_a_cancel_is_seen_within_two_seconds(bench: Bench) -> None:
    started = threading.Event()

    def script(context: RunContext) -> Outcome:
        started.set()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            context.checkpoint()
            time.sleep(0.01)
        raise AssertionError("the cancel was not seen")

    run = bench.submit()
    worker = threading.Thread(target=lambda: bench.perform(script, run=run))
    worker.start()
    assert started.wait(5)
    asked = time.monotonic()
    runs.cancel(bench.workshop.pool, run.run_id, by="tester")
    worker.join(5)

    assert runs.get(bench.workshop.pool, run.run_id).status == "cancelled"
    assert time.monotonic() - asked < 2


def test_whoever_lost_his_lease_writes_neither_end_nor_frame(bench: Bench) -> None:
    """The first worker dozes beyond its lease; the second one ends the run, once."""
    dozing, woken = threading.Event(), threading.Event()
    slow = with_lease(bench.workshop, 0.3)
    run = bench.submit()

    def doze(context: RunContext) -> Outcome:
        context._lease.__exit__(None, None, None)  # a stopped process renews nothing
        dozing.set()
        assert woken.wait(10)
        context.emit("warning", "too late", code="late")
        return Outcome({"who": "first"})

    first = threading.Thread(
        target=lambda: bench.perform(doze, run=run, workshop=slow), daemon=True
    )
    first.start()
    assert dozing.wait(5)
    time.sleep(0.5)
    reap(bench.workshop.pool)
    ended = bench.perform(lambda context: Outcome({"who": "second"}), run=run)
    woken.set()
    first.join(5)

    assert (ended.status, ended.statistics, ended.attempts) == ("succeeded", {"who": "second"}, 2)
    assert runs.get(bench.workshop.pool, run.run_id).statistics == {"who": "second"}
    stages = [frame.stage for frame in bench.frames(run)]
    assert stages.count("done") == 1
    assert stages[-1] == "done"
    assert "warning" not in stages


def test_a_worker_that_stops_gives_its_run_back_and_counts_no_attempt(bench: Bench) -> None:
    stopping = with_lease(bench.workshop, 30)

    def script(context: RunContext) -> Outcome:
        stopping.stopping.set()
        context.checkpoint()
        raise AssertionError("the stop was not seen")

    run = bench.perform(script, workshop=stopping)

    assert (run.status, run.attempts, run.lease_until) == ("queued", 0, None)

    again = bench.perform(lambda _: Outcome({"who": "next"}), run=run)

    assert (again.status, again.statistics) == ("succeeded", {"who": "next"})


def test_research_waits_while_the_latch_is_unreadable(bench: Bench, migrated: Home) -> None:
    away = migrated.latch.with_suffix(".away")
    passed = threading.Event()

    def script(context: RunContext) -> Outcome:
        migrated.latch.rename(away)
        back = threading.Timer(0.4, lambda: away.rename(migrated.latch))
        back.start()
        context.checkpoint()
        passed.set()
        return Outcome()

    began = time.monotonic()
    run = bench.perform(script)

    assert run.status == "succeeded"
    assert passed.is_set()
    assert time.monotonic() - began >= 0.4
    warning = next(frame for frame in bench.frames(run) if frame.stage == "warning")
    assert warning.extras["code"] == "latch_unreadable"


def test_a_halt_does_not_wait_for_work_that_cannot_look_up(bench: Bench, migrated: Home) -> None:
    run = bench.submit()
    scope = f"run:{run.run_id}"
    pressed: list[float] = []

    def native() -> None:
        with Latch.open(migrated.latch) as latch:
            latch.press(scope)
        pressed.append(time.monotonic())
        time.sleep(1.5)

    run = bench.perform(lambda context: context.attend(native), run=run)
    took = time.monotonic() - pressed[0]

    assert run.status == "halted"
    assert took < 1
    assert run.error is not None
    with Latch.open(migrated.latch) as latch:
        assert latch.lift(scope, epoch=run.error["facts"]["epoch"])


def test_attended_work_gives_its_result_or_raises_its_error(bench: Bench) -> None:
    def fails() -> None:
        raise BadInputError("No bars.", code="empty_window")

    good = bench.perform(lambda context: Outcome({"found": context.attend(lambda: 7)}))
    bad = bench.perform(lambda context: context.attend(fails))

    assert good.statistics == {"found": 7}
    assert bad.error is not None
    assert bad.error["code"] == "empty_window"
