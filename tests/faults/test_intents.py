"""Audit before execute: killed anywhere, no effect without an intent, and every intent ends."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext

import pytest

from ledger import audit, outcomes
from ledger.audit import Entry
from ledger.intents import Reconciler, here, intending
from ledger.pool import Pool, transaction
from tests.kit.fork import forkserver_of
from tests.kit.intent_worker import submit, submit_and_die
from topology.errors import BadInputError, FaultError

LONGEST = 60
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield a maker of processes that have imported everything already."""
    yield from forkserver_of("tests.kit.intent_worker")


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)  # noqa: TID251  the database's own clock is meant


def rows_of(pool: Pool, target: str) -> list[Entry]:
    with transaction(pool) as connection:
        found = connection.execute("SELECT * FROM audit WHERE target = %s ORDER BY seq", (target,))
        return [Entry(**row) for row in found.fetchall()]


def runs_of(pool: Pool, by: str) -> list[str]:
    with transaction(pool) as connection:
        found = connection.execute(
            "SELECT run_id FROM data_runs WHERE requested_by = %s", (by,)
        ).fetchall()
    return [row["run_id"] for row in found]


def reconciled(pool: Pool, since: int = 0) -> list[int]:
    return Reconciler(pool, outcomes.resolve, since).run(now())


def test_killed_at_every_word_no_effect_is_without_intent(
    pool: Pool, app_dsn: str, processes: ForkServerContext
) -> None:
    """U1: the child dies at its first word with the database, its second, ... until it lives."""
    seen: dict[str, int] = {"nothing": 0, "failed": 0, "done": 0}
    for death in range(1, LONGEST):
        name, by = f"u1-{death}", f"u1-person-{death}"
        child = processes.Process(target=submit_and_die, args=(app_dsn, name, by, death))
        child.start()
        child.join(PATIENCE_S)
        assert child.exitcode in {0, -signal.SIGKILL}
        entries, effects = rows_of(pool, f"spec:data/{name}"), runs_of(pool, by)
        assert len(effects) <= 1
        if effects:
            assert entries[0].decision == "intended", "an effect without its intent"
        if child.exitcode == 0:
            break
        if not entries:
            seen["nothing"] += 1
            continue
        reconciled(pool, entries[0].seq - 1)
        ends = rows_of(pool, f"spec:data/{name}")[1:]
        assert [end.facts["intent"] for end in ends] == [entries[0].seq]
        assert ends[0].decision == ("done" if effects else "failed")
        if "by" in ends[0].facts:  # else the child had written it itself when it died
            assert ends[0].facts.get("run_id") == (effects[0] if effects else None)
        seen[ends[0].decision] += 1
    else:
        pytest.fail("the child never lived to its end")
    assert all(seen.values()), seen
    assert audit.verify(pool).ok


def test_an_intent_whose_process_lives_is_left_alone(pool: Pool) -> None:
    seq = audit.append(
        pool,
        actor="ann",
        action="x",
        target="alive",
        decision="intended",
        facts={"process": here()},
    )
    assert seq not in reconciled(pool, seq - 1)
    assert len(rows_of(pool, "alive")) == 1


@pytest.mark.parametrize(
    ("action", "target", "decision"),
    [
        pytest.param("halt", "spec:data/never-halted", "unknown", id="the latch may hold it"),
        pytest.param("resume", "spec:data/never-resumed", "failed", id="only the record lifts"),
        pytest.param("cancel_run", "run:" + "7" * 26, "failed", id="no run carries it"),
        pytest.param("launch", "rocket", "unknown", id="nobody knows how to ask"),
    ],
)
def test_what_the_record_cannot_tell_is_unknown_and_never_done_again(
    pool: Pool, action: str, target: str, decision: str
) -> None:
    gone = here().replace(here().rsplit(":", 2)[1], "1")  # a process that is not this one
    seq = audit.append(
        pool,
        actor="ann",
        action=action,
        target=target,
        decision="intended",
        facts={"process": gone},
    )
    assert reconciled(pool, seq - 1) == [seq]
    assert reconciled(pool, seq - 1) == []
    (end,) = rows_of(pool, target)[1:]
    assert (end.decision, end.facts["intent"], end.facts["by"]) == (decision, seq, "reconciler")


def test_an_intent_of_another_machine_waits_for_its_hour(pool: Pool) -> None:
    seq = audit.append(
        pool,
        actor="ann",
        action="x",
        target="elsewhere",
        decision="intended",
        facts={"process": "another-machine:4:5"},
    )
    reconciler = Reconciler(pool, outcomes.resolve, seq - 1)
    assert reconciler.run(now()) == []
    assert reconciler.run(now() + dt.timedelta(hours=2)) == [seq]


@pytest.mark.parametrize(
    ("raised", "decision", "code"),
    [
        (BadInputError("No.", hint=""), "failed", "invalid_arguments"),
        (FaultError("Perhaps.", hint=""), "unknown", "internal"),
        (KeyboardInterrupt(), "unknown", "internal"),
    ],
)
def test_the_outcome_says_what_the_block_did(
    pool: Pool, raised: BaseException, decision: str, code: str
) -> None:
    target = f"block-{type(raised).__name__}"
    row = {"actor": "ann", "action": "x", "target": target, "args_sha256": ""}
    with pytest.raises(type(raised)), intending(pool, **row, facts={}):
        raise raised
    intended, end = rows_of(pool, target)[-2:]
    assert (end.decision, end.facts["code"], end.facts["intent"]) == (decision, code, intended.seq)


def test_without_an_intent_the_block_never_runs(pool: Pool) -> None:
    ran: list[Callable[[], None]] = []
    with (
        pytest.raises(BadInputError),
        intending(
            pool,
            actor="a",
            action="x",
            target="t",
            args_sha256="",
            facts={"list": []},  # type: ignore[dict-item]
        ),
    ):
        ran.append(print)
    assert not ran


def test_a_submission_that_lives_has_both_rows(pool: Pool) -> None:
    run_id = submit(pool, "u1-alive", "u1-ann")
    assert runs_of(pool, "u1-ann") == [run_id]
    assert [row.decision for row in rows_of(pool, "spec:data/u1-alive")] == ["intended", "done"]
