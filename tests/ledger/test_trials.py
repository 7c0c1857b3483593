"""How often somebody looked: by family, by person on shared data, and the larger judges."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest

from ledger import runs, specs, trials
from ledger.pool import Pool, transaction
from topology.clock import SystemClock
from topology.ids import new_id

FIRST, LAST = dt.date(2001, 1, 1), dt.date(2001, 12, 31)


@dataclass(frozen=True)
class Looks:
    """Puts runs into the ledger as dispatch does, with what they look at."""

    pool: Pool

    def submit(
        self,
        name: str,
        person: str,
        *symbols: str,
        first: dt.date = FIRST,
        last: dt.date = LAST,
        planned: int = 1,
        **body: Any,
    ) -> runs.Run:
        now = SystemClock().now()
        with transaction(self.pool) as connection:
            spec = specs.lock(
                connection, "backtest", {"name": name, "n": new_id(now), **body}, by=person
            )
            run = runs.insert(
                connection,
                "backtest",
                run_id=new_id(now),
                task_id=new_id(now),
                spec_sha256=spec.sha256,
                requested_by=person,
                inputs={},
            )
            if symbols:
                trials.look(
                    connection,
                    run.run_id,
                    person=person,
                    symbols=symbols,
                    first=first,
                    last=last,
                    trials=planned,
                )
        return run

    def end(
        self, run: runs.Run, *, status: str = "succeeded", run_sha: str | None = None, **said: Any
    ) -> runs.Run:
        """Perform a run: ``said`` are its statistics, none at all where it is empty."""
        claim = runs.claim(self.pool, "backtest", run.run_id, worker="tester")
        assert claim is not None
        runs.pin(
            self.pool, claim, snapshot_ids={}, engine={}, run_sha=run_sha or f"sha-{run.run_id}"
        )
        runs.finish(
            self.pool,
            claim,
            status=status,
            stage="done" if status == "succeeded" else status,
            message="Done.",
            statistics=said or None,
            error=None if status == "succeeded" else {"code": "x"},
        )
        return runs.get(self.pool, run.run_id)


@pytest.fixture
def looks(pool: Pool) -> Looks:
    return Looks(pool)


def numbers(pool: Pool, run: runs.Run, **more: Any) -> tuple[int, int]:
    found = trials.count(pool, run, **more)
    return found.family, found.person


def test_a_first_run_is_one_trial(looks: Looks, pool: Pool) -> None:
    run = looks.submit("trials.first", "t-anna", "A.T1")
    found = trials.count(pool, run, sharpe=1.0)
    assert (found.family, found.person, found.judging) == (1, 1, 1)
    assert (found.sharpes, found.variance) == (1, None)


def test_a_family_counts_every_version_whoever_asked(looks: Looks, pool: Pool) -> None:
    for person in ("t-ben", "t-cleo", "t-ben"):
        looks.end(looks.submit("trials.family", person, f"{person}.T2"), trials=1)
    run = looks.submit("trials.family", "t-dora", "D.T2")
    assert numbers(pool, run) == (4, 1)


def test_renaming_hides_nothing_from_the_count_of_the_person(looks: Looks, pool: Pool) -> None:
    for number in range(5):
        looks.end(looks.submit(f"trials.name{number}", "t-emil", "A.T3", "B.T3"), trials=1)
    run = looks.submit("trials.renamed", "t-emil", "B.T3", "C.T3")
    found = trials.count(pool, run)
    assert (found.family, found.person, found.judging) == (1, 6, 6)


@pytest.mark.parametrize(
    ("symbols", "first", "last", "person", "shared"),
    [
        pytest.param(("A.T4",), FIRST, LAST, "t-fay", True, id="the same data"),
        pytest.param(("Z.T4", "A.T4"), FIRST, LAST, "t-fay", True, id="one shared symbol"),
        pytest.param(("A.T4",), LAST, dt.date(2005, 1, 1), "t-fay", True, id="one shared day"),
        pytest.param(
            ("A.T4",), dt.date(2002, 1, 1), dt.date(2005, 1, 1), "t-fay", False, id="a later period"
        ),
        pytest.param(("Z.T4",), FIRST, LAST, "t-fay", False, id="no shared symbol"),
        pytest.param(("A.T4",), FIRST, LAST, "t-gus", False, id="somebody else"),
    ],
)
def test_a_person_s_trials_are_those_on_overlapping_data(
    looks: Looks,
    pool: Pool,
    symbols: tuple[str, ...],
    first: dt.date,
    last: dt.date,
    person: str,
    shared: bool,
    request: pytest.FixtureRequest,
) -> None:
    tag = request.node.callspec.id.replace(" ", "-")
    own = looks.submit(f"own.{tag}", f"t-fay-{tag}", f"A.T4{tag}")
    named = [symbol + tag for symbol in symbols]
    other = looks.submit(f"other.{tag}", f"{person}-{tag}", *named, first=first, last=last)
    assert numbers(pool, own)[1] == 1 + shared
    assert numbers(pool, other)[1] == 1 + shared


def test_a_sweep_weighs_its_trials_also_before_it_has_ended(looks: Looks, pool: Pool) -> None:
    sweep = looks.submit("trials.sweep", "t-hal", "A.T5", planned=40)
    run = looks.submit("trials.sweep", "t-hal", "A.T5")
    assert numbers(pool, run) == (41, 41)
    assert numbers(pool, sweep, own=40) == (41, 41)
    looks.end(sweep, trials=38)
    assert numbers(pool, run) == (39, 39)


@pytest.mark.parametrize(
    ("status", "statistics", "counts"),
    [
        pytest.param("succeeded", {"trials": 1}, 1, id="succeeded"),
        pytest.param("succeeded", {"bars": 3}, 1, id="without the word, a plain run"),
        pytest.param("halted", {"trials": 1, "partial": True}, 1, id="halted with a part"),
        pytest.param("failed", {"trials": 7, "partial": True}, 7, id="failed with a part"),
        pytest.param("failed", {}, 0, id="failed without a number"),
        pytest.param("cancelled", {}, 0, id="cancelled without a number"),
    ],
)
def test_what_showed_nobody_a_number_is_no_trial(
    looks: Looks, pool: Pool, status: str, statistics: dict[str, Any], counts: int
) -> None:
    name = f"trials.{new_id(SystemClock().now())}"
    looks.end(looks.submit(name, name, "A.T6"), status=status, **statistics)
    run = looks.submit(name, name, "A.T6")
    assert numbers(pool, run) == (1 + counts, 1 + counts)


def test_repeating_the_same_work_is_no_new_trial(looks: Looks, pool: Pool) -> None:
    first = looks.end(looks.submit("trials.again", "t-ida", "A.T7"), run_sha="same", trials=1)
    looks.end(looks.submit("trials.again", "t-ida", "A.T7"), run_sha="same", trials=1)
    assert numbers(pool, first) == (1, 1)
    looks.end(looks.submit("trials.again", "t-ida", "A.T7"), run_sha="other", trials=1)
    assert numbers(pool, first) == (2, 2)


def test_a_universe_counts_by_its_name_and_by_its_members(looks: Looks, pool: Pool) -> None:
    by_name = looks.submit("trials.named", "t-jan", "universe:big")
    with transaction(pool) as connection:
        for _ in range(2):
            trials.look(
                connection,
                by_name.run_id,
                person="t-jan",
                symbols=["A.T8", "B.T8"],
                first=FIRST,
                last=LAST,
            )
    assert numbers(pool, looks.submit("trials.member", "t-jan", "B.T8"))[1] == 2
    assert numbers(pool, looks.submit("trials.same", "t-jan", "universe:big"))[1] == 2
    assert numbers(pool, by_name)[1] == 3


def test_the_variance_pools_plain_runs_sweeps_and_the_run_itself(looks: Looks, pool: Pool) -> None:
    looks.end(looks.submit("trials.var", "t-kim", "A.T9"), trials=1, sharpe=0.5)
    looks.end(looks.submit("trials.var", "t-kim", "A.T9"), trials=1, sharpe=None)
    looks.end(
        looks.submit("trials.var", "t-kim", "A.T9"),
        trials=3,
        trial_sharpes={"count": 3, "mean": 1.0, "variance": 0.25},
    )
    run = looks.submit("trials.var", "t-kim", "A.T9")
    found = trials.count(pool, run, sharpe=1.5)
    # 0.5, 1.5 and three ratios with mean 1 and squares 0.5: mean 1, squares 0.25 + 0.25 + 0.5
    assert (found.family, found.sharpes) == (6, 5)
    assert found.variance == pytest.approx(1.0 / 4)


def test_runs_that_end_together_count_each_other(looks: Looks, pool: Pool) -> None:
    submitted = [looks.submit(f"trials.crowd{i % 2}", "t-lea", "A.T10") for i in range(8)]
    start, counted = threading.Barrier(8), []

    def end(run: runs.Run) -> None:
        start.wait()
        counted.append(numbers(pool, run))
        looks.end(run, trials=1)

    crowd = [threading.Thread(target=end, args=(run,)) for run in submitted]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert counted == [(4, 8)] * 8


def test_what_was_looked_at_is_for_ever(looks: Looks, pool: Pool, app_dsn: str) -> None:
    run = looks.submit("trials.kept", "t-mia", "A.T11")
    with psycopg.connect(app_dsn, autocommit=True) as connection:
        for change in (
            "UPDATE looks SET person = 'nobody'",
            "DELETE FROM looks",
            "DELETE FROM symbol_sets",
            f"UPDATE backtest_runs SET trials = 0 WHERE run_id = '{run.run_id}'",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(change)


CROWD = """
INSERT INTO backtest_spec_versions
SELECT encode(sha256(n::text::bytea), 'hex'), 'trials.many', n, n::text::bytea,
    '{}', clock_timestamp(), 't-many' FROM generate_series(1, 500) n;
