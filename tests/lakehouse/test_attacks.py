"""Every attack of attacks.toml ends as the table says, tells nothing, and changes no file."""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb
import pytest

from lakehouse import cell, gate
from lakehouse.sandbox import SqlResult, query_sql
from tests.kit.attacks import WORD, Attack, Target, attacks, outcome
from tests.kit.lake import BARS, Depot
from topology.sections import SqlLimits

ATTACKS = attacks()
REVIEWED = "2.0.0"
"""The DuckDB whose every function was looked at when the gate's lists were made."""


@pytest.fixture(scope="module")
def target(market: Depot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Yield the target; at the end, every file of the warehouse is what it was."""
    secret = tmp_path_factory.mktemp("secret") / "secret.csv"
    secret.write_text(f"word\n{WORD}\n", encoding="utf-8")
    aimed = Target(market, secret)
    before = aimed.hashes()
    yield aimed
    assert aimed.hashes() == before


def test_the_table_is_long_enough_and_names_each_attack_once() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 60
    assert all(attack.codes or attack.rows for attack in ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_ends_as_the_table_says(target: Target, attack: Attack) -> None:
    sql, before = attack.aimed(**target.places()), target.hashes()
    patient = SqlLimits(timeout_s=30)
    ended = outcome(lambda: query_sql(target.depot.reader, sql, limits=patient))
    if isinstance(ended, SqlResult):
        assert ended.rows == attack.rows
        told = json.dumps(ended.rows)
    else:
        assert ended.wire_code in attack.codes, ended.message
        told = json.dumps(ended.body(), default=str)
    assert target.told(sql, told) == []
    assert target.hashes() == before
    assert before


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_behind_the_gate_the_process_holds(
    target: Target, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suppose the gate let everything through: no file changes, and none but data is read."""
    sql, before = attack.aimed(**target.places()), target.hashes()
    monkeypatch.setattr(gate, "tables", lambda tree: [BARS])
    quick = SqlLimits(timeout_s=0.5)
    assert WORD not in str(outcome(lambda: query_sql(target.depot.reader, sql, limits=quick)))
    assert target.hashes() == before


def test_another_duckdb_is_looked_at_before_it_is_used() -> None:
    """A new version may bring functions that read files: look, then change this line."""
    assert duckdb.__version__ == REVIEWED
    with cell.warmed() as database:
        names = database.sql(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'scalar' "
            "AND function_name SIMILAR TO '.*(read|file|glob|setting|env|log|sleep|plan|secret).*'"
        ).fetchall()
    harmless = {"ceil", "parse_filename", "log", "log10", "log2", "year"}
    suspicious = {name for (name,) in names} - harmless
    assert {name for name in suspicious if name not in gate.SCALAR_FUNCTIONS_REFUSED} == set()
