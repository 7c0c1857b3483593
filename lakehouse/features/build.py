"""Calls to nodes: arguments of the right kind and number, windows in range, constants folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lakehouse.errors import ExpressionSyntaxError, LookaheadError
from lakehouse.features.operators import NUMBERS, OPERATORS, REFUSED, Operator
from lakehouse.features.syntax import LONGEST, NODES, Kind, Node, call, constant
from lakehouse.features.tokens import refused
from topology.errors import UnknownNameError, did_you_mean, nearest

Semantics = str
QLIB, OURS = "qlib-0.9.7", "alphaswarm-1"
SEMANTICS = (OURS, QLIB)
MOST = 2.0**53
"""Constants are smaller: beyond it canonical JSON cannot write them."""
BUCKETS = 1_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What an expression may say: its fields, its semantics, and whether it may see the future."""

    fields: frozenset[str]
    semantics: str
    future: bool = False


def operator(name: str, position: int) -> Operator:
    """Return the operator; an unknown one raises ``unknown_name`` with what may be meant."""
    if name in OPERATORS:
        return OPERATORS[name]
    if name in REFUSED:
        raise UnknownNameError(
            f"{name} of Qlib is not part of this language.",
            hint=REFUSED[name],
            position=position,
            value=name,
            nearest=[],
        )
    raise UnknownNameError(
        f"No operator is called {name[:64]!r}.",
        hint=_meant(name, list(OPERATORS)),
        position=position,
        value=name[:64],
        nearest=_near(name, list(OPERATORS)),
    )


def unknown_field(name: str, position: int, known: frozenset[str]) -> UnknownNameError:
    """Return the error for a field that the table does not have."""
    return UnknownNameError(
        f"There is no field ${name[:64]}.",
        hint=_meant(name, sorted(known), prefix="$"),
        position=position,
        value=name[:64],
        nearest=[f"${near}" for near in _near(name, sorted(known))],
    )


def _near(name: str, known: Sequence[str]) -> list[str]:
    lower = {other.lower(): other for other in known}
    return [lower[near] for near in nearest(name[:64].lower(), lower)]


def _meant(name: str, known: Sequence[str], prefix: str = "") -> str:
    near = _near(name, known)
    return (
        f"Did you mean {prefix + near[0]!r}?"
        if near
        else did_you_mean("", [prefix + k for k in known])
    )


def build(
    spec: Operator, args: tuple[Node, ...], position: int, rules: Rules, *, chained: bool = False
) -> Node:
    """Return the node of a call, or the number that an operation on numbers gives."""
    args = _fitted(spec, args, position)
    if (folded := _folded(spec, args, position)) is not None:
        return folded
    for slot, argument in zip(spec.arguments, args, strict=False):
        _CHECKS[slot](spec, argument, position, rules)
    if all(argument.kind == "constant" for argument in args):
        raise refused(
            f"{spec.name} is given no field, so there is nothing to compute.",
            position=position,
            hint=f"Write {spec.signature} with a field such as $close.",
        )
    _refuse_conditions(spec, args, position)
    node = call(spec.name, args, _kind(spec, args), chained=chained)
    if node.size > NODES:
        raise refused(
            f"An expression has at most {NODES} nodes.",
            position=position,
            hint="Split it into several features.",
        )
    return node


def _kind(spec: Operator, args: tuple[Node, ...]) -> Kind:
    if spec.family in ("comparison", "logic"):
        return "condition"
    both = spec.name == "If" and args[1].kind == args[2].kind == "condition"
    same = spec.family == "symbol" and any(a.kind == "condition" for a in args)
    return "condition" if both or same else "number"


def _fitted(spec: Operator, args: tuple[Node, ...], position: int) -> tuple[Node, ...]:
    most = len(spec.arguments)
    if not most - spec.optional <= len(args) <= most:
        count = str(most) if not spec.optional else f"{most - spec.optional} to {most}"
        raise refused(
            f"{spec.name} takes {count} arguments, not {len(args)}.",
            position=position,
            hint=f"Write {spec.signature}.",
            value=spec.name,
        )
    return args


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "Add": lambda x, y: x + y,
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
    "Div": lambda x, y: x / y,
    "Power": math.pow,
}


def _folded(spec: Operator, args: tuple[Node, ...], position: int) -> Node | None:
    """Return the number of ``2*3``; bounded, as its parts are."""
    values = [
        float(a.value) for a in args if a.kind == "constant" and not isinstance(a.value, str | None)
    ]
    if spec.name not in _ARITHMETIC or len(values) < len(args):
        return None
    try:
        value = _ARITHMETIC[spec.name](*values)
    except (ArithmeticError, ValueError):
        value = math.nan
    return number(value, position)


