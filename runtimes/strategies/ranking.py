"""Whom a signal holds: the highest, the lowest, both ends, or what is beyond a threshold.

Sides are (R, N): 1 long, -1 short, 0 out. A symbol without a signal (nan) is out; equal signals
rank by symbol.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Floats, Ints
from runtimes.part import Finite, Integer, Part
from runtimes.words import choose

Places = Annotated[Integer, Field(ge=1, le=10_000)]
ROUNDING = 1e-9
"""What 0.29 x 100 may lack of 29."""


class Top(Part):
    """The ``n`` highest signals are held."""

    method: Literal["top"] = "top"
    n: Places

    def sides(self, signal: Floats) -> Floats:
        """Return (R, N) sides."""
        return _first(-signal, np.full(len(signal), self.n))

    @property
    def places(self) -> int:
        """Return how many may be held; one that nobody fills stays in cash. 0: no such number."""
        return self.n


class Bottom(Part):
    """The ``n`` lowest signals are held."""

    method: Literal["bottom"] = "bottom"
    n: Places

    def sides(self, signal: Floats) -> Floats:
        """Return (R, N) sides."""
        return _first(signal, np.full(len(signal), self.n))

    @property
    def places(self) -> int:
        """Return how many may be held."""
        return self.n


class TopBottom(Part):
    """The ``n`` highest are held, the ``n`` lowest sold short; of fewer than 2n half each."""

    method: Literal["top_bottom"] = "top_bottom"
    n: Places

    def sides(self, signal: Floats) -> Floats:
        """Return (R, N) sides."""
        each = np.minimum(self.n, _known(signal) // 2)
        return _first(-signal, each) - _first(signal, each)

    @property
    def places(self) -> int:
        """Return how many places both sides have together."""
        return 2 * self.n


class Quantile(Part):
    """The highest ``part`` of the signals there are is held, the lowest sold ``short``."""

    method: Literal["quantile"] = "quantile"
    part: Annotated[Finite, Field(gt=0, le=0.5)] = 0.2
    short: bool = True

    def sides(self, signal: Floats) -> Floats:
        """Return (R, N) sides."""
        each = np.floor(self.part * _known(signal) + ROUNDING).astype(np.int64)
        long = _first(-signal, each)
        return long - _first(signal, each) if self.short else long

    @property
    def places(self) -> int:
        """Return 0: the number follows the signals."""
        return 0


class Threshold(Part):
    """A signal above ``above`` is held, one below ``below`` sold short; null leaves a side out."""

    method: Literal["threshold"] = "threshold"
    above: Finite | None = 0.0
    below: Finite | None = None

    @model_validator(mode="after")
    def _some_side(self) -> Self:
        if self.above is None and self.below is None:
            raise PydanticCustomError("range", "Give above, below or both.")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise PydanticCustomError("range", "below must not lie over above.")
        return self

    def sides(self, signal: Floats) -> Floats:
        """Return (R, N) sides."""
        sides = np.zeros(signal.shape)
        if self.above is not None:
            sides[signal > self.above] = 1.0
        if self.below is not None:
            sides[signal < self.below] = -1.0
        return sides

    @property
    def places(self) -> int:
        """Return 0: the number follows the signals."""
        return 0


RANKS: dict[str, type[Part]] = {
    "top": Top,
    "bottom": Bottom,
    "top_bottom": TopBottom,
    "quantile": Quantile,
    "threshold": Threshold,
}
Rank = Annotated[
    Top | Bottom | TopBottom | Quantile | Threshold, choose("ranking", RANKS, key="method")
]


def _known(signal: Floats) -> Ints:
    return np.asarray((~np.isnan(signal)).sum(axis=1), dtype=np.int64)


def _first(keys: Floats, counts: Ints) -> Floats:
    """Return 1 for the ``counts`` (R,) smallest ``keys`` of each row, else 0; nan never."""
    absent = np.isnan(keys)
    order = np.argsort(np.where(absent, np.inf, keys), axis=1, kind="stable")
    chosen = np.zeros(keys.shape)
    within = np.arange(keys.shape[1]) < counts[:, None]
    np.put_along_axis(chosen, order, within.astype(np.float64), axis=1)
    chosen[absent] = 0.0
    return chosen
