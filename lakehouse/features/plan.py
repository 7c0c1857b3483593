"""Which compiled windows a set of expressions needs: one pass for a whole family of them.

A family is a kernel over the same inputs; its statistics and windows are computed together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lakehouse.features.build import QLIB
from lakehouse.features.operators import OPERATORS
from lakehouse.features.reach import window_of
from lakehouse.features.syntax import Node

WHOLE = 2**62
"""The window of N = 0: all rows from the first."""

_MODES = {
    "Sum": ("totals", "SUM"),
    "Mean": ("totals", "MEAN"),
    "Var": ("spreads", "VAR"),
    "Std": ("spreads", "STD"),
    "Skew": ("shapes", "SKEW"),
    "Kurt": ("shapes", "KURT"),
    "Max": ("extremes", "MAX"),
    "Min": ("extremes", "MIN"),
    "IdxMax": ("extremes", "IDXMAX"),
    "IdxMin": ("extremes", "IDXMIN"),
    "Rank": ("ranks", "RANK"),
    "Slope": ("trends", "SLOPE"),
    "Rsquare": ("trends", "RSQUARE"),
    "Resi": ("trends", "RESI"),
    "Corr": ("pairs", "CORR"),
    "Cov": ("pairs", "COV"),
    "Mad": ("deviations", "MAD"),
    "Count": ("counts", "SUM"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One column of one family: ``mode`` is a statistic's name, a quantile or an alpha."""

    kernel: str
    inputs: tuple[str, ...]
    mode: str | float
    window: int

    @property
    def family(self) -> tuple[str, tuple[str, ...]]:
        """Return what shares a pass: the kernel and the canonical texts of its inputs."""
        return self.kernel, self.inputs


@dataclass(slots=True)
class Family:
    """What is asked of a kernel over the same inputs."""

    modes: set[str | float] = field(default_factory=set)
    windows: set[int] = field(default_factory=set)


def families(asked: Iterable[Iterable[Request]]) -> dict[tuple[str, tuple[str, ...]], Family]:
    """Return every family that the requests need, by its kernel and inputs."""
    found: dict[tuple[str, tuple[str, ...]], Family] = {}
    for request in (one for several in asked for one in several):
        family = found.setdefault(request.family, Family())
        family.modes.add(request.mode)
        family.windows.add(request.window)
    return found


def requests(node: Node, semantics: str) -> list[Request]:
    """Return the columns that a windowed node is made of, its own first; others have none."""
    operator = OPERATORS.get(node.op)
    if operator is None or operator.family not in ("rolling", "pair rolling"):
        return []
    if operator.windows == "shift":
        return []
    number = window_of(node)
    inputs = tuple(argument.text for argument in node.args[: operator.arguments.index("N")])
    if node.op == "EMA" or 0 < number < 1:
        return [_decay(node, number, inputs)]
    window = int(number) or WHOLE
    if node.op in ("Quantile", "Med"):
        q = float(node.args[2].value or 0) if node.op == "Quantile" else 0.5
        return [Request("quantiles", inputs, q, window)]
    if node.op == "WMA":
        mode = "WMA_QLIB" if semantics == QLIB else "WMA"
        return [Request("trends", inputs, mode, window)]
    kernel, mode = _MODES[node.op]
    return [Request(kernel, inputs, mode, window), *_beside(node, inputs, window, semantics)]


def _decay(node: Node, number: float, inputs: tuple[str, ...]) -> Request:
    if number == 0:
        return Request("expanded", inputs, "EMA", WHOLE)
    alpha = number if number < 1 else 2.0 / (number + 1.0)
    del node
    return Request("decayed", inputs, alpha, WHOLE)


def _beside(node: Node, inputs: tuple[str, ...], window: int, semantics: str) -> list[Request]:
    """Return what tells a flat window (each input's spread), and the mean that Mad is around."""
    if node.op == "Mad":
        return [Request("totals", inputs, "MEAN", window)]
    if node.op not in ("Corr", "Rsquare") or (semantics == QLIB and window == WHOLE):
        return []
    kinds = [("spreads", "STD")] if semantics == QLIB else [("spreads", "STD"), ("totals", "MEAN")]
    return [Request(kernel, (one,), mode, window) for one in inputs for kernel, mode in kinds]
