"""The pictures of a tear sheet: equity, drawdown and monthly returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tools.apps import svg
from tools.apps.svg import Frame, element, words
from tools.apps.wording import money, percent

POINTS = 1_200
WIDTH = 960
LOG_FROM = 8.0
"""From this ratio of highest to lowest equity on, equal percentages get equal heights."""
STRONG = 0.12
"""A month of this return has the strongest colour."""
YEARS = 60
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn: int ns UTC, money, and the fraction below the peak; equal lengths >= 1."""

    timestamps: Sequence[int]
    equity: Sequence[float]
    drawdown: Sequence[float]
    start: float


def equity_chart(series: Series) -> str:
    """Draw equity with its start, the deepest drawdown shaded; log scale for large gains."""
    frame = Frame(WIDTH, 320)
    low, high = (pick([*series.equity, series.start]) for pick in (min, max))
    log = low > 0 and high / low >= LOG_FROM
    pad = 0.0 if log else (high - low or abs(high) or 1.0) * 0.05
    low, high = (low / 1.05, high * 1.05) if log else (low - pad, high + pad)
    up, across = frame.up(low, high, log=log), _across(frame, series)
    kept = svg.thin(series.equity, limit=POINTS)
    points = [(across(series.timestamps[i]), up(series.equity[i])) for i in kept]
    values = svg.log_ticks(low, high) if log else svg.ticks(low, high)
    top = up(series.start)
    label = f"Equity from {money(series.start)} to {money(series.equity[-1])}"
    return svg.drawing(
        frame,
        label,
        svg.grid(frame, up, [(value, money(value)) for value in values]),
        _deepest_band(frame, series),
        element("path", d=svg.area(points, base=frame.floor), class_="equity-area"),
        element("line", x1=frame.left, x2=WIDTH - frame.right, y1=top, y2=top, class_="start-line"),
        element("path", d=svg.path(points), class_="equity-line"),
        element("circle", cx=points[-1][0], cy=points[-1][1], r=3.5, class_="equity-dot"),
        element("text", "log scale", x=WIDTH - 16, y=26, class_="note end") if log else "",
        svg.time_axis(frame, across, _times(series)),
    )


def drawdown_chart(series: Series) -> str:
    """Draw how far below its peak equity was, the deepest point labelled."""
    frame = Frame(WIDTH, 170, top=20)
    deepest = max(range(len(series.drawdown)), key=series.drawdown.__getitem__)
    worst = series.drawdown[deepest]
    bottom = max(worst * 1.15, 0.01)
    up, across = frame.up(-bottom, 0.0), _across(frame, series)
    kept = svg.thin(series.drawdown, limit=POINTS)
    points = [(across(series.timestamps[i]), up(-series.drawdown[i])) for i in kept]
    x, y = across(series.timestamps[deepest]), up(-worst)
    side, shift = ("end", -9) if x > WIDTH / 2 else ("start", 9)
    text = f"{percent(-worst)} on {svg.day_of(series.timestamps[deepest])}"
    mark = element("circle", cx=x, cy=y, r=3.5, class_="drawdown-dot") + element(
        "text", words(text), x=x + shift, y=y + 4, class_=f"mark {side}"
    )
    return svg.drawing(
        frame,
        f"Drawdown, at most {percent(worst, sign=False)}",
        svg.grid(frame, up, [(v, percent(v, digits=0)) for v in svg.ticks(-bottom, 0, count=3)]),
        element("path", d=svg.area(points, base=up(0.0)), class_="drawdown-area"),
        element("path", d=svg.path(points), class_="drawdown-line"),
        mark if worst > 0 else "",
        svg.time_axis(frame, across, _times(series)),
    )


def monthly_returns(series: Series) -> dict[int, dict[int, float]]:
    """Return ``{year: {month: return}}``, month 0 the whole year; the first against the start.

    A month that begins without equity has no return.
    """
    ends: dict[tuple[int, int], float] = {}
    for timestamp, equity in zip(series.timestamps, series.equity, strict=True):
        day = svg.day_of(timestamp)
        ends[day.year, day.month] = equity
    table: dict[int, dict[int, float]] = {}
    before = series.start
    for (year, month), equity in ends.items():
        if before > 0:
            table.setdefault(year, {})[month] = equity / before - 1.0
        before = equity
    for months in table.values():
        months[0] = math.prod(1.0 + value for value in months.values()) - 1.0
    return table


def heatmap(series: Series) -> str:
    """Return the table of monthly returns of the last 60 years, coloured, with each year's."""
    head = "".join(element("th", name, scope="col") for name in ("", *MONTHS, "Year"))
    rows = []
    for year, months in list(monthly_returns(series).items())[-YEARS:]:
        cells = "".join(_month(months.get(month)) for month in (*range(1, 13), 0))
        rows.append(element("tr", element("th", str(year), scope="row"), cells))
    body = element("tbody", *rows)
    return element("table", element("thead", element("tr", head)), body, class_="heat")


def _month(value: float | None) -> str:
    if value is None:
        return element("td")
    strength = min(abs(value) / STRONG, 1.0)
    share = f"--share:{strength * 100:.0f}%"
    side = "gain" if value >= 0 else "loss"
    return element("td", words(percent(value, digits=1, unit=False)), class_=side, style=share)


def _across(frame: Frame, series: Series) -> svg.Scale:
    return frame.across(series.timestamps[0], series.timestamps[-1])


def _times(series: Series) -> list[tuple[int, str]]:
    return svg.time_ticks(series.timestamps[0], series.timestamps[-1])


def _deepest_band(frame: Frame, series: Series) -> str:
    """Shade the time from the last peak to the deepest point."""
    trough = max(range(len(series.drawdown)), key=series.drawdown.__getitem__)
    peak = next((i for i in range(trough, -1, -1) if series.drawdown[i] <= 0), 0)
    if trough <= peak:
        return ""
    across = _across(frame, series)
    left, right = (across(series.timestamps[i]) for i in (peak, trough))
    return element(
        "rect",
        element("title", "Peak to deepest point"),
        x=left,
        y=frame.top,
        width=max(right - left, 1.0),
        height=frame.floor - frame.top,
        class_="band",
    )
