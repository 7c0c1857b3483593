"""The coverage calendar: symbol by day, month or year, what is there and what is missing.

A pure function of a grid (`lakehouse.coverage.grid`). Cells of one shade are one path, drawn as
runs, so a picture of 500 symbols over 20 years stays below 300 kB; where it would not, the
periods become longer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tools.apps.picture import GLYPH, MARGIN, TOP, fitted, standalone
from tools.apps.svg import element, words
from tools.apps.wording import count, percent

UNITS = ("day", "month", "quarter", "year")
PLOT = 760
NAMES, SHARES = 190, 70
TALL, THIN = 16, 4
"""Height of a row of a few symbols, and of hundreds."""
ROOMY = 60
LABEL = 14
"""Pixels between two labels, at least."""
MOST_RUNS = 20_000
"""Runs of cells in a picture: about 12 bytes each."""
ALMOST = 0.995
"""From this share on a period counts as complete, so that one late print is no blemish."""

LEVELS: tuple[tuple[str, str], ...] = (
    ("most", "complete"),
    ("part", "half or more"),
    ("few", "less than half"),
    ("gap", "missing"),
    ("unknown", "no calendar to compare with"),
)


@dataclass(frozen=True, slots=True)
class Grid:
    """Symbols by periods, shape (N, B).

    ``starts`` are the first days of the periods, ``unit`` their length. ``covered`` counts sessions
    with bars (a session of which half the bars are there counts a half), ``expected`` those of the
    exchange within the symbol's life; nan where no calendar says, then ``covered`` counts days.
    """

    table: str
    unit: str
    starts: Sequence[dt.date]
    symbols: Sequence[str]
    covered: Sequence[Sequence[float]]
    expected: Sequence[Sequence[float]]
    left_out: int = 0


def picture(grid: Grid) -> str:
    """Return the SVG of the grid."""
    drawn = _runs(grid)
    while sum(map(len, drawn.values())) > MOST_RUNS and grid.unit != UNITS[-1]:
        grid = coarser(grid)
        drawn = _runs(grid)
    rows = len(grid.symbols)
    step = TALL if rows <= ROOMY else max(THIN, min(TALL, ROOMY * TALL // rows))
    bottom = TOP + 24 + rows * step
    return standalone(
        MARGIN * 2 + NAMES + PLOT + SHARES,
        bottom + 62,
        _periods(grid, bottom),
        *(_level(name, drawn[name], grid, step) for name, _ in LEVELS if drawn[name]),
        _names(grid, step),
        _legend({name for name, runs in drawn.items() if runs}, bottom + 38),
        heading=f"Coverage of {grid.table}",
        lead=_lead(grid),
        description=_description(grid),
    )


def coarser(grid: Grid) -> Grid:
    """Return the grid by the next longer period."""
    unit = UNITS[UNITS.index(grid.unit) + 1]
    starts = [first(day, unit) for day in grid.starts]
    groups = [list(places) for _, places in groupby(range(len(starts)), key=starts.__getitem__)]

    def merged(rows: Sequence[Sequence[float]]) -> list[list[float]]:
        return [[sum(row[place] for place in places) for places in groups] for row in rows]

    return Grid(
        grid.table,
        unit,
        [starts[places[0]] for places in groups],
        grid.symbols,
        merged(grid.covered),
        merged(grid.expected),
        grid.left_out,
    )


def first(day: dt.date, unit: str) -> dt.date:
    """Return the first day of the period that ``day`` lies in."""
    if unit == "day":
        return day
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    return dt.date(day.year, (day.month - 1) // months * months + 1, 1)


def level(covered: float, expected: float) -> str | None:
    """Return the shade of a cell; None where the symbol was not listed, or nothing is expected."""
    if expected != expected:
        return "unknown" if covered else None
    if expected <= 0:
        return None
    share = covered / expected
    if share >= ALMOST:
        return "most"
    return "gap" if share <= 0 else "part" if share >= 0.5 else "few"


def _runs(grid: Grid) -> dict[str, list[tuple[int, int, int]]]:
    """Return of each level (row, first column, columns), in order."""
    found: dict[str, list[tuple[int, int, int]]] = {name: [] for name, _ in LEVELS}
    for row, (covered, expected) in enumerate(zip(grid.covered, grid.expected, strict=True)):
        cells = [level(*pair) for pair in zip(covered, expected, strict=True)]
        place = 0
        for name, cell in groupby(cells):
            length = sum(1 for _ in cell)
            if name is not None:
                found[name].append((row, place, length))
            place += length
    return found


def _level(name: str, runs: Sequence[tuple[int, int, int]], grid: Grid, step: int) -> str:
    """Return one path: a line as thick as a row for each run."""
    wide = PLOT / max(len(grid.starts), 1)
    left, top = MARGIN + NAMES, TOP + 24
    parts = [
        f"M{_short(left + place * wide)} {_short(top + (row + 0.5) * step)}h{_short(length * wide)}"
        for row, place, length in runs
    ]
    gap = 2 if step >= 10 else 1 if step >= 6 else 0
    return element("path", d="".join(parts), class_=f"cells {name}", stroke_width=step - gap)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _periods(grid: Grid, bottom: float) -> str:
    """Return the time axis: a line and a label wherever there is room for one."""
    wide = PLOT / max(len(grid.starts), 1)
    marks, last = [], float("-inf")
    for place in range(len(grid.starts)):
        text = _label(grid, place)
        x = MARGIN + NAMES + place * wide
        if text and x - last >= (len(text) + 2) * GLYPH and x + len(text) * GLYPH <= _edge():
            marks.append(element("line", x1=x, x2=x, y1=TOP + 14, y2=bottom, class_="grid"))
            marks.append(element("text", words(text), x=x + 3, y=TOP + 14))
            last = x
    return "".join(marks)


def _edge() -> float:
    return MARGIN + NAMES + PLOT


def _label(grid: Grid, place: int) -> str:
    """Return the label of a period that begins a year (or a month, of days), else nothing."""
    day = grid.starts[place]
    before = grid.starts[place - 1] if place else None
    if before is None or before.year != day.year:
        return f"{day:%Y}" if grid.unit != "day" else f"{day:%b %Y}"
    return f"{day:%b}" if grid.unit == "day" and before.month != day.month else ""


def _names(grid: Grid, step: int) -> str:
    """Return the symbols on the left and their shares on the right, those that have room."""
    every = max(-(-LABEL // step), 1)
    parts = []
    for row in range(0, len(grid.symbols), every):
        y = TOP + 24 + (row + 0.5) * step + 4
        name = grid.symbols[row]
        parts.append(
            element(
                "text",
                element("title", words(name)),
                words(fitted(name, NAMES - 14)),
                x=MARGIN + NAMES - 10,
                y=y,
                class_="name end",
            )
        )
        share = _share(grid.covered[row], grid.expected[row])
        low = share is not None and share < 0.95
        text = "" if share is None else percent(_floored(share), digits=1, sign=False)
        parts.append(
            element("text", text, x=_edge() + SHARES, y=y, class_="end low" if low else "end")
        )
    return "".join(parts)


def _floored(share: float) -> float:
    """Return the share rounded down: 100.0 % is said of what is complete only."""
    return int(min(share, 1.0) * 1_000 + 1e-9) / 1_000


def _share(covered: Sequence[float], expected: Sequence[float]) -> float | None:
    """Return what is covered of what is expected; None where nothing is."""
    known = [(c, e) for c, e in zip(covered, expected, strict=True) if e == e]
    total = sum(e for _, e in known)
    return sum(c for c, _ in known) / total if total else None


def _legend(used: set[str], y: float) -> str:
    """Return the shades that occur, with what they mean."""
    x, parts = float(MARGIN + NAMES), []
    for name, meaning in LEVELS:
        if name in used:
            path = f"M{_short(x)} {_short(y - 4)}h12"
            parts.append(element("path", d=path, class_=f"cells {name}", stroke_width=12))
            parts.append(element("text", meaning, x=x + 18, y=y))
            x += 18 + (len(meaning) + 3) * GLYPH
    return "".join(parts)


def _lead(grid: Grid) -> str:
    if not grid.starts:
        return "The table has no bars."
    more = f" of {count(len(grid.symbols) + grid.left_out)}" if grid.left_out else ""
    plural = "" if len(grid.symbols) + grid.left_out == 1 else "s"
    span = f"{grid.starts[0]:%Y-%m} to {grid.starts[-1]:%Y-%m}"
    symbols = f"{count(len(grid.symbols))}{more} symbol{plural}"
    return f"{symbols}, {span}, one column a {grid.unit}. {_sum(grid)}"


def _sum(grid: Grid) -> str:
    sums: Mapping[str, float] = {
        "covered": sum(
            c
            for cs, es in zip(grid.covered, grid.expected, strict=True)
            for c, e in zip(cs, es, strict=True)
            if e == e
        ),
        "expected": sum(e for es in grid.expected for e in es if e == e),
    }
    if not sums["expected"]:
        return "No exchange calendar is known for them."
    share = percent(_floored(sums["covered"] / sums["expected"]), digits=1, sign=False)
    return f"{share} of {count(round(sums['expected']))} sessions are there."


def _description(grid: Grid) -> str:
    """Return what the picture shows, for who cannot see it: the emptiest symbols by name."""
    ranked = [
        (share, symbol)
        for symbol, *row in zip(grid.symbols, grid.covered, grid.expected, strict=True)
        if (share := _share(row[0], row[1])) is not None and share < ALMOST
    ]
    worst = ", ".join(
        f"{symbol} {percent(_floored(share), digits=1, sign=False)}"
        for share, symbol in sorted(ranked)[:5]
    )
    told = f" The emptiest: {worst}." if worst else " No symbol lacks a session."
    return _lead(grid) + (told if any(e == e for es in grid.expected for e in es) else "")
