"""What a result is worth, in plain words: a grade of four, and a sentence for each reason.

No grade says that a strategy is good. ``refuted``: something found speaks against it.
``unproven``: it cannot be told from luck. ``fragile``: it falls with small changes of costs, of
timing or of the data. ``plausible``: none of this was found, which is no proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

GRADES = ("refuted", "unproven", "fragile", "plausible")
"""From worst to best; the worst of all findings is the verdict."""
NOTE = "note"
"""A finding that the reader must know and that no grade hangs on."""

CONFIDENCE = 0.95
"""Least probability that the true Sharpe ratio is above its threshold."""
OVERFIT, DOUBTFUL = 0.5, 0.2
"""Probability of backtest overfitting above which a choice is refuted, and unproven."""
T_STATISTIC = 3.0
"""Harvey, Liu and Zhu 2016: after decades of searching, 2 is no longer enough."""
FEWEST_TRADES = 30
SHORTEST_YEARS = 2.0
COST_FACTOR = 2.0
"""Times its costs, a profit should be left."""
DELAY_BARS, DELAY_KEPT = 1, 0.5
"""One bar later, this part of the return should be left."""
WHOLE = 1.0

_HEADS = {
    "refuted": "What was found speaks against this result.",
    "unproven": "This result cannot be told from luck.",
    "fragile": "This result falls with small changes of what it assumes.",
    "plausible": "Nothing that was tested speaks against this result, which is no proof.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule against one result: ``grade`` where it is broken, None where it is kept.

    What is only true or false has 1 or 0 as its value.
    """

    name: str
    grade: str | None
    value: float | None
    threshold: float | None
    sentence: str


Statistics = Mapping[str, Any]


def judge(statistics: Statistics, *, periods_per_year: float, tested: str) -> dict[str, Any]:
    """Return the verdict as JSON for ``statistics.verdict``, from the statistics alone.

    ``tested`` says on what: ``once`` (one set of parameters, in sample), ``sweep`` (the best of
    several, in sample) or ``walk_forward`` (out of sample). ``facts`` holds each rule that could be
    looked at with its value, its threshold and whether it was kept; ``sentences`` those broken and
    the notes, the worst first.
    """
    found = [f for rule in _RULES for f in rule(statistics, periods_per_year)]
    found += _in_sample(tested)
    broken = [f for f in found if f.grade is not None]
    order = (*GRADES, NOTE)
    broken.sort(key=lambda f: order.index(f.grade or NOTE))
    grade = min((f.grade for f in broken if f.grade in GRADES), key=GRADES.index, default=None)
    grade = grade or "plausible"
    return {
        "grade": grade,
        "sentences": [_HEADS[grade], *(f.sentence for f in broken)],
        "facts": {
            f.name: {"value": f.value, "threshold": f.threshold, "kept": f.grade is None}
            for f in found
        },
    }


def _number(statistics: Statistics, name: str) -> float | None:
    value = statistics.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _looks_ahead(s: Statistics, _: float) -> list[Finding]:
    audit = s.get("audit") or {}
    passed = audit.get("passed")
    if passed is None:
        why = audit.get("skipped") or "It was not done."
        return [Finding("audit", NOTE, None, None, f"No look-ahead audit: {why}")]
    if passed:
        return [Finding("audit", None, 1.0, 1.0, "")]
    first = audit.get("first_difference") or {}
    text = f"The strategy looks ahead: {first.get('what')} at {first.get('at')} uses later bars."
    return [Finding("audit", "refuted", 0.0, 1.0, text)]


def _lost(s: Statistics, _: float) -> list[Finding]:
    gained = _number(s, "total_return")
    if gained is None:
        return [Finding("total_return", "unproven", None, 0.0, "There is no return to judge.")]
    text = f"After costs it made {gained:.1%}; a profit is asked."
    return [Finding("total_return", "refuted" if gained <= 0 else None, gained, 0.0, text)]


def _overfit(s: Statistics, _: float) -> list[Finding]:
    pbo = _number(s, "pbo")
    if pbo is None:
        return []
    grade = "refuted" if pbo > OVERFIT else "unproven" if pbo > DOUBTFUL else None
    text = (
        f"With probability {pbo:.2f} the best in sample is below the median out of sample (PBO); "
        f"at most {DOUBTFUL} is asked (Bailey and others 2017)."
    )
    return [Finding("pbo", grade, pbo, DOUBTFUL, text)]


def _deflated(s: Statistics, _: float) -> list[Finding]:
    value, trials = _number(s, "deflated_sharpe"), _number(s, "trials_counted")
    counted = "an unknown number of trials" if trials is None else _counted(int(trials))
    if value is None:
        text = f"The deflated Sharpe ratio is not defined ({counted})."
        return [Finding("deflated_sharpe", "unproven", None, CONFIDENCE, text)]
    text = (
        f"With {counted} the true Sharpe ratio beats the luckiest of as many without skill with "
        f"probability {value:.2f}; {CONFIDENCE} is asked (Bailey and Lopez de Prado 2014)."
    )
    grade = "unproven" if value < CONFIDENCE else None
    return [Finding("deflated_sharpe", grade, value, CONFIDENCE, text)]


def _counted(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials:,} trials"


def _probable(s: Statistics, _: float) -> list[Finding]:
    value = _number(s, "probabilistic_sharpe")
    if value is None:
        return []
    text = (
        f"Even for a single trial the true Sharpe ratio is above 0 with probability {value:.2f} "
        f"only; {CONFIDENCE} is asked (Bailey and Lopez de Prado 2012)."
    )
    grade = "unproven" if value < CONFIDENCE else None
    return [Finding("probabilistic_sharpe", grade, value, CONFIDENCE, text)]


