"""The verdict as a table: what is found, which grade it leads to, and that each says its number."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest

from runtimes.backtest.verdict import GRADES, judge

SOUND: dict[str, Any] = {
    "bars": 1_260,
    "total_return": 0.9,
    "sharpe": 1.8,
    "trades": 120,
    "partial": False,
    "probabilistic_sharpe": 0.999,
    "deflated_sharpe": 0.97,
    "trials_counted": 12,
    "minimum_track_record": 400.0,
    "pbo": 0.05,
    "audit": {"passed": True, "first_difference": None, "skipped": None},
    "sensitivity": {
        "cost": [{"factor": float(f), "total_return": 1.0 - 0.1 * f} for f in range(4)],
        "delay": [{"bars": d, "total_return": 0.9 - 0.1 * d} for d in (0, 1, 2, 5)],
        "break_even_bps": 50.0,
        "cost_bps": 5.0,
        "skipped": None,
    },
    "concentration": {
        "trade": {"share": 0.1},
        "symbol": {"name": "AAA.TEST", "share": 0.5},
        "year": {"name": 2003, "share": 0.4},
    },
    "warnings": [],
}
"""A result with nothing against it; each row of the table spoils one thing."""


def changed(path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(SOUND)
    place: Any = found
    *above, last = path.split(".")
    for key in above:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[int(last) if isinstance(place, list) else last] = value
    return found


def verdict(statistics: dict[str, Any], tested: str = "walk_forward") -> dict[str, Any]:
    return judge(statistics, periods_per_year=252, tested=tested)


def warning(code: str) -> list[dict[str, Any]]:
    return [{"code": code, "message": "."}]


CHEAT = {
    "passed": False,
    "first_difference": {"what": "a decision", "at": "2001-02-03T21:00:00Z"},
    "skipped": None,
}


def test_nothing_against_it_is_plausible_and_no_proof() -> None:
    found = verdict(SOUND)
    assert found["grade"] == "plausible"
    assert found["sentences"] == [
        "Nothing that was tested speaks against this result, which is no proof."
    ]
    assert all(fact["kept"] for fact in found["facts"].values())


@pytest.mark.parametrize(
    ("path", "value", "grade", "said"),
    [
        pytest.param("audit", CHEAT, "refuted", "looks ahead: a decision at 2001", id="cheat"),
        pytest.param("total_return", -0.04, "refuted", "it made -4.0%", id="a loss"),
        pytest.param("total_return", None, "unproven", "no return", id="no return"),
        pytest.param("pbo", 0.51, "refuted", "probability 0.51", id="overfit"),
        pytest.param("pbo", 0.21, "unproven", "probability 0.21", id="perhaps overfit"),
        pytest.param("deflated_sharpe", 0.949, "unproven", "With 12 trials", id="deflated"),
        pytest.param("deflated_sharpe", None, "unproven", "not defined", id="flat"),
        pytest.param("probabilistic_sharpe", 0.94, "unproven", "0.94 only", id="probable"),
        pytest.param("sharpe", 1.3, "unproven", "t-statistic of the mean return is 2.91", id="t"),
        pytest.param("bars", 500, "unproven", "1.98 years", id="a short sample"),
        pytest.param("minimum_track_record", 1_261.0, "unproven", "1,261", id="track record"),
        pytest.param("trades", 29, "unproven", "29 closed trades", id="few trades"),
        pytest.param("partial", True, "unproven", "before its last bar", id="partial"),
        pytest.param("warnings", warning("ruined"), "refuted", "fell to nothing", id="ruined"),
        pytest.param(
            "warnings", warning("same_bar_fill"), "fragile", "very close", id="same bar"
        ),
        pytest.param(
            "sensitivity.cost.2.total_return", -0.01, "fragile", "At 2 times its costs it makes "
            "-1.0%; a profit is asked. It pays 5.0 bps and breaks even at 50.0 bps", id="costs"
        ),
        pytest.param(
            "sensitivity.delay.1.total_return", 0.44, "fragile", "One bar later 49%", id="delay"
        ),
        pytest.param(
            "concentration.trade.share", 1.0, "fragile", "The best trade makes 100%", id="trade"
        ),
        pytest.param(
            "concentration.symbol.share", 1.2, "fragile", "symbol AAA.TEST makes 120%", id="symbol"
        ),
        pytest.param(
            "concentration.year.share", 1.5, "fragile", "The year 2003 makes 150%", id="year"
        ),
        pytest.param("warnings", warning("survivorship"), "plausible", "fixed list", id="list"),
        pytest.param(
            "audit", {"passed": None, "skipped": "Too long."}, "plausible",
            "No look-ahead audit: Too long.", id="no audit"
        ),
        pytest.param(
            "sensitivity", {"cost": [], "delay": [], "skipped": "Too large."}, "plausible",
            "not known: Too large.", id="no sensitivity"
        ),
    ],
)  # fmt: skip
def test_one_finding_decides(path: str, value: Any, grade: str, said: str) -> None:
    found = verdict(changed(path, value))
    assert found["grade"] == grade
    assert any(said in sentence for sentence in found["sentences"]), found["sentences"]
    assert sum(not fact["kept"] for fact in found["facts"].values()) >= 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("deflated_sharpe", 0.95),
        ("probabilistic_sharpe", 0.95),
        ("pbo", 0.2),
        ("bars", 1_260),
        ("trades", 30),
        ("sensitivity.delay.1.total_return", 0.45),
        ("concentration.trade.share", 0.99),
    ],
)
def test_a_threshold_that_is_just_reached_is_kept(path: str, value: Any) -> None:
    assert verdict(changed(path, value))["grade"] == "plausible"


def test_the_worst_finding_decides_and_stands_first() -> None:
    spoilt = changed("pbo", 0.6) | {"trades": 3, "warnings": warning("same_bar_fill")}
    found = verdict(spoilt)
    assert found["grade"] == "refuted"
    order = [next(i for i, s in enumerate(found["sentences"]) if part in s)
             for part in ("(PBO)", "3 closed trades", "very close")]  # fmt: skip
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        ("once", "All of it is in sample"),
        ("sweep", "chosen on the very bars"),
        ("walk_forward", ""),
    ],
)
def test_it_says_on_what_it_was_tested(tested: str, said: str) -> None:
    found = verdict(SOUND, tested)
    assert found["grade"] == "plausible"
    assert any(said in sentence for sentence in found["sentences"][1:]) == bool(said)


def test_what_is_not_known_is_no_crash_and_never_plausible() -> None:
    assert verdict({})["grade"] == "unproven"
    assert verdict(dict.fromkeys(SOUND))["grade"] == "unproven"


def test_no_verdict_says_good_and_every_verdict_is_json() -> None:
    """Over every combination of four spoilt things: the grade is of the four, nothing praises."""
    spoils = [("pbo", 0.6), ("trades", 3), ("deflated_sharpe", None), ("total_return", -0.5)]
    for chosen in itertools.product([False, True], repeat=len(spoils)):
        statistics = SOUND | dict(s for s, taken in zip(spoils, chosen, strict=True) if taken)
        found = verdict(statistics)
        assert found["grade"] in GRADES
        text = json.dumps(found, allow_nan=False).lower()
        assert not any(word in text for word in ('"good', " good", "excellent", "safe", "proven "))
        assert found == verdict(statistics)
