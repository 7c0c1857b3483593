"""The account of a run by Lean's rules: what they need beside the keys of every backtest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict, field_validator
from pydantic_core import PydanticCustomError

from runtimes.part import Finite, Integer, Part
from runtimes.words import Day

RULES = "lean_2026"
LEVERAGE = 2.0
"""Of equities in an account of Lean that nobody configured."""
EPOCH = dt.date(1900, 1, 1)


class RateStep(Part):
    """A yearly rate in ``percent`` that holds ``since`` a day until the next step."""

    since: Day
    percent: Annotated[Finite, Field(ge=-100, le=1_000)]


def _steps(value: Any) -> Any:
    """Take one number for a rate that never moves."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [{"since": EPOCH, "percent": value}]
    return value


class LeanAccount(Part):
    """The account of a Lean algorithm, as far as ``portfolio`` does not say it.

    ``closed_leverage`` holds while the market is closed or about to be, null: the same.
    ``buying_power: false`` refuses no order for lack of margin and calls none. ``trading_days`` a
    year: 252, of crypto 365. ``risk_free`` is the yearly rate in percent that the ratios of the
    ``lean`` profile take off: a number, or steps ``{since, percent}`` in order.
    """

    closed_leverage: Annotated[Finite, Field(gt=0, le=100)] | None = None
    buying_power: bool = True
    trading_days: Annotated[Integer, Field(ge=1, le=366)] = 252
    risk_free: Annotated[
        tuple[RateStep, ...], Strict(strict=False), Field(max_length=1_000), BeforeValidator(_steps)
    ] = ()

    @field_validator("risk_free")
    @classmethod
    def _rising(cls, steps: tuple[RateStep, ...]) -> tuple[RateStep, ...]:
        if any(a.since >= b.since for a, b in pairwise(steps)):
            raise PydanticCustomError("range", "Steps are in order, each day once.")
        return steps


def leveraged(data: Any) -> Any:
    """Return a raw spec with Lean's leverage written out, where it runs by Lean's rules."""
    if not isinstance(data, Mapping):
        return data
    execution, portfolio = data.get("execution"), data.get("portfolio", {})
    if not isinstance(execution, Mapping) or execution.get("rules") != RULES:
        return data
    if not isinstance(portfolio, Mapping) or "leverage" in portfolio:
        return data
    return {**data, "portfolio": {**portfolio, "leverage": LEVERAGE}}
