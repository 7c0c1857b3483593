"""Hold a symbol while its MACD line is above the signal line.

Appel 2005, "Technical Analysis: Power Tools for Active Investors": the difference of two
exponential averages of the close, against its own average.
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Floats, Targets
from runtimes.part import Integer
from runtimes.strategies.base import Strategy, StrategyParams, View, on_change, on_own_bars

Length = Annotated[Integer, Field(ge=1, le=100_000)]


class MacdParams(StrategyParams):
    """Lengths of the averages in a symbol's own bars; ``fast`` below ``slow``."""

    fast: Length = 12
    slow: Length = 26
    signal: Length = 9

    @model_validator(mode="after")
    def _fast_below_slow(self) -> Self:
        if self.fast >= self.slow:
            raise PydanticCustomError("range", "fast must be below slow.")
        return self


def decide(view: View, params: MacdParams) -> Targets:
    """Return 1/N for each symbol whose MACD is above its signal, at every change of sides."""
    sides = on_own_bars(view.close, lambda own: side(own, params), fill_forward=True)
    return on_change(sides, view)


def side(close: Floats, params: MacdParams) -> Floats:
    """Return 1 where the MACD line is above the signal line, else 0; (K,)."""
    macd = exponential_average(close, params.fast) - exponential_average(close, params.slow)
    ready = macd[params.slow - 1 :]
    signal = np.full(close.shape, np.nan)
    signal[params.slow - 1 :] = exponential_average(ready, params.signal)
    return (macd > signal).astype(np.float64)


def exponential_average(values: Floats, length: int) -> Floats:
    """Return the exponential average (K,), nan before ``length`` values.

    It begins with the plain mean of the first ``length``; then each value weighs 2/(length + 1).
    """
    out = np.full(values.shape, np.nan)
    if values.size < length:
        return out
    weight = 2.0 / (length + 1.0)
    average = float(values[:length].mean())
    smoothed = [average]
    for value in values[length:].tolist():
        average += weight * (value - average)
        smoothed.append(average)
    out[length - 1 :] = smoothed
    return out


STRATEGY = Strategy(
    title="Hold a symbol while its MACD line is above the signal line.",
    params=MacdParams,
    warmup=lambda params: params.slow + params.signal - 1,
    decide=decide,
)
