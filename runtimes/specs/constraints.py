"""Constraints on swept parameters: ``[path, "<", path or number]``; nothing is evaluated."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from runtimes.words import unknown

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _three(constraint: Any) -> Any:
    if not isinstance(constraint, list | tuple) or len(constraint) != 3:
        raise PydanticCustomError("constraint", "Write [path, comparison, path or number].")
    return tuple(constraint)


def _sound(constraint: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    left, comparison, right = constraint
    if not isinstance(comparison, str) or comparison not in COMPARISONS:
        raise unknown("comparison", comparison, list(COMPARISONS))
    if not isinstance(left, str) or isinstance(right, bool | list | dict | None):
        raise PydanticCustomError("constraint", "Write [path, comparison, path or number].")
    return constraint


Constraint = Annotated[
    tuple[Any, Any, Any],
    BeforeValidator(_three),
    AfterValidator(_sound),
]


def holds(
    constraints: Sequence[tuple[Any, Any, Any]],
    params: Mapping[str, Any],
    base: Mapping[str, Any],
) -> bool:
    """Tell whether ``params`` by path keep every constraint; other paths are read from ``base``.

    A path that leads nowhere, or to something that cannot be compared, raises a pydantic error.
    """
    return all(
        _compare(comparison, _value(left, params, base), _value(right, params, base))
        for left, comparison, right in constraints
    )


def _compare(comparison: str, left: Any, right: Any) -> bool:
    try:
        return bool(COMPARISONS[comparison](left, right))
    except TypeError:
        raise PydanticCustomError(
            "constraint",
            "{left} and {right} cannot be compared.",
            {"left": str(left)[:64], "right": str(right)[:64]},
        ) from None


def _value(term: Any, params: Mapping[str, Any], base: Mapping[str, Any]) -> Any:
    if not isinstance(term, str):
        return term
    if term in params:
        return params[term]
    found: Any = base
    for key in term.split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise unknown("path of the spec", term, sorted(params))
        found = found[key]
    return found
