"""BacktestSpec: universe, data, strategy, portfolio and execution of one backtest."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from runtimes.part import Grown, Integer, Part
from runtimes.specs import lean_rules
from runtimes.specs.base import Spec
from runtimes.specs.execution import (
    Execution,
    Portfolio,
    SquareRootSlippage,
)
from runtimes.specs.factors import AnyFactors
from runtimes.specs.lean import leveraged
from runtimes.specs.strategy import StrategyChoice
from runtimes.specs.sweep import Sweep
from runtimes.specs.trials import Trial, trials_of
from runtimes.specs.universe import AnyUniverse, Members, Universe
from runtimes.specs.walk_forward import WalkForward
from runtimes.strategies.base import Reading
from runtimes.words import Day, SymbolText, at, unknown, within

PERIODS = {"1d": 252.0, "1h": 1_638.0, "1m": 98_280.0}
"""Bars a year of a US equity session by bar size: 252 days of 6.5 hours."""
_TABLE = r"^alphaswarm_silver_[a-z0-9]+\.bars_(1d|1h|1m)$"


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


class Audit(Part):
    """At how many bars the look-ahead audit cuts the future off, and replaces it by noise."""

    cuts: Annotated[Integer, Field(ge=0, le=100)] = 8
    noise: Annotated[Integer, Field(ge=0, le=100)] = 2


class BacktestSpec(Spec, Grown):
    """One backtest of one strategy over one universe, or one run of many such trials."""

    later: ClassVar[frozenset[str]] = frozenset({"sweep", "walk_forward", "audit", "factors"})

    kind: Literal["backtest"] = "backtest"
    universe: AnyUniverse
    data: Data
    strategy: StrategyChoice
    portfolio: Portfolio = Portfolio()
    execution: Execution = Execution()
    benchmark: SymbolText | None = None
    seed: Annotated[Integer, Field(ge=0, le=2**53 - 1)] = 0
    sweep: Sweep | None = None
    walk_forward: WalkForward | None = None
    audit: Audit = Audit()
    factors: AnyFactors | None = None

    @model_validator(mode="before")
    @classmethod
    def _leveraged_by_the_rules(cls, data: Any) -> Any:
        return leveraged(data)

    @model_validator(mode="after")
    def _with_room_for_all(self) -> Self:
        if self.execution.by_lean:
            trials = "sweep" if self.sweep else "walk_forward" if self.walk_forward else None
            lean_rules.refuse(
                self.portfolio,
                self.execution,
                adjust=self.data.adjust,
                trials=trials,
                listed=not isinstance(self.universe, Members),
            )
        return self

    @model_validator(mode="after")
    def _of_the_universe(self) -> Self:
        if isinstance(self.universe, Universe):
            known = list(self.universe.symbols)
            for name in self.strategy.member.symbols(self.strategy.params):
                if name not in known:
                    problem = unknown("symbol of the universe", name, known)
                    raise within(("strategy",), at("params", name, problem))
        elif self.strategy.code is not None:
            problem = PydanticCustomError(
                "universe", "Submitted source does not see who belongs: write universe.symbols."
            )
            raise at("universe", None, problem)
        return self

    @model_validator(mode="after")
    def _reads_what_the_rules_have(self) -> Self:
        if self.execution.by_lean and self.readings:
            problem = PydanticCustomError(
                "lean",
                "The rules of Lean read bars alone: for a table set execution.rules: standard.",
            )
            raise within(("strategy",), at("name", self.strategy.name, problem))
        return self

    @model_validator(mode="after")
    def _every_trial(self) -> Self:
        if self.has_trials:
            needed = max(trial.spec.warmup for trial in self.trials)
            walk = self.walk_forward
            if walk and any(trial.spec.execution.by_lean for trial in self.trials):
                problem = PydanticCustomError(
                    "lean", "Lean's rules are for whole periods: write rules: standard, or a sweep."
                )
                raise at("walk_forward", walk.mode, problem)
            if walk and walk.train and walk.unit == "bars" and walk.train < needed:
                problem = PydanticCustomError(
                    "not_enough_history",
                    "The strategy looks back {needed} bars: train on as many at least.",
                    {"needed": needed},
                )
                raise within(("walk_forward",), at("train", walk.train, problem))
        return self

    @property
    def has_trials(self) -> bool:
        """Tell whether a run of this spec is one of many trials."""
        return self.sweep is not None or self.walk_forward is not None

    @cached_property
    def trials(self) -> tuple[Trial[BacktestSpec], ...]:
        """Return the plain spec of every trial, in order; of one where nothing is swept."""
        return trials_of(self, self.sweep, seed=self.seed)

    @property
    def planned_trials(self) -> int:
        """Return how many sets of parameters a run of this spec tries."""
        return len(self.trials) if self.has_trials else 1

    @property
    def periods_per_year(self) -> float:
        """Return how many bars of the table make a year."""
        return PERIODS[self.data.table.rpartition("_")[2]]

    @property
    def warmup(self) -> int:
        """Return how many bars a symbol needs, the deciding one included, to have a weight."""
        return self.strategy.member.warmup(self.strategy.params)

    @property
    def needs_quotes(self) -> bool:
        """Tell whether quotes beside the bars decide about fills."""
        return self.execution.needs_quotes

    @property
    def impact_days(self) -> int:
        """Return how many days before a bar the slippage model looks at, 0 for none."""
        slippage = self.execution.slippage
        return slippage.window if isinstance(slippage, SquareRootSlippage) else 0

    @property
    def universes(self) -> str:
        """Return the name of the table of universes beside the bars."""
        return f"{self.data.table.partition('.')[0]}.universes"

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Return what any trial of this spec reads from the lake beside the bars."""
        member = self.strategy.member
        params = [trial.spec.strategy.params for trial in self.trials] if self.has_trials else []
        asked = [member.inputs(each) for each in params or [self.strategy.params]]
        return tuple(dict.fromkeys(reading for readings in asked for reading in readings))

    @property
    def _looked_at(self) -> tuple[str, ...]:
        """Return the symbols, of a named universe its name: only the lake knows its members."""
        if isinstance(self.universe, Members):
            return (f"universe {self.universe.name}",)
        return self.universe.symbols

    def looked(self) -> dict[str, Any]:
        """Return symbols, first and last day and the number of trials: what counts as a look."""
        return {
            "symbols": self._looked_at,
            "first": self.data.start,
            "last": self.data.end,
            "trials": self.planned_trials,
        }

    def rules(self) -> dict[str, Any]:
        """Return the keyword arguments of `runtimes.engine.params.make`."""
        return {**self.portfolio.rules(), **self.execution.arguments()}
