"""Curves in a terminal: a line of blocks, and a small chart of dots."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
"""U+2581 to U+2588: an eighth of a cell to a whole one."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by row and column (Unicode 16, chapter 21.1)."""
BLANK = 0x2800

Value = float | None


def line(values: Sequence[Value], *, width: int = 24) -> str:
    """Return the values as ``width`` blocks at most; nulls are blanks, a flat line is low."""
    cells = _sampled(values, width)
    known = [value for value in cells if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    return "".join(" " if value is None else BLOCKS[_level(value, low, span, 7)] for value in cells)


def chart(curves: Sequence[Sequence[Value]], *, width: int = 60, height: int = 8) -> list[str]:
    """Return lines of braille on which every curve is drawn over one scale, highest first."""
    sampled = [_sampled(curve, width * 2, stretch=True) for curve in curves]
    known = [value for curve in sampled for value in curve if value is not None]
    if not known:
        return []
    low, span = min(known), max(known) - min(known)
    cells = [[0] * width for _ in range(height)]
    for curve in sampled:
        before = None
        for column, value in enumerate(curve):
            row = (
                None if value is None else height * 4 - 1 - _level(value, low, span, height * 4 - 1)
            )
            for dot in _between(before, row):
                cells[dot // 4][column // 2] |= DOTS[dot % 4][column % 2]
            before = row
    return ["".join(chr(BLANK + cell) for cell in row) for row in cells]


def _between(before: int | None, row: int | None) -> range:
    """Return the rows of a column: from where the curve was to where it is."""
    if row is None:
        return range(0)
    if before is None or before == row:
        return range(row, row + 1)
    return range(row, before) if row < before else range(before + 1, row + 1)


def _level(value: float, low: float, span: float, most: int) -> int:
    return round((value - low) / span * most) if span > 0 else 0


def _sampled(values: Sequence[Value], width: int, *, stretch: bool = False) -> list[Value]:
    """Return ``width`` of the values, evenly and with both ends; fewer only if not stretched."""
    if len(values) <= width and not stretch:
        return list(values)
    last = len(values) - 1
    return [values[round(place * last / (width - 1))] for place in range(width)] if values else []
