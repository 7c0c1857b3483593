"""A run from its submission to its one end: claims, fences, leases, cancelling, listing."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from ledger import outbox, reaper, runs
from ledger.pool import Pool, transaction
from ledger.progress.bus import Bus
from ledger.progress.events import Pending, history
from tests.kit.ledger import Desk
from topology.clock import SystemClock, rfc3339
from topology.errors import AlphaSwarmError, BadInputError, LeaseLostError, MissingError
from topology.ids import new_id

PIN: dict[str, Any] = {"snapshot_ids": {"bars": "123456789012345678"}, "engine": {"version": "1"}}


SECOND_END = """
INSERT INTO run_events (task_id, seq, frame, fence, ticket)
SELECT task_id, 9, '{"stage": "failed"}', 9, 9 FROM backtest_runs WHERE run_id = %s
"""


def succeed(pool: Pool, claim: runs.Claim, **more: Any) -> Any:
    return runs.finish(pool, claim, status="succeeded", stage="done", message="Done.", **more)


def expire(superuser: psycopg.Connection[Any], claim: runs.Claim) -> None:
    """End the lease now, as thirty seconds of silence would."""
    superuser.execute(
        f"UPDATE {claim.kind}_runs SET lease_until = clock_timestamp() - interval '1 s'"
        " WHERE run_id = %s",
        (claim.run_id,),
    )


def settled(pool: Pool, run_id: str) -> bool:
    with transaction(pool) as connection:
        row = connection.execute(
            "SELECT settled_at IS NOT NULL AS settled FROM outbox WHERE run_id = %s", (run_id,)
        ).fetchone()
    assert row is not None
    return bool(row["settled"])


def test_a_submitted_run_is_queued_with_a_message_to_send(desk: Desk, pool: Pool) -> None:
    run = desk.submit(name="fresh")
    assert (run.status, run.fence, run.attempts, run.run_sha) == ("queued", 0, 0, None)
    assert runs.get(pool, run.run_id) == run == runs.get(pool, run.run_id, "backtest")
    assert not settled(pool, run.run_id)


def test_a_claim_takes_the_run_once_and_settles_its_message(desk: Desk, pool: Pool) -> None:
    run = desk.submit()
    claim = runs.claim(pool, "backtest", run.run_id, worker="first")
    assert claim is not None
    assert (claim.fence, claim.attempt, claim.run.status) == (1, 1, "running")
    assert settled(pool, run.run_id)
    assert runs.claim(pool, "backtest", run.run_id, worker="second") is None


def test_of_eight_workers_one_gets_the_run(desk: Desk, pool: Pool) -> None:
    run, won = desk.submit(), []
    start = threading.Barrier(8)

    def try_it(worker: int) -> None:
        start.wait()
        won.append(runs.claim(pool, "backtest", run.run_id, worker=str(worker)))

    crowd = [threading.Thread(target=try_it, args=(worker,)) for worker in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len([claim for claim in won if claim]) == 1


def test_the_end_is_one_row_and_one_last_frame(desk: Desk, pool: Pool, bus: Bus) -> None:
    claim = desk.claimed()
    rest = [
        Pending("bar.processed", "5 of 10", rfc3339(SystemClock().now()), {"current": 5}, ticket=1)
    ]
    frame = succeed(
        pool,
        claim,
        frames=rest,
        extras={"run_id": claim.run_id},
        statistics={"sharpe": 1.25, "total_return": 0.5, "max_drawdown": 0.1, "odd": float("nan")},
        result_tables={"equity": "t"},
        result_sha="ab",
        bus=bus,
    )
    run = runs.get(pool, claim.run_id)
    assert run.finished_at is not None
    assert (run.status, run.result_sha, run.result_tables) == ("succeeded", "ab", {"equity": "t"})
    assert run.statistics == {
        "sharpe": 1.25,
        "total_return": 0.5,
        "max_drawdown": 0.1,
        "odd": None,
    }
    assert (frame.stage, frame.seq, frame.timestamp) == ("done", 2, rfc3339(run.finished_at))
    assert [f.stage for f in history(pool, claim.task_id)] == ["bar.processed", "done"]
    assert bus.reader().read(claim.task_id, 0, block_ms=1)[-1] == frame
    with transaction(pool) as connection:
        row = connection.execute(
            "SELECT sharpe, total_return, max_drawdown FROM backtest_runs WHERE run_id = %s",
            (claim.run_id,),
        ).fetchone()
    assert row == {"sharpe": 1.25, "total_return": 0.5, "max_drawdown": 0.1}


def test_an_end_whose_answer_was_lost_can_be_said_again(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed()
    frame = succeed(pool, claim)
    assert succeed(pool, claim) == frame
    assert runs.finish(pool, claim, status="failed", stage="failed", message="No.") is None
    assert runs.get(pool, claim.run_id).status == "succeeded"


def test_a_worker_that_slept_past_its_lease_can_write_nothing(
    desk: Desk, pool: Pool, superuser: Any
) -> None:
    claim = desk.claimed()
    expire(superuser, claim)
    assert not runs.renew(pool, claim)
    assert runs.signals(pool, claim) == runs.Signals(mine=False, cancel_requested=False)
    assert succeed(pool, claim) is None
    with pytest.raises(LeaseLostError):
        runs.pin(pool, claim, run_sha="ab", **PIN)
    assert runs.get(pool, claim.run_id).status == "running"
    assert history(pool, claim.task_id) == []


def test_the_next_worker_ends_the_run_and_the_first_one_wakes_up_to_nothing(
    desk: Desk, pool: Pool, superuser: Any
) -> None:
    first = desk.claimed()
    expire(superuser, first)
    assert first.run_id in reaper.reap(pool).requeued
    assert not settled(pool, first.run_id)
    second = runs.claim(pool, "backtest", first.run_id, worker="second")
    assert second is not None
    assert (second.attempt, second.fence) == (2, 3)
    assert succeed(pool, first) is None
    assert succeed(pool, second) is not None
    assert succeed(pool, first) is None
    assert [frame.stage for frame in history(pool, first.task_id)] == ["done"]


def test_an_expired_run_may_be_claimed_before_the_reaper_comes(
    desk: Desk, pool: Pool, superuser: Any
) -> None:
    first = desk.claimed()
    expire(superuser, first)
    second = runs.claim(pool, "backtest", first.run_id, worker="second")
    assert second is not None
    assert second.attempt == 2
    assert first.run_id not in reaper.reap(pool).requeued


def test_a_run_whose_worker_is_lost_three_times_has_failed(
    desk: Desk, pool: Pool, bus: Bus, superuser: Any
) -> None:
    claim = desk.claimed()
    for attempt in (1, 2):
        expire(superuser, claim)
        assert claim.run_id in reaper.reap(pool).requeued
        again = runs.claim(pool, "backtest", claim.run_id, worker=f"next {attempt}")
        assert again is not None
        claim = again
    expire(superuser, claim)
    assert runs.claim(pool, "backtest", claim.run_id, worker="a fourth") is None
    assert claim.run_id in reaper.reap(pool, bus=bus).failed
    run = runs.get(pool, claim.run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert (run.error["code"], run.error["facts"]) == ("worker_lost", {"attempts": 3})
    frames = history(pool, claim.task_id)
    assert [(frame.seq, frame.stage) for frame in frames] == [(1, "failed")]
    assert frames[0].extras["error"]["code"] == "worker_lost"
    assert reaper.reap(pool).failed == []
    assert settled(pool, claim.run_id)


def test_a_renewed_lease_keeps_the_reaper_away(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed(lease_s=0.3)
    for _ in range(4):
        time.sleep(0.15)
        assert runs.renew(pool, claim, lease_s=0.3)
        assert claim.run_id not in reaper.reap(pool).requeued


def test_two_reapers_take_a_run_up_once(desk: Desk, pool: Pool, superuser: Any) -> None:
    claims = [desk.claimed() for _ in range(10)]
    for claim in claims:
        expire(superuser, claim)
    found: list[str] = []
    crowd = [
        threading.Thread(target=lambda: found.extend(reaper.reap(pool).requeued)) for _ in range(4)
    ]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    mine = {claim.run_id for claim in claims}  # other tests may have left runs that are expired too
    assert sorted(run for run in found if run in mine) == sorted(mine)


def test_cancelling_a_queued_run_ends_it_at_once(desk: Desk, pool: Pool, bus: Bus) -> None:
    run = desk.submit()
    cancelled = runs.cancel(pool, run.run_id, by="ann", bus=bus)
    assert cancelled.status == "cancelled"
    assert [frame.stage for frame in history(pool, run.task_id)] == ["cancelled"]
    assert settled(pool, run.run_id)
    assert runs.claim(pool, "backtest", run.run_id, worker="late") is None
    assert runs.cancel(pool, run.run_id, by="bob") == cancelled


def test_cancelling_a_running_run_asks_its_worker(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed()
    assert runs.signals(pool, claim) == runs.Signals(mine=True, cancel_requested=False)
    assert runs.cancel(pool, claim.run_id, by="ann").status == "running"
    assert runs.signals(pool, claim) == runs.Signals(mine=True, cancel_requested=True)
    frame = runs.finish(pool, claim, status="cancelled", stage="cancelled", message="By ann.")
    assert frame is not None


def test_a_cancelled_run_whose_worker_died_is_not_started_again(
    desk: Desk, pool: Pool, superuser: Any
) -> None:
    claim = desk.claimed()
    runs.cancel(pool, claim.run_id, by="ann")
    expire(superuser, claim)
    assert runs.claim(pool, "backtest", claim.run_id, worker="next") is None
    assert claim.run_id in reaper.reap(pool).cancelled
    assert runs.get(pool, claim.run_id).status == "cancelled"


def test_an_ended_run_stays_as_it_is(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed()
    succeed(pool, claim)
    assert runs.cancel(pool, claim.run_id, by="ann").status == "succeeded"
    assert len(history(pool, claim.task_id)) == 1


def test_what_a_run_reads_is_pinned_by_its_first_attempt(
    desk: Desk, pool: Pool, superuser: Any
) -> None:
    claim = desk.claimed()
    assert runs.pin(pool, claim, run_sha="ab", **PIN).snapshot_ids == PIN["snapshot_ids"]
    expire(superuser, claim)
    again = runs.claim(pool, "backtest", claim.run_id, worker="next")
    assert again is not None
    assert again.run.run_sha == "ab"
    other = {**PIN, "snapshot_ids": {"bars": "2"}}
    assert runs.pin(pool, again, run_sha="ab", **other).snapshot_ids == PIN["snapshot_ids"]
    with pytest.raises(AlphaSwarmError) as divergence:
        runs.pin(pool, again, run_sha="cd", **other)
    assert divergence.value.body()["code"] == "replay_diverged"


def test_an_earlier_result_is_found_by_what_was_asked(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed()
    sha = f"asked {claim.run_id}"
    assert runs.earlier_result(pool, "backtest", sha) is None
    runs.pin(pool, claim, run_sha=sha, **PIN)
    assert runs.earlier_result(pool, "backtest", sha) is None
    succeed(pool, claim, result_sha="answer")
    assert runs.earlier_result(pool, "backtest", sha) == "answer"


def test_a_dispatch_key_makes_one_run_however_often_it_is_used(pool: Pool, desk: Desk) -> None:
    spec, now = desk.submit(name="keyed").spec_sha256, SystemClock().now()

    def insert(spec_sha256: str, **inputs: Any) -> runs.Run:
        with transaction(pool) as connection:
            return runs.insert(
                connection,
                "backtest",
                run_id=new_id(now),
                task_id=new_id(now),
                spec_sha256=spec_sha256,
                requested_by="tester",
                inputs=inputs,
                dispatch_key="tester:once",
            )

    first = insert(spec)
    assert insert(spec) == first
    with pytest.raises(BadInputError) as conflict:
        insert(spec, another=1)
    assert conflict.value.body()["code"] == "idempotency_conflict"


def test_a_listing_pages_newest_first_and_filters(desk: Desk, pool: Pool) -> None:
    made = [desk.submit(kind="data", name="paged").run_id for _ in range(5)]
    desk.submit(kind="data", name="not-paged")
    runs.cancel(pool, made[2], by="ann")
    pages: list[list[str]] = []
    after = None
    while True:
        page = runs.listing(pool, kind="data", name="paged", after=after, limit=2)
        if not page:
            break
        pages.append([run.run_id for run in page])
        after = page[-1].run_id
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [run_id for page in pages for run_id in page] == sorted(made, reverse=True)
    found = runs.listing(pool, name="paged", status="cancelled")
    assert [run.run_id for run in found] == [made[2]]
    assert runs.listing(pool, name="paged", requested_by="nobody") == []


def test_an_unknown_run_is_not_found(pool: Pool, desk: Desk) -> None:
    with pytest.raises(MissingError) as missing:
        runs.get(pool, "0" * 26)
    assert missing.value.body()["code"] == "not_found"
    with pytest.raises(MissingError):
        runs.cancel(pool, "0" * 26, by="ann")
    with pytest.raises(MissingError):
        runs.get(pool, desk.submit().run_id, "data")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (
            "UPDATE backtest_runs SET status = 'queued', finished_at = NULL WHERE run_id = %s",
            psycopg.errors.CheckViolation,
        ),
        (
            "UPDATE backtest_runs SET statistics = '{}' WHERE run_id = %s",
            psycopg.errors.CheckViolation,
        ),
        ("DELETE FROM backtest_runs WHERE run_id = %s", psycopg.errors.InsufficientPrivilege),
        (
            SECOND_END,
            psycopg.errors.UniqueViolation,
        ),
        ("UPDATE run_events SET seq = 7 WHERE task_id = %s", psycopg.errors.InsufficientPrivilege),
        ("DELETE FROM run_events WHERE task_id = %s", psycopg.errors.InsufficientPrivilege),
    ],
    ids=["reopen", "edit", "delete", "a second end", "renumber", "unsay"],
)
def test_the_application_cannot_change_what_has_ended(
    desk: Desk, pool: Pool, app_dsn: str, change: str, refusal: type[Exception]
) -> None:
    claim = desk.claimed()
    succeed(pool, claim)
    with psycopg.connect(app_dsn) as connection, pytest.raises(refusal):
        connection.execute(change, (claim.run_id,))


def test_a_fence_may_not_fall_and_a_question_may_not_change(desk: Desk, app_dsn: str) -> None:
    claim = desk.claimed()
    for change in ("fence = 0", "inputs = '{\"x\": 1}'", "requested_by = 'else'"):
        with psycopg.connect(app_dsn) as connection, pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(
                f"UPDATE backtest_runs SET {change} WHERE run_id = %s", (claim.run_id,)
            )


def test_dispatch_is_one_transaction(pool: Pool, desk: Desk) -> None:
    run = desk.submit()
    with transaction(pool) as connection:
        other = new_id(SystemClock().now())
        runs.insert(
            connection,
            "backtest",
            run_id=other,
            task_id=other,
            spec_sha256=run.spec_sha256,
            requested_by="tester",
            inputs={},
        )
        outbox.put(connection, queue="batch", actor="backtest", run_id=other, kind="backtest")
        connection.rollback()
    with pytest.raises(MissingError):
        runs.get(pool, other)
    sent: list[outbox.Outgoing] = []
    outbox.drain(pool, sent.append)
    assert other not in {message.run_id for message in sent}