INSERT INTO symbol_sets SELECT encode(sha256(n::text::bytea), 'hex'),
    ARRAY['M' || n || '.T12', 'ALL.T12'] FROM generate_series(1, 500) n;
INSERT INTO backtest_runs (run_id, task_id, spec_sha256, run_sha, status, finished_at, statistics,
    sharpe, requested_by)
SELECT 'm' || lpad(n::text, 25, '0'), 'm' || lpad(n::text, 25, '0'),
    encode(sha256((1 + n % 500)::text::bytea), 'hex'), 'many' || n, 'succeeded',
    clock_timestamp(), '{"trials": 1}', n % 7, 't-many' FROM generate_series(1, 10000) n;
INSERT INTO looks SELECT 'm' || lpad(n::text, 25, '0'), 't-many',
    encode(sha256((1 + n % 500)::text::bytea), 'hex'), '2001-01-01', '2001-12-31', 1
    FROM generate_series(1, 10000) n;
ANALYZE backtest_runs, looks, symbol_sets, backtest_spec_versions
"""


@pytest.mark.parametrize(
    ("name", "found"), [("family", trials._FAMILY), ("person", trials._PERSON)]
)
def test_a_few_are_found_among_many_without_reading_them_all(
    looks: Looks, superuser: psycopg.Connection[Any], name: str, found: LiteralString
) -> None:
    run = looks.submit(f"trials.few.{name}", f"t-{name}", "A.T12")
    asked = {"run_id": run.run_id, "name": run.name, "own": 1, "sharpe": None}
    query = trials._COUNT.replace("{found}", found)
    with superuser.transaction(force_rollback=True):
        superuser.execute(CROWD)
        plan = superuser.execute("EXPLAIN " + query, asked).fetchall()
        few = superuser.execute(query, asked).fetchone()
        first_of_many = asked | {"run_id": "m" + "1".zfill(25), "name": "trials.many"}
        many = superuser.execute(query, first_of_many).fetchone()
    lines = [line for (line,) in plan]
    assert [line for line in lines if "Seq Scan" in line] == []
    assert few is not None
    assert many is not None
    assert (few[0], many[0]) == (1, 10_000)
