"""One page that holds everything, fetches nothing, and trusts nobody's text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tools.apps.figures import Series, monthly_returns
from tools.apps.tearsheet import BENCHMARK, GROUPS, TILES, render
from tools.apps.wording import UNKNOWN

DAY = 86_400 * 10**9
START = 978_307_200 * 10**9  # 2001-01-01
EVIL = "<script>alert('x')</script>\" onload=\"y"
VOID = {"meta"}


class Page(HTMLParser):
    """Checks that tags close in order and keeps what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [f"{n}={v}" for n, v in attrs if n in ("src", "href") or n.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def curve(values: list[float]) -> dict[str, list[Any]]:
    peak, drawdown = 100.0, []
    for value in values:
        peak = max(peak, value)
        drawdown.append(1 - value / peak)
    times = [START + DAY * index for index in range(len(values))]
    return {"timestamps": times, "equity": values, "drawdown": drawdown}


def page(
    run: dict[str, Any] | None = None,
    statistics: dict[str, Any] | None = None,
    values: list[float] | None = None,
    **rest: Any,
) -> str:
    wave = [100 + (index * 37 % 50) + index / 10 for index in range(400)]
    record = {"name": "trial", "status": "succeeded", **(run or {})}
    facts = {"start_equity": 100.0, **(statistics or {})}
    return render(record, facts, **curve(wave if values is None else values), **rest)


def test_the_page_stands_alone() -> None:
    text = page()
    found = Page(text)
    assert found.links == []
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert "url(" not in text
    assert "@import" not in text
    assert {"svg", "table", "style", "h1"} <= found.tags
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("bars", [1, 2, 3, 40, 200_000])
def test_a_page_of_any_length_stays_small(bars: int) -> None:
    values = [100 + (index * 7919 % 1_000) / 10 for index in range(bars)]
    text = page(values=values)
    Page(text)
    assert len(text.encode()) < 300_000


def test_every_text_from_outside_is_escaped() -> None:
    text = page(
        {
            "name": EVIL,
            "status": EVIL,
            "run_id": EVIL,
            "run_sha": EVIL,
            "snapshot_ids": {EVIL: EVIL},
            "engine": {"version": EVIL, "sources": EVIL, "fingerprint": EVIL},
            "spec": {
                "strategy": {"name": EVIL, "params": {EVIL: EVIL}},
                "universe": {"symbols": [EVIL]},
            },
        },
        {"warnings": [{"code": EVIL, "message": EVIL, "more": {EVIL: [EVIL]}}], "sharpe": EVIL},
        fills=[{"vt_symbol": EVIL, "fills": EVIL, "bought": EVIL, "sold": 1.0, "fees": None}],
    )
    found = Page(text)
    assert "script" not in found.tags
    assert found.links == []
    assert EVIL in found.words


def test_provenance_names_run_spec_snapshots_engine_and_both_hashes() -> None:
    run = {
        "run_id": "r" * 26,
        "spec_hash": "a" * 64,
        "run_sha": "b" * 64,
        "result_sha": "c" * 64,
        "snapshot_ids": {"alphaswarm_silver_market.bars_1d": "123456789"},
        "engine": {"version": "1", "sources": "d" * 64, "fingerprint": "numpy-2"},
    }
    words = Page(page(run)).words
    for value in ("r" * 26, "a" * 64, "b" * 64, "c" * 64, "123456789", "d" * 64, "numpy-2"):
        assert value in words


def test_every_statistic_of_the_page_is_shown_and_unknown_ones_as_a_dash() -> None:
    rows = [row for group in (*GROUPS.values(), BENCHMARK) for row in group] + list(TILES)
    numbers = {name: 0.123 for _, name, _ in rows}
    words = Page(page(statistics=numbers)).words
    assert "+12.30%" in words
    nothing = Page(page(statistics={name: None for _, name, _ in rows})).words
    assert nothing.count(UNKNOWN) >= len(rows)


def test_a_benchmark_has_its_own_table_only_when_there_is_one() -> None:
    assert "Information ratio" not in page()
    assert "Information ratio" in page(statistics={"benchmark_return": 0.1})


def test_a_partial_result_says_so() -> None:
    words = Page(page({"status": "halted"}, {"partial": True})).words
    assert "halted, partial result" in words


def test_a_run_without_bars_is_a_page_that_says_so() -> None:
    assert "before its first bar" in Page(page(values=[])).words


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([100.0] * 50, id="flat"),
        pytest.param([100.0, 50.0, -20.0, -20.0], id="ruined"),
        pytest.param([100.0 * 1.05**n for n in range(200)], id="so steep that the scale is log"),
        pytest.param([1e-9, 2e-9], id="almost nothing"),
        pytest.param([1e14, 2e14], id="a great deal"),
    ],
)
def test_any_curve_can_be_drawn(values: list[float]) -> None:
    text = page(values=values)
    Page(text)
    assert "nan" not in "".join(re.findall(r' d="([^"]*)"', text))


def test_monthly_returns_by_hand() -> None:
    times = [START, START + 30 * DAY, START + 31 * DAY, START + 365 * DAY]
    table = monthly_returns(Series(times, [110.0, 120.0, 60.0, 90.0], [0.0] * 4, 100.0))
    assert table[2001][1] == pytest.approx(0.2)
    assert table[2001][2] == pytest.approx(-0.5)
    assert table[2001][0] == pytest.approx(-0.4)
    assert table[2002] == {1: pytest.approx(0.5), 0: pytest.approx(0.5)}
