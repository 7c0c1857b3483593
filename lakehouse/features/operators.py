"""Every operator of the language: its arguments and what it means, as a table without code.

An argument is ``x`` or ``y`` (numbers, or a constant where another argument is a series), ``c``
(a condition), ``a`` and ``b`` (numbers), ``N`` (rows), ``q`` (a part between 0 and 1), ``n`` (a
count), ``by`` (a grouping field) or ``symbol`` (a symbol's name in quotes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "element", "pair", "comparison", "logic", "choice", "rolling", "pair rolling", "cross", "symbol"
]
NUMBERS = frozenset({"x", "y", "a", "b"})


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator: ``arguments`` in order, of which the last ``optional`` may be left out.

    ``windows``: ``whole`` takes N >= ``least``, ``expanding`` also 0 (from the first row),
    ``decay`` also 0 < N < 1 (an exponential mean), ``shift`` any N, of which N < 0 is the future.
    """

    name: str
    family: Family
    arguments: tuple[str, ...]
    doc: str
    optional: int = 0
    windows: Literal["", "whole", "expanding", "decay", "shift"] = ""
    least: int = 1
    version: int = 1

    @property
    def signature(self) -> str:
        """Return how a call is written, for example ``Mean(x, N)``."""
        must = self.arguments[: len(self.arguments) - self.optional]
        rest = "".join(f"[, {name}]" for name in self.arguments[len(must) :])
        return f"{self.name}({', '.join(must)}{rest})"


def _each(family: Family, arguments: str, table: dict[str, str]) -> list[Operator]:
    return [Operator(name, family, tuple(arguments.split()), doc) for name, doc in table.items()]


def _windows(
    kind: Literal["whole", "expanding", "decay", "shift"],
    table: dict[str, str],
    *,
    arguments: str = "x N",
    family: Family = "rolling",
    least: int = 1,
) -> list[Operator]:
    return [
        Operator(name, family, tuple(arguments.split()), doc, windows=kind, least=least)
        for name, doc in table.items()
    ]


