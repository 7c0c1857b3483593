"""The block ``sweep``: which parameters are tried, how many at most, and what the best one is.

`expand` turns it into the trials, in an order that depends on the spec alone: a grid counts up with
its paths sorted, the last one fastest; random draws follow from the spec's seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from runtimes.part import Finite, Integer, Part
from runtimes.specs.constraints import Constraint, holds
from runtimes.words import at, unknown, within
from topology.canonical import canonical

TRIALS = 10_000
"""More trials than this no topology may allow: each is validated when the spec is read."""
COMBINATIONS = 200_000
DRAWS = 100
"""Draws a wanted trial before a random sweep gives up on its constraints."""
SECTIONS = ("strategy.params.", "portfolio.", "execution.")
OBJECTIVES = {
    "sharpe": 1.0,
    "sortino": 1.0,
    "calmar": 1.0,
    "cagr": 1.0,
    "total_return": 1.0,
    "max_drawdown": -1.0,
    "volatility": -1.0,
}
"""What a best trial may be the best in; -1: less is better."""


class Range(Part):
    """A distribution of numbers from ``low`` to ``high``, both included.

    ``int`` draws whole numbers, by ``step``; ``float`` evenly, ``log`` evenly in the logarithm.
    """

    distribution: Literal["int", "float", "log"]
    low: Finite
    high: Finite
    step: Annotated[Integer, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        whole = self.low.is_integer() and self.high.is_integer()
        if self.distribution == "int" and not whole:
            raise PydanticCustomError("range", "low and high of int are whole numbers.")
        if self.distribution != "int" and self.step != 1:
            raise PydanticCustomError("range", "Only int has a step.")
        if self.distribution == "log" and self.low <= 0:
            raise PydanticCustomError("range", "low of log is above 0.")
        if self.low > self.high:
            raise PydanticCustomError("range", "low lies above high.")
        return self

    @property
    def count(self) -> int:
        """Return how many whole numbers there are."""
        return int((self.high - self.low) // self.step) + 1

    def values(self) -> list[Any]:
        """Return the whole numbers in order."""
        return [int(self.low) + self.step * place for place in range(self.count)]

    def draw(self, rng: np.random.Generator) -> Any:
        """Return one number."""
        if self.distribution == "int":
            return int(self.low) + self.step * int(rng.integers(self.count))
        if self.distribution == "float":
            return float(rng.uniform(self.low, self.high))
        return math.exp(float(rng.uniform(math.log(self.low), math.log(self.high))))


class Choice(Part):
    """One of ``values``, each as likely; a plain list says the same."""

    distribution: Literal["choice"] = "choice"
    values: Annotated[tuple[Any, ...], Strict(strict=False), Field(min_length=1, max_length=TRIALS)]


class Sweep(Part):
    """Trials of the spec with other parameters.

    ``params`` maps a path below ``strategy.params``, ``portfolio`` or ``execution`` to the values
    it takes. ``trials`` is how many a random sweep draws. ``keep`` says whose equity is stored:
    ``all``, ``none`` or ``top:N`` by ``objective``.
    """

    method: Literal["grid", "random"] = "grid"
    params: Annotated[dict[str, Any], Field(min_length=1, max_length=16)]
    constraints: Annotated[tuple[Constraint, ...], Strict(strict=False), Field(max_length=32)] = ()
    trials: Annotated[Integer, Field(ge=1, le=TRIALS)] | None = Field(
        default=None, validate_default=True
    )
    objective: Annotated[str, Field(json_schema_extra={"enum": sorted(OBJECTIVES)})] = "sharpe"
    keep: Annotated[str, Field(pattern=r"^(all|none|top:[1-9][0-9]{0,3})$")] = "top:10"

    @field_validator("objective")
    @classmethod
    def _known(cls, objective: str) -> str:
        return known_objective(objective)

    @field_validator("params")
    @classmethod
    def _each(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {path: _spread(path, params[path]) for path in sorted(params)}

    @field_validator("trials")
    @classmethod
    def _for_random(cls, trials: int | None, info: ValidationInfo) -> int | None:
        if info.data.get("method") == "random" and trials is None:
            raise PydanticCustomError("missing", "A random sweep says how many trials it draws.")
        if info.data.get("method") == "grid" and trials is not None:
            raise PydanticCustomError("extra", "A grid has as many trials as its values give.")
        return trials

    @property
    def kept(self) -> int | None:
        """Return how many trials keep their equity, None for all."""
        return {"all": None, "none": 0}.get(self.keep, int(self.keep.partition(":")[2] or 0))


def known_objective(objective: str) -> str:
    """Return the name of an objective, or raise what the reader needs to correct it."""
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, sorted(OBJECTIVES))
    return objective


def expand(sweep: Sweep, base: Mapping[str, Any], *, seed: int) -> list[dict[str, Any]]:
    """Return the parameters by path of every trial that keeps the constraints, in order.

    ``base`` is the body of the spec, for the constraints' paths that are not swept. A random sweep
    never draws the same parameters twice. Too many trials, or none, raise a pydantic error.
    """
    found = _grid(sweep, base) if sweep.method == "grid" else _random(sweep, base, seed)
    if not found:
        raise PydanticCustomError("empty", "No combination of values keeps the constraints.")
    return found


def _spread(path: str, values: Any) -> Any:
    """Return a list as a tuple and a mapping as the distribution that it names."""
    if not path.startswith(SECTIONS) or path.endswith(".") or ".." in path:
        sections = ", ".join(section[:-1] for section in SECTIONS)
        raise at(path, path[:64], _problem("path", f"This is no path below {sections}."))
    try:
        if isinstance(values, list | tuple):
            if not values:
                raise at("", [], _problem("empty", "An empty list leaves nothing to try."))
            return Choice(values=tuple(values)).values
        if isinstance(values, Range):
            return values
        if not isinstance(values, dict):
            raise at("", values, _problem("values", "Write a list or {distribution: NAME, ..}."))
        if values.get("distribution") == "choice":
            return Choice.model_validate(values).values
        return Range.model_validate(values)
    except ValidationError as error:
        raise within((path,), error) from None


def _grid(sweep: Sweep, base: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = [_values(path, spread) for path, spread in sweep.params.items()]
    count = math.prod(len(column) for column in columns)
    if count > COMBINATIONS:
        raise _too_many(count, COMBINATIONS)
    found = [
        params
        for values in product(*columns)
        if holds(sweep.constraints, params := dict(zip(sweep.params, values, strict=True)), base)
    ]
    if len(found) > TRIALS:
        raise _too_many(len(found), TRIALS)
    return found


def _values(path: str, spread: Sequence[Any] | Range) -> Sequence[Any]:
    if not isinstance(spread, Range):
        return spread
    if spread.distribution != "int":
        raise at(path, spread.distribution, _problem("grid", "A grid takes a list, or int."))
    if spread.count > TRIALS:
        raise _too_many(spread.count, TRIALS)
    return spread.values()


def _random(sweep: Sweep, base: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    wanted = sweep.trials or 0
    found: dict[bytes, dict[str, Any]] = {}
    draws = _draws(sweep, seed)
    for _ in range(DRAWS * wanted):
        params = next(draws)
        if holds(sweep.constraints, params, base):
            found.setdefault(canonical(params), params)
        if len(found) == wanted:
            break
    return list(found.values())


def _draws(sweep: Sweep, seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.Generator(np.random.Philox(key=seed))
    while True:
        yield {
            path: spread.draw(rng)
            if isinstance(spread, Range)
            else spread[int(rng.integers(len(spread)))]
            for path, spread in sweep.params.items()
        }


def _problem(kind: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{text}", {"text": text})


def _too_many(count: int, most: int) -> PydanticCustomError:
    return PydanticCustomError(
        "too_many",
        "{count} combinations are more than {most}: take fewer values, or method: random.",
        {"count": count, "most": most},
    )