def _significant(s: Statistics, periods: float) -> list[Finding]:
    ratio, bars = _number(s, "sharpe"), _number(s, "bars")
    if ratio is None or bars is None:
        return []
    t = ratio * math.sqrt(bars / periods)
    text = (
        f"The t-statistic of the mean return is {t:.2f}; "
        f"{T_STATISTIC:.0f} is asked (Harvey, Liu and Zhu 2016)."
    )
    return [Finding("t_statistic", "unproven" if t < T_STATISTIC else None, t, T_STATISTIC, text)]


def _long_enough(s: Statistics, periods: float) -> list[Finding]:
    bars, needed = _number(s, "bars"), _number(s, "minimum_track_record")
    if bars is None:
        return []
    years = bars / periods
    text = f"{years:.2f} years of bars are a short sample; {SHORTEST_YEARS:.0f} are asked."
    short = "unproven" if years < SHORTEST_YEARS else None
    found = [Finding("years", short, years, SHORTEST_YEARS, text)]
    if needed is not None:
        text = (
            f"{bars:,.0f} bars are fewer than the minimum track record of {needed:,.0f} for a "
            "Sharpe ratio like this one (Bailey and Lopez de Prado 2012)."
        )
        grade = "unproven" if bars < needed else None
        found.append(Finding("minimum_track_record", grade, bars, needed, text))
    return found


def _traded_enough(s: Statistics, _: float) -> list[Finding]:
    trades = _number(s, "trades")
    if trades is None:
        return []
    text = f"{trades:.0f} closed trades are few; {FEWEST_TRADES} are asked."
    grade = "unproven" if trades < FEWEST_TRADES else None
    return [Finding("trades", grade, trades, float(FEWEST_TRADES), text)]


def _whole(s: Statistics, _: float) -> list[Finding]:
    text = "The run ended before its last bar."
    return [Finding("partial", "unproven", 1.0, 0.0, text)] if s.get("partial") else []


def _costs(s: Statistics, _: float) -> list[Finding]:
    found = s.get("sensitivity") or {}
    left = _row(found, "cost", "factor", COST_FACTOR)
    if left is None:
        why = found.get("skipped") or "It was not measured."
        return [Finding("cost", NOTE, None, None, f"What costs do to it is not known: {why}")]
    even, paid = _number(found, "break_even_bps"), _number(found, "cost_bps")
    told = "" if even is None or paid is None else f" It pays {paid:.1f} bps and breaks even at "
    told += "" if even is None or paid is None else f"{even:.1f} bps of what is traded."
    text = f"At {COST_FACTOR:.0f} times its costs it makes {left:.1%}; a profit is asked.{told}"
    return [Finding("cost", "fragile" if left <= 0 else None, left, 0.0, text)]


def _delay(s: Statistics, _: float) -> list[Finding]:
    left = _row(s.get("sensitivity") or {}, "delay", "bars", DELAY_BARS)
    whole = _number(s, "total_return")
    if left is None or whole is None or whole <= 0:
        return []
    kept = left / whole
    text = (
        f"One bar later {kept:.0%} of the return is left ({left:.1%} of {whole:.1%}); "
        f"{DELAY_KEPT:.0%} is asked."
    )
    return [Finding("delay", "fragile" if kept < DELAY_KEPT else None, kept, DELAY_KEPT, text)]


def _row(found: Mapping[str, Any], table: str, key: str, value: float) -> float | None:
    rows = [row for row in found.get(table) or [] if row.get(key) == value]
    return _number(rows[0], "total_return") if rows else None


def _concentrated(s: Statistics, _: float) -> list[Finding]:
    parts = s.get("concentration") or {}
    found = []
    for kind in ("trade", "symbol", "year"):
        part = parts.get(kind)
        if part is None:
            continue
        share, name = part["share"], part.get("name")
        which = f"The best {kind}" if name is None else f"The {kind} {name}"
        text = f"{which} makes {share:.0%} of the profit: without it nothing is left."
        grade = "fragile" if share >= WHOLE else None
        found.append(Finding(f"best_{kind}", grade, share, WHOLE, text))
    return found


def _warned(s: Statistics, _: float) -> list[Finding]:
    codes = {str(warning.get("code")) for warning in s.get("warnings") or []}
    told = {
        "same_bar_fill": ("fragile", "Orders filled at the very close they were decided at."),
        "survivorship": (
            NOTE,
            "The universe is a fixed list: companies that failed earlier are missing from it.",
        ),
        "ruined": ("refuted", "Equity fell to nothing."),
    }
    return [
        Finding(code, grade, 1.0, 0.0, text)
        for code, (grade, text) in told.items()
        if code in codes
    ]


def _in_sample(tested: str) -> list[Finding]:
    told = {
        "once": "All of it is in sample: nothing says how it does on bars that nobody has seen.",
        "sweep": "The parameters were chosen on the very bars that the result is measured on.",
    }
    return [Finding("in_sample", NOTE, 1.0, 0.0, told[tested])] if tested in told else []


_RULES: tuple[Callable[[Statistics, float], list[Finding]], ...] = (
    _looks_ahead,
    _lost,
    _overfit,
    _deflated,
    _probable,
    _significant,
    _long_enough,
    _traded_enough,
    _whole,
    _costs,
    _delay,
    _concentrated,
    _warned,
)
