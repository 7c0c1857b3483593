"""A small writer of SVG charts: scales, ticks, thinning, and elements that escape everything."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

NANO = 10**9
SMALLEST = 1e-300
"""A step below this has no power of ten left to be rounded to."""
Scale = Callable[[float], float]
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold (XML 1.0, 2.2), not even escaped."""


def element(tag: str, *children: str, **attributes: str | float | None) -> str:
    """Return ``<tag ...>children</tag>``; children are markup, attribute values are escaped.

    ``class_`` and names with ``_`` are written ``class`` and with ``-``; None leaves one out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value), quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def words(text: object) -> str:
    """Return ``text`` as escaped markup; what XML cannot hold becomes the replacement character."""
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", value)
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot area inside a drawing, in its units."""

    width: float
    height: float
    left: float = 64
    right: float = 16
    top: float = 14
    bottom: float = 26

    @property
    def floor(self) -> float:
        """Return the y of the x axis."""
        return self.height - self.bottom

    def across(self, low: float, high: float) -> Scale:
        """Return the scale from ``low..high`` to the plot's width."""
        return _linear(low, high, self.left, self.width - self.right)

    def up(self, low: float, high: float, *, log: bool = False) -> Scale:
        """Return the scale from ``low..high`` to the plot's height, larger values higher."""
        if not log:
            return _linear(low, high, self.floor, self.top)
        inner = _linear(math.log(low), math.log(high), self.floor, self.top)
        return lambda value: inner(math.log(value))


def _linear(low: float, high: float, start: float, stop: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Return about ``count`` round values (1, 2, 2.5 or 5 times a power of ten) inside."""
    rough = (high - low) / count
    if not rough > SMALLEST:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * index for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten inside ``low..high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    return [value for value in values if low <= value <= high]


def day_of(timestamp: int) -> dt.date:
    """Return the UTC day of int nanoseconds since 1970."""
    return dt.datetime.fromtimestamp(timestamp // NANO, tz=dt.UTC).date()


def time_ticks(first: int, last: int) -> list[tuple[int, str]]:
    """Return (timestamp, label) of years, months or days, at most about ten."""
    start, end = day_of(first), day_of(last)
    months = (end.year - start.year) * 12 + end.month - start.month
    if months < 2:
        return _days(start, end)
    step = next(s for s in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600) if months / s <= 10 or s == 600)
    found = []
    for index in range(start.year * 12 + start.month - 1, end.year * 12 + end.month):
        day = dt.date(index // 12, index % 12 + 1, 1)
        if index % step == 0 and day >= start:
            yearly = step >= 12 or day.month == 1
            found.append((_nanoseconds(day), f"{day:%Y}" if yearly else f"{day:%b}"))
    return found or _days(start, end)


def _days(start: dt.date, end: dt.date) -> list[tuple[int, str]]:
    step = max(math.ceil((end - start).days / 8), 1)
    days = [start + dt.timedelta(days=n) for n in range(0, (end - start).days + 1, step)]
    return [(_nanoseconds(day), f"{day:%d %b}") for day in days]


def _nanoseconds(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC).timestamp()) * NANO


def thin(values: Sequence[float], *, limit: int) -> list[int]:
    """Return about ``limit`` indices that keep the ends and every bucket's low and high."""
    if len(values) <= limit:
        return list(range(len(values)))
    buckets = limit // 2
    edges = [len(values) * bucket // buckets for bucket in range(buckets + 1)]
    kept = {0, len(values) - 1}
    for start, stop in pairwise(edges):
        span = range(start, stop)
        kept |= {min(span, key=values.__getitem__), max(span, key=values.__getitem__)}
    return sorted(kept)


def path(points: Iterable[tuple[float, float]]) -> str:
    """Return path data through ``points``, to a tenth of a unit."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def area(points: Sequence[tuple[float, float]], *, base: float) -> str:
    """Return path data of the area between ``points`` and the height ``base``."""
    return f"{path(points)}L{points[-1][0]:.1f},{base:.1f}L{points[0][0]:.1f},{base:.1f}Z"


def grid(frame: Frame, scale: Scale, labels: Sequence[tuple[float, str]]) -> str:
    """Return horizontal lines with their labels on the left."""
    right = frame.width - frame.right
    return "".join(
        element("line", x1=frame.left, x2=right, y1=scale(value), y2=scale(value), class_="grid")
        + element("text", words(label), x=frame.left - 8, y=scale(value) + 4, class_="tick end")
        for value, label in labels
    )


def time_axis(frame: Frame, scale: Scale, labels: Sequence[tuple[int, str]]) -> str:
    """Return the x axis: a tick and a label for each time."""
    return "".join(
        element(
            "line", x1=scale(at), x2=scale(at), y1=frame.floor, y2=frame.floor + 5, class_="axis"
        )
        + element("text", words(label), x=scale(at), y=frame.floor + 19, class_="tick middle")
        for at, label in labels
    )


def drawing(frame: Frame, label: str, *children: str) -> str:
    """Return the SVG, readable aloud as ``label``."""
    box = f"0 0 {frame.width:.0f} {frame.height:.0f}"
    return element("svg", *children, viewBox=box, role="img", aria_label=label)
