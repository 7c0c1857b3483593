"""How far an expression sees: rows before its first and after its last, and what it hangs on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lakehouse.features.build import QLIB
from lakehouse.features.operators import OPERATORS
from lakehouse.features.syntax import Node

EVERYTHING = -1
"""A look-back to the first row that there is."""


@dataclass(frozen=True, slots=True)
class Reach:
    """``back`` rows before a row and ``ahead`` rows after it shape its value.

    ``back`` is `EVERYTHING` where all earlier rows do. ``anchored``: the value also depends on the
    row at which the computation begins, as some operators of Qlib do; it begins ``back`` rows
    before the first row asked for, neither earlier nor later. ``across``: other symbols count.
    """

    back: int = 0
    ahead: int = 0
    anchored: bool = False
    across: bool = False


def reach(node: Node, semantics: str, *, spans: float | None = None) -> Reach:
    """Return how far ``node`` sees; of Qlib's semantics as its `get_extended_window_size` says.

    In ours an exponential mean sees everything, or where ``spans`` are given that many times its
    span: after 9 of them older values weigh less than float32 tells apart.
    """
    known: dict[str, Reach] = {}
    for part in node.walk():
        below = [known[argument.text] for argument in part.args]
        known[part.text] = _of(part, _joined(below), semantics, spans)
    return known[node.text]


def _joined(parts: list[Reach]) -> Reach:
    backs = [part.back for part in parts]
    return Reach(
        EVERYTHING if EVERYTHING in backs else max(backs, default=0),
        max((part.ahead for part in parts), default=0),
        any(part.anchored for part in parts),
        any(part.across for part in parts),
    )


def _of(node: Node, below: Reach, semantics: str, spans: float | None) -> Reach:
    operator = OPERATORS.get(node.op)
    if operator is None:
        return below
    if operator.family in ("cross", "symbol"):
        return Reach(below.back, below.ahead, below.anchored, across=True)
    if not operator.windows:
        return below
    window = window_of(node)
    if node.op in ("Ref", "Delta") and window < 0:
        return Reach(below.back, below.ahead - int(window), below.anchored, below.across)
    more, anchored = _rows(node.op, window, semantics, spans)
    back = EVERYTHING if EVERYTHING in (more, below.back) else below.back + more
    return Reach(back, below.ahead, below.anchored or anchored, below.across)


def _rows(op: str, window: float, semantics: str, spans: float | None) -> tuple[int, bool]:
    """Return the rows before that a window adds, and whether its value hangs on where it begins."""
    decays = op == "EMA" or 0 < window < 1
    if semantics != QLIB:
        if decays:
            span = window if window >= 1 else 2 / window - 1
            return EVERYTHING if spans is None else math.ceil(spans * span) - 1, False
        return int(window) if op in ("Ref", "Delta") else int(window) - 1, False
    if window == 0:
        return 0, True
    if 0 < window < 1:
        return max(int(math.log(1e-6) / math.log(1 - window)) - 1, 0), True
    if op == "Ref":
        return int(window), False
    return int(window) - 1, op in ("EMA", "Delta")


def window_of(node: Node) -> float:
    """Return N of a windowed operator's node."""
    place = OPERATORS[node.op].arguments.index("N")
    return float(node.args[place].value or 0)
