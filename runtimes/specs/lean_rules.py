"""What Lean's rules leave no room for in a spec, and what only they have."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError

from runtimes.part import Part
from runtimes.specs.execution import Execution, Portfolio
from runtimes.words import at, within

SLIPPAGES = frozenset({"none", "bps", "volume_share"})
STANDARD_ONLY = {
    "portfolio": (
        *("borrow_bps", "debit_bps", "credit_bps", "maintenance"),
        *("settlement_days", "rates", "rates_table", "fractional"),
    ),
    "execution": ("max_participation", "lag_bars", "intrabar"),
}
"""Keys that have to keep their defaults."""


def refuse(
    portfolio: Portfolio, execution: Execution, *, adjust: str, trials: str | None, listed: bool
) -> None:
    """Raise for the first key that a run by Lean's rules cannot have.

    ``trials`` names the block that makes many trials of the spec, None for a single run; ``listed``
    tells whether the universe is a list of symbols.
    """
    if not listed:
        raise _problem(("universe", "name"), None, "Lean's rules take a list of symbols.")
    for block, part in (("portfolio", portfolio), ("execution", execution)):
        for name in STANDARD_ONLY[block]:
            if _changed(part, name):
                value = getattr(part, name)
                raise _problem(
                    (block, name), value, "Lean's rules have none of this: leave it out."
                )
    model = execution.slippage.model
    if model not in SLIPPAGES:
        known = "Lean's rules know the slippages none, bps and volume_share."
        raise _problem(("execution", "slippage", "model"), model, known)
    if adjust == "split":
        raise _problem(("data", "adjust"), adjust, "Lean's rules take total, or none: raw prices.")
    if trials is not None:
        raise _problem((trials,), {}, "Trials run by the standard rules only.")


def _changed(part: Part, name: str) -> bool:
    field = type(part).model_fields.get(name)
    if field is None:
        return False
    return bool(getattr(part, name) != field.get_default(call_default_factory=True))


def _problem(path: tuple[str, ...], value: Any, sentence: Any) -> Exception:
    error = at(path[-1], value, PydanticCustomError("lean_rules", sentence))
    return within(path[:-1], error) if path[:-1] else error
