"""The coverage calendar: what is complete, what is missing, and never too large."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.pictures import read
from tools.apps.coverage import Grid, coarser, first, level, picture

NAN = float("nan")


def months(count: int, year: int = 2004) -> list[dt.date]:
    return [dt.date(year + n // 12, n % 12 + 1, 1) for n in range(count)]


def grid(*rows: tuple[str, list[float], list[float]], unit: str = "month") -> Grid:
    length = len(rows[0][1]) if rows else 0
    return Grid(
        "alphaswarm_silver_market.bars_1d",
        unit,
        months(length),
        [name for name, _, _ in rows],
        [covered for _, covered, _ in rows],
        [expected for _, _, expected in rows],
    )


@pytest.mark.parametrize(
    ("covered", "expected", "shade"),
    [
        pytest.param(21, 21, "most", id="complete"),
        pytest.param(20.95, 21, "most", id="a few minutes short of complete"),
        pytest.param(20, 21, "part", id="a session is missing"),
        pytest.param(5, 21, "few", id="less than half"),
        pytest.param(0, 21, "gap", id="missing"),
        pytest.param(0, 0, None, id="not listed yet"),
        pytest.param(3, 0, None, id="bars where none are expected"),
        pytest.param(3, NAN, "unknown", id="no calendar"),
        pytest.param(0, NAN, None, id="no calendar, no bars"),
    ],
)
def test_shades_by_hand(covered: float, expected: float, shade: str | None) -> None:
    assert level(covered, expected) == shade


def test_a_picture_by_hand() -> None:
    """Two symbols, four months: one complete, the other with a hole in its third month."""
    text = picture(
        grid(
            ("AAA.NYSE", [21.0, 20.0, 22.0, 21.0], [21.0, 20.0, 22.0, 21.0]),
            ("BBB.NYSE", [0.0, 20.0, 0.0, 10.0], [0.0, 20.0, 22.0, 21.0]),
        )
    )
    seen = read(text)
    cells = {name: seen.paths(name)[0] for name in ("most", "gap", "few")}  # the legend follows
    assert cells == {
        "most": "M218 116h760M408 132h190",
        "gap": "M598 132h190",
        "few": "M788 132h190",
    }
    assert seen.paths("part") == []
    assert seen.named("title") == "Coverage of alphaswarm_silver_market.bars_1d"
    assert "2 symbols, 2004-01 to 2004-04, one column a month." in seen.said
    assert "77.5% of 147 sessions are there." in seen.said
    assert "The emptiest: BBB.NYSE 47.6%." in seen.named("desc")
    assert {"complete", "less than half", "missing"} <= set(seen.said.split("\n"))
    assert "half or more" not in seen.said


def test_a_hundred_percent_is_said_of_what_is_complete_only() -> None:
    seen = read(picture(grid(("AAA.NYSE", [9_999.0], [10_000.0]))))
    assert "99.9%" in seen.said
    assert "100.0%" not in seen.said


def test_an_empty_table_says_so() -> None:
    assert "The table has no bars." in read(picture(grid())).said


def test_symbols_without_a_calendar_are_not_given_a_share() -> None:
    seen = read(picture(grid(("AAA.NOWHERE", [3.0, 4.0], [NAN, NAN]))))
    assert "No exchange calendar is known for them." in seen.said
    assert "%" not in seen.said
    assert seen.paths("unknown") != []


def worst(symbols: int, count: int) -> Grid:
    """Return cells in no order at all: not one run is longer than a cell."""
    draw = random.Random(7)
    shares = [[draw.choice((0.0, 5.0, 15.0, 21.0)) for _ in range(count)] for _ in range(symbols)]
    names = [f"SYMBOL{n:03d}.NASDAQ" for n in range(symbols)]
    rows = [(name, share, [21.0] * count) for name, share in zip(names, shares, strict=True)]
    return grid(*rows)


@pytest.mark.parametrize("symbols", [1, 60, 61, 500])
def test_twenty_years_of_chaos_stay_below_300_kb(symbols: int) -> None:
    text = picture(worst(symbols, 240))
    assert len(text.encode()) < 300_000
    seen = read(text)
    assert ("one column a month" if symbols < 61 else "one column a") in seen.said


def test_what_is_too_fine_is_drawn_by_longer_periods_without_losing_a_session() -> None:
    fine = worst(3, 24)
    quarters = coarser(fine)
    years = coarser(quarters)
    assert (quarters.unit, years.unit) == ("quarter", "year")
    assert [len(g.starts) for g in (fine, quarters, years)] == [24, 8, 2]
    for one in (quarters, years):
        assert [sum(row) for row in one.covered] == [sum(row) for row in fine.covered]
    assert years.starts == [dt.date(2004, 1, 1), dt.date(2005, 1, 1)]
    assert first(dt.date(2024, 8, 20), "quarter") == dt.date(2024, 7, 1)


CELLS = st.lists(
    st.tuples(st.floats(0, 30), st.sampled_from([0.0, 21.0, NAN])), min_size=1, max_size=30
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=90), CELLS)
def test_any_names_make_a_valid_and_legible_picture(
    names: list[str], cells: list[tuple[float, float]]
) -> None:
    rows = [(name, [c for c, _ in cells], [e for _, e in cells]) for name in names]
    read(picture(grid(*rows)))
