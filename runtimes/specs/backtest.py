"""BacktestSpec: universe, data, strategy, portfolio and execution of one backtest."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    Strict,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from runtimes.part import Finite, Integer, Part
from runtimes.specs.base import Spec
from runtimes.specs.words import Day, SymbolText, choose, unknown
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import StrategyParams

PERIODS = {"1d": 252.0, "1h": 1_638.0, "1m": 98_280.0}
"""Bars a year of a US equity session by bar size: 252 days of 6.5 hours."""
SYMBOLS = 5_000
_TABLE = r"^alphaswarm_silver_[a-z0-9]+\.bars_(1d|1h|1m)$"


def _distinct(symbols: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sorted symbols; checked here, so that a bad one is not also a missing one."""
    if not 1 <= len(symbols) <= SYMBOLS:
        raise PydanticCustomError("length", "Name 1 to {most} symbols.", {"most": SYMBOLS})
    ordered = tuple(sorted(symbols))
    twice = next((a for a, b in pairwise(ordered) if a == b), None)
    if twice:
        raise PydanticCustomError("duplicate", "{symbol} stands twice.", {"symbol": twice})
    return ordered


BasisPoints = Annotated[Finite, Field(ge=0, le=1_000)]


class Universe(Part):
    """The symbols, a fixed list; their order does not matter and is sorted."""

    symbols: Annotated[
        tuple[SymbolText, ...],
        Strict(strict=False),
        Field(json_schema_extra={"minItems": 1, "maxItems": SYMBOLS}),
        AfterValidator(_distinct),
    ]


class Data(Part):
    """Which bars: ``start`` and ``end`` are inclusive days in UTC, look-back comes before."""

    table: Annotated[str, Field(pattern=_TABLE)] = "alphaswarm_silver_market.bars_1d"
    start: Day
    end: Day
    adjust: Literal["none", "split", "total"] = "total"

    @field_validator("end")
    @classmethod
    def _not_before_start(cls, end: dt.date, info: ValidationInfo) -> dt.date:
        start = info.data.get("start")
        if start is not None and end < start:
            raise PydanticCustomError(
                "range", "end lies before start ({start}).", {"start": start.isoformat()}
            )
        return end


class StrategyChoice(Part):
    """A strategy of the registry by name, with its parameters, every default written out."""

    name: str
    params: SerializeAsAny[StrategyParams] = Field(default_factory=dict, validate_default=True)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise unknown("strategy", name, STRATEGIES.names())
        return name

    @field_validator("params", mode="before")
    @classmethod
    def _of_the_strategy(cls, params: Any, info: ValidationInfo) -> Any:
        name = info.data.get("name")
        if name is None:
            return StrategyParams()
        model = STRATEGIES.load(name).params
        return model.model_validate({} if params is None else params)


class Portfolio(Part):
    """The account: starting ``cash``; gross weights may reach ``leverage``."""

    cash: Annotated[Finite, Field(gt=0, le=1e15)] = 100_000.0
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    leverage: Annotated[Finite, Field(gt=0, le=100)] = 1.0
    fractional: bool = False


class ZeroFee(Part):
    """No fee."""

    model: Literal["zero"] = "zero"


class BpsFee(Part):
    """A part of the traded value, in basis points."""

    model: Literal["bps"] = "bps"
    bps: BasisPoints


class InteractiveBrokersFee(Part):
    """0.005 per share, at least 1.00, at most 0.5 % of the value."""

    model: Literal["interactive_brokers"] = "interactive_brokers"


class NoSlippage(Part):
    """Filled at the bar's price."""

    model: Literal["none"] = "none"


class BpsSlippage(Part):
    """Filled so many basis points worse than the bar's price."""

    model: Literal["bps"] = "bps"
    bps: BasisPoints


FEES: dict[str, type[Part]] = {
    "zero": ZeroFee,
    "bps": BpsFee,
    "interactive_brokers": InteractiveBrokersFee,
}
SLIPPAGES: dict[str, type[Part]] = {"none": NoSlippage, "bps": BpsSlippage}
FILLS = ["next_close", "next_open"]


class Execution(Part):
    """When targets fill and what it costs. ``next_open`` is the open of the bar after."""

    fill: Annotated[str, Field(json_schema_extra={"enum": FILLS})] = "next_open"
    fee: Annotated[ZeroFee | BpsFee | InteractiveBrokersFee, choose("fee model", FEES)] = (
        InteractiveBrokersFee()
    )
    slippage: Annotated[NoSlippage | BpsSlippage, choose("slippage model", SLIPPAGES)] = (
        NoSlippage()
    )

    @field_validator("fill")
    @classmethod
    def _known(cls, fill: str) -> str:
        if fill not in FILLS:
            raise unknown("fill", fill, FILLS)
        return fill


class BacktestSpec(Spec):
    """One backtest of one strategy over one universe."""

    kind: Literal["backtest"] = "backtest"
    universe: Universe
    data: Data
    strategy: StrategyChoice
    portfolio: Portfolio = Portfolio()
    execution: Execution = Execution()
    benchmark: SymbolText | None = None
    seed: Annotated[Integer, Field(ge=0, le=2**53 - 1)] = 0

    @property
    def periods_per_year(self) -> float:
        """Return how many bars of the table make a year."""
        return PERIODS[self.data.table.rpartition("_")[2]]

    @property
    def warmup(self) -> int:
        """Return how many bars a symbol needs, the deciding one included, to have a weight."""
        return STRATEGIES.load(self.strategy.name).warmup(self.strategy.params)

    def rules(self) -> dict[str, Any]:
        """Return the keyword arguments of `runtimes.engine.params.make`."""
        fee, slippage = self.execution.fee, self.execution.slippage
        return {
            "cash": self.portfolio.cash,
            "leverage": self.portfolio.leverage,
            "fractional": self.portfolio.fractional,
            "fill": self.execution.fill,
            "fee": fee.model,
            "fee_bps": fee.bps if isinstance(fee, BpsFee) else 0.0,
            "slippage_bps": slippage.bps if isinstance(slippage, BpsSlippage) else 0.0,
        }
