"""Trials: how many results were looked at before one is believed, counted for ever.

A trial is one configuration whose result somebody could see. The family of a run is its spec's
name, all versions; the person is whoever asked for runs on overlapping data (a shared symbol and
overlapping days), agents counting for their user. The larger of the two judges, so that renaming
hides nothing.

Counted is every run that was submitted by now. One that has not ended weighs what it was planned
to try; one that ended without statistics showed nobody a number and weighs 0; one that was halted
or failed and kept some of its result counts like any other. Runs with the same ``run_sha`` have the
same result, bit for bit: repeating one is no new trial.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, LiteralString

from ledger.pool import Connection, Pool, transaction
from ledger.runs import Run

_FAMILY = """
SELECT r.run_id, r.run_sha, r.status, r.trials, r.sharpe
FROM backtest_spec_versions s JOIN backtest_runs r ON r.spec_sha256 = s.sha256
WHERE s.name = %(name)s
"""
_PERSON = """
SELECT r.run_id, r.run_sha, r.status, r.trials, r.sharpe
FROM looks mine JOIN symbol_sets a ON a.sha256 = mine.symbols
JOIN symbol_sets b ON b.symbols && a.symbols
JOIN looks theirs ON theirs.person = mine.person AND theirs.symbols = b.sha256
    AND theirs.first <= mine.last AND theirs.last >= mine.first
JOIN backtest_runs r ON r.run_id = theirs.run_id
WHERE mine.run_id = %(run_id)s
UNION ALL
SELECT run_id, run_sha, status, trials, sharpe FROM backtest_runs WHERE run_id = %(run_id)s
"""
"""A run may be found several times; works are counted once."""
_COUNT: LiteralString = """
WITH works AS (
    SELECT coalesce(run_sha, run_id) AS work,
        max(CASE WHEN run_id = %(run_id)s THEN greatest(%(own)s, trials)
            WHEN trials IS NOT NULL THEN trials
            WHEN status IN ('queued', 'running', 'waiting') THEN coalesce(
                (SELECT max(l.trials) FROM looks l WHERE l.run_id = found.run_id), 1)
            ELSE 0 END) AS weight,
        max(CASE WHEN run_id = %(run_id)s THEN coalesce(%(sharpe)s, sharpe)
            WHEN trials = 1 THEN sharpe END) AS sharpe,
        max(run_id) FILTER (WHERE trials > 1) AS several
    FROM ({found}) AS found GROUP BY 1
), parts AS (
    SELECT 1.0::float8 AS n, sharpe AS mean, 0.0::float8 AS squares
    FROM works WHERE sharpe IS NOT NULL AND several IS NULL
    UNION ALL
    SELECT t.count, t.mean, t.variance * (t.count - 1)
    FROM works JOIN backtest_runs r ON r.run_id = works.several AND r.trials > 1,
        jsonb_to_record(r.statistics -> 'trial_sharpes')
            AS t(count float8, mean float8, variance float8)
    WHERE t.count >= 2 AND t.mean IS NOT NULL AND t.variance IS NOT NULL
), pooled AS (
    SELECT sum(n) AS n, sum(n * mean) / sum(n) AS mean, sum(squares + n * mean * mean) AS squares
    FROM parts
)
SELECT (SELECT coalesce(sum(weight), 0)::bigint FROM works) AS trials,
    coalesce(n, 0)::bigint AS sharpes,
    CASE WHEN n >= 2 THEN greatest((squares - n * mean * mean) / (n - 1), 0) END AS variance
FROM pooled
"""


@dataclass(frozen=True, slots=True)
class Trials:
    """How often somebody looked, up to and with one run.

    ``variance`` (ddof 1) is that of the annualised Sharpe ratios of the larger of both sets, taken
    over the ``sharpes`` trials whose ratio is recorded; None below two.
    """

    family: int
    person: int
    sharpes: int
    variance: float | None

    @property
    def judging(self) -> int:
        """Return the larger number, at least 1."""
        return max(self.family, self.person, 1)


def look(
    connection: Connection,
    run_id: str,
    *,
    person: str,
    symbols: Iterable[str],
    first: dt.date,
    last: dt.date,
    trials: int = 1,
) -> None:
    """Record that a run of ``person`` looks at ``symbols`` from ``first`` to ``last``, inclusive.

    ``trials`` is how many configurations it plans to try. A run may look at several sets of
    symbols; looking again at the same one changes nothing.
    """
    named = sorted(set(symbols))
    digest = hashlib.sha256("\n".join(named).encode()).hexdigest()
    connection.execute(
        "INSERT INTO symbol_sets VALUES (%s, %s) ON CONFLICT DO NOTHING", (digest, named)
    )
    connection.execute(
        "INSERT INTO looks VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (run_id, person, digest, first, last, trials),
    )


def count(pool: Pool, run: Run, *, own: int = 1, sharpe: float | None = None) -> Trials:
    """Return the trials of the family of ``run`` and of its person, both with the run itself.

    ``own`` and ``sharpe`` (annualised) are what this run will record: its number of trials and,
    for a plain run, its ratio. Both numbers are of one moment: two runs that end at the same time
    count each other, whichever ends first.
    """
    asked = {"run_id": run.run_id, "name": run.name, "own": own, "sharpe": sharpe}
    with transaction(pool) as connection:
        family = _counted(connection, _FAMILY, asked)
        person = _counted(connection, _PERSON, asked)
    larger = person if person["trials"] > family["trials"] else family
    return Trials(family["trials"], person["trials"], larger["sharpes"], larger["variance"])


def _counted(connection: Connection, found: LiteralString, asked: dict[str, Any]) -> dict[str, Any]:
    row = connection.execute(_COUNT.replace("{found}", found), asked).fetchone()
    return dict(row or {})
