"""The report: counts first, the worst shown, as of a time, honest about what it left out."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pytest

from lakehouse.quality.check import check
from lakehouse.quality.report import report
from lakehouse.quality.rules import RULES
from tests.kit.lake import SPEC, Depot, Silent
from tests.kit.quality import NOW, at, daily, trades, wave
from topology.ids import new_id

RUN = new_id(NOW)
BARS = "alphaswarm_silver_spoiled.bars_1d"


@pytest.fixture(scope="module")
def spoiled(market: Depot) -> Depot:
    """Yield a lake with three symbols: one clean, one with a bad print, one much worse."""
    prices = wave(80)
    prices[70] = 150.0
    worse = [{"close": p, "volume": 0.0} for p in prices]
    weekend = trades([{"timestamp": at("2024-01-06 21:00"), "vt_symbol": "CCC.NYSE"}])
    parts = [
        daily(wave(80)),
        daily(prices, vt_symbol="BBB.NYSE"),
        daily(worse, vt_symbol="CCC.NYSE"),
        weekend,
    ]
    market.append(BARS, pa.concat_tables(parts), key="spoiled")
    return market


def test_rules_are_counted_the_severe_first(spoiled: Depot) -> None:
    found = report(spoiled.reader, BARS, now=NOW)
    assert [(rule.rule, rule.found, rule.symbols) for rule in found.rules] == [
        ("spike", 2, 2),
        ("closed_day", 1, 1),
        ("zero_volume", 80, 1),
    ]
    assert found.by_severity == {"error": 0, "warning": 3, "info": 80}
    assert (found.found, found.rows, found.symbols) == (83, 241, 3)
    assert all(rule.because for rule in found.rules)
    fitting = {rule.name for rule in RULES if "bars" in rule.kinds and "1d" in rule.resolutions}
    assert set(found.clean) == fitting - {rule.rule for rule in found.rules}


def test_symbols_come_the_worst_first_and_clean_ones_not_at_all(spoiled: Depot) -> None:
    found = report(spoiled.reader, BARS, now=NOW).worst_symbols
    assert [(s.vt_symbol, s.error, s.warning, s.info) for s in found] == [
        ("CCC.NYSE", 0, 2, 80),
        ("BBB.NYSE", 0, 1, 0),
    ]


def test_examples_show_each_rule_before_any_rule_twice(spoiled: Depot) -> None:
    found = report(spoiled.reader, BARS, now=NOW, examples=4).examples
    assert [row.rule for row in found] == ["spike", "closed_day", "spike", "zero_volume"]
    assert found[1].timestamp == "2024-01-06T21:00:00Z"


def test_symbols_and_days_can_be_chosen(spoiled: Depot) -> None:
    assert report(spoiled.reader, BARS, now=NOW, symbols=["AAA.NYSE"]).found == 0
    day = dt.date(2024, 1, 6)
    found = report(spoiled.reader, BARS, now=NOW, start=day, end=day)
    assert [rule.rule for rule in found.rules] == ["closed_day", "zero_volume"][: len(found.rules)]
    assert found.rows == 1


def test_beyond_its_limit_it_says_whom_it_left_out(spoiled: Depot) -> None:
    found = report(spoiled.reader, BARS, now=NOW, most_rows=100)
    assert (found.symbols, found.rows, found.found) == (1, 80, 0)
    assert found.not_checked[0] == (
        "Beyond 100 rows, BBB.NYSE, CCC.NYSE were not checked: name symbols or days."
    )


def test_it_answers_as_of_a_snapshot(spoiled: Depot) -> None:
    table = "alphaswarm_silver_other.bars_1d"
    spoiled.append(table, daily(wave(3)))
    before = report(spoiled.reader, table, now=NOW)
    spoiled.append(table, daily([{"low": -1.0}], vt_symbol="DDD.NYSE"), key="later")
    assert report(spoiled.reader, table, now=NOW).by_severity["error"] == 1
    assert report(spoiled.reader, table, now=NOW, as_of=before.snapshot_id) == before


def test_the_report_of_an_ingest_is_what_it_kept(spoiled: Depot) -> None:
    check(
        spoiled.writer,
        spoiled.log,
        BARS,
        symbols=["BBB.NYSE", "CCC.NYSE"],
        start=at("2024-01-01 00:00"),
        end=at("2025-01-01 00:00"),
        run_id=RUN,
        spec_sha256=SPEC,
        created_at=NOW,
        progress=Silent(),
    )
    found = report(spoiled.reader, BARS, now=NOW, run_id=RUN)
    assert found.by_severity == {"error": 0, "warning": 3, "info": 80}
    assert (found.run_id, found.rows) == (RUN, None)
    other = report(spoiled.reader, BARS, now=NOW, run_id=new_id(NOW))
    assert other.found == 0
    assert "found nothing, or did not look" in other.not_checked[0]
    assert other.clean == ()


def test_a_report_is_json(spoiled: Depot) -> None:
    body = report(spoiled.reader, BARS, now=NOW).body()
    assert json.loads(json.dumps(body, allow_nan=False)) == body