def number(value: float, position: int) -> Node:
    """Return the node of a constant; what is not finite or too large is refused."""
    if not math.isfinite(value) or abs(value) >= MOST:
        raise refused(
            f"A constant must be a number below {MOST:g}.",
            position=position,
            hint="Scale the expression.",
        )
    return constant(int(value) if value == int(value) else value)


def _refuse_conditions(spec: Operator, args: tuple[Node, ...], position: int) -> None:
    """Two conditions do not add up: in numpy their sum is their Or, and Log halves the digits."""
    truths = sum(a.kind == "condition" for a in args)
    alone = spec.name in ("Abs", "Log", "Delta", "Power") and truths
    if alone or (spec.family == "pair" and truths == len(args)):
        raise refused(
            f"{spec.name} takes numbers, and this is a condition.",
            position=position,
            hint="Write If(c, 1, 0) for a number, And(c, c) or Or(c, c) for conditions.",
            value=spec.name,
        )


Check = Callable[[Operator, Node, int, Rules], None]


def _a_number(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    del rules
    series = spec.family in ("rolling", "pair rolling", "cross", "symbol", "element")
    if node.kind == "name" or (series and node.kind == "constant"):
        raise refused(
            f"{spec.name} needs a series here, not {node.value!r}.",
            position=position,
            hint=f"Write {spec.signature} with a field such as $close.",
            value=str(node.value),
        )


def _a_condition(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    del rules
    if node.kind != "condition":
        raise refused(
            f"{spec.name} needs a condition here, and this is a number.",
            position=position,
            hint="Compare it with something, each comparison in parentheses: "
            "($close > $open) & ($high > 0).",
            value=spec.name,
        )


def _a_window(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    value = node.value
    if node.kind != "constant" or isinstance(value, str | None):
        raise _bad_window(spec, position, "a number of rows written out")
    if spec.windows == "shift" and value < 0:
        _refuse_future(spec, value, position, rules)
    if 0 < value < 1 and spec.windows == "decay":
        return
    if value != int(value) or abs(value) > LONGEST:
        raise _bad_window(spec, position, f"a whole number of rows, at most {LONGEST}")
    if value == 0:
        _refuse_expanding(spec, position, rules)
    elif value < spec.least and spec.windows != "shift":
        raise _bad_window(spec, position, f"{spec.least} rows or more")


def _refuse_future(spec: Operator, value: float, position: int, rules: Rules) -> None:
    if not rules.future:
        raise LookaheadError(
            f"{spec.name} with {value:g} rows looks into the future.",
            hint="Only a label may: put the expression under labels.",
            position=position,
            value=spec.name,
        )


def _refuse_expanding(spec: Operator, position: int, rules: Rules) -> None:
    if spec.windows == "whole":
        raise _bad_window(spec, position, "1 row or more; Qlib cannot expand it either")
    if rules.semantics != QLIB:
        raise _bad_window(
            spec, position, "1 row or more: from N = 0 a value depends on where the data begin"
        )


def _bad_window(spec: Operator, position: int, wanted: str) -> ExpressionSyntaxError:
    return refused(
        f"The window of {spec.name} must be {wanted}.",
        position=position,
        hint=f"Write {spec.signature}, for example with 20 for N.",
        value=spec.name,
    )


def _a_part(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    del rules
    value = node.value
    if node.kind != "constant" or isinstance(value, str | None) or not 0 <= value <= 1:
        raise refused(
            f"The quantile of {spec.name} is a number from 0 to 1.",
            position=position,
            hint=f"Write {spec.signature}, for example with 0.8 for q.",
        )


def _a_count(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    del rules
    value = node.value
    if node.kind != "constant" or not isinstance(value, int) or not 2 <= value <= BUCKETS:
        raise refused(
            f"{spec.name} divides into 2 to {BUCKETS} buckets.",
            position=position,
            hint=f"Write {spec.signature}, for example with 10 for n.",
        )


def _a_group(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    del rules
    if node.op != "$":
        raise refused(
            f"{spec.name} groups by a field.",
            position=position,
            hint="Give groups to the set, for example {sector: {AAPL.NASDAQ: tech}}: $sector.",
        )


def _a_symbol(spec: Operator, node: Node, position: int, rules: Rules) -> None:
    del rules
    if node.kind != "name":
        raise refused(
            f"{spec.name} takes the name of a symbol in quotes.",
            position=position,
            hint="Write for example ChangeInstrument('SPY.NYSE', $close).",
        )


_CHECKS: dict[str, Check] = {
    **dict.fromkeys(NUMBERS, _a_number),
    "c": _a_condition,
    "N": _a_window,
    "q": _a_part,
    "n": _a_count,
    "by": _a_group,
    "symbol": _a_symbol,
}