_ALL: list[Operator] = [
    *_each(
        "element",
        "x",
        {
            "Abs": "the absolute value",
            "Sign": "-1, 0 or 1 by the sign; NaN stays NaN; of a condition 0 or 1",
            "Log": "the natural logarithm; NaN below 0, -inf at 0",
        },
    ),
    *_each(
        "pair",
        "x y",
        {
            "Power": "x to the power y, also written x ** y",
            "Add": "x + y",
            "Sub": "x - y",
            "Mul": "x * y",
            "Div": "x / y; x/0 is an infinity of the sign, 0/0 is NaN",
            "Greater": "the larger of both; NaN where either is",
            "Less": "the smaller of both; NaN where either is",
        },
    ),
    *_each(
        "comparison",
        "x y",
        {
            "Gt": "x > y; false where either is NaN",
            "Ge": "x >= y; false where either is NaN",
            "Lt": "x < y; false where either is NaN",
            "Le": "x <= y; false where either is NaN",
            "Eq": "x == y; false where either is NaN",
            "Ne": "x != y; true where either is NaN",
        },
    ),
    Operator("And", "logic", ("c", "c"), "both conditions hold, also written c & c"),
    Operator("Or", "logic", ("c", "c"), "either condition holds, also written c | c"),
    Operator("Not", "logic", ("c",), "the condition does not hold"),
    Operator("If", "choice", ("c", "a", "b"), "a where the condition holds, else b"),
    *_windows(
        "shift",
        {
            "Ref": "the value N rows ago; N = 0 is the first row loaded, N < 0 the future",
            "Delta": "x - Ref(x, N)",
        },
    ),
    *_windows(
        "decay",
        {
            "Mean": "the mean",
            "Sum": "the sum",
            "Std": "the standard deviation, ddof 1; NaN below 2 values",
            "Var": "the variance, ddof 1; NaN below 2 values",
            "Max": "the largest value",
            "Min": "the smallest value",
            "Med": "the median",
            "Count": "how many values are there (not NaN); 0 in an empty window",
            "EMA": "the exponential mean of span N (alpha 2/(N+1)), weights that add up to 1 over "
            "the values there; decays over NaN rows and carries its value through them",
        },
    ),
    *_windows(
        "expanding",
        {"Skew": "the adjusted Fisher-Pearson skewness; NaN below 3 values and where flat"},
        least=3,
    ),
    *_windows(
        "expanding",
        {"Kurt": "the excess kurtosis, bias-corrected; NaN below 4 values and where flat"},
        least=4,
    ),
    *_windows(
        "expanding",
        {
            "Mad": "the mean absolute deviation from the mean",
            "Rank": "the average rank of the last value among the values, divided by their number; "
            "NaN where the last is NaN",
            "IdxMax": "the place of the largest value, 1 = oldest row of the window, the oldest of "
            "equals; a NaN row wins",
            "IdxMin": "the place of the smallest value, counted like IdxMax",
            "Slope": "the slope of the least-squares line over the row numbers; NaN below 2 values",
            "Rsquare": "the R squared of that line; NaN where the window is flat (see below)",
            "Resi": "the last value less that line's value there; NaN where the last is NaN",
            "WMA": "the mean weighted 1..N from the oldest row to the newest",
        },
    ),
    *_windows(
        "expanding",
        {"Quantile": "the quantile q, linear between neighbours"},
        arguments="x N q",
    ),
    *_windows(
        "whole",
        {
            "Corr": "the correlation over rows that have both; NaN below 2 rows and where either "
            "is flat (see below)",
            "Cov": "the covariance over rows that have both, ddof 1; NaN below 2 rows",
        },
        arguments="x y N",
        family="pair rolling",
    ),
    Operator("CSRank", "cross", ("x", "by"), "average rank among the symbols / their number", 1),
    Operator("CSZScore", "cross", ("x", "by"), "(x - mean) / standard deviation, ddof 1", 1),
    Operator("CSDemean", "cross", ("x", "by"), "x less the symbols' mean", 1),
    Operator("CSMean", "cross", ("x", "by"), "the symbols' mean", 1),
    Operator("CSStd", "cross", ("x", "by"), "the symbols' standard deviation, ddof 1", 1),
    Operator("CSScale", "cross", ("x", "by"), "x / the sum of the symbols' absolute values", 1),
    Operator("CSNeutralize", "cross", ("x", "by"), "x less the mean of its group"),
    Operator(
        "CSResidual", "cross", ("x", "y"), "x less its least-squares line over y, with a constant"
    ),
    Operator("CSQuantile", "cross", ("x", "q", "by"), "the symbols' quantile q, linear", 1),
    Operator("CSBucket", "cross", ("x", "n", "by"), "the bucket 1..n of CSRank: ceil(rank * n)", 1),
    Operator(
        "ChangeInstrument", "symbol", ("symbol", "x"), "x of another symbol at the same instants"
    ),
    Operator("Mask", "symbol", ("x", "symbol"), "the same as ChangeInstrument, arguments reversed"),
]
OPERATORS: dict[str, Operator] = {operator.name: operator for operator in _ALL}
"""Every operator by its name."""

SIGNS: dict[str, str] = {
    "+": "Add",
    "-": "Sub",
    "*": "Mul",
    "/": "Div",
    "**": "Power",
    ">": "Gt",
    ">=": "Ge",
    "<": "Lt",
    "<=": "Le",
    "==": "Eq",
    "!=": "Ne",
    "&": "And",
    "|": "Or",
}
"""The operator that each sign stands for."""

REFUSED: dict[str, str] = {
    "TResample": "Resampling changes which rows there are: name a table of bars of that size.",
    "P": "The lake has no point-in-time statements.",
    "PRef": "The lake has no point-in-time statements.",
    "Feature": "Write $name.",
    "PFeature": "The lake has no point-in-time statements; write $name.",
    "Rolling": "Name the statistic, for example Mean(x, N).",
}
"""Operators of Qlib that do not exist here, and what to do instead."""

FIELDS = ("open", "high", "low", "close", "volume", "vwap")
"""The fields of a bar; where a table has no ``vwap`` it is (high + low + close) / 3."""


def flat_rule(semantics: str) -> str:
    """Return when a window counts as flat for Corr and Rsquare."""
    return {
        "qlib-0.9.7": "its standard deviation is at most 2e-5",
        "alphaswarm-1": "its standard deviation is at most 1e-8 times its absolute mean",
    }[semantics]
