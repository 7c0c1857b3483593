"""When a strategy decides: at the first bar of each period, or every so many bars."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Ints
from runtimes.strategies.base import View, starts_of_period
from runtimes.words import unknown

PERIODS = ["daily", "weekly", "monthly", "quarterly"]
MOST = 100_000


def _timing(value: Any) -> str | int:
    if isinstance(value, str):
        if value not in PERIODS:
            raise unknown("period", value, PERIODS)
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and float(value).is_integer() and 1 <= value <= MOST):
        raise PydanticCustomError(
            "timing",
            "Write daily, weekly, monthly, quarterly, or a number of bars from 1 to {most}.",
            {"most": MOST},
        )
    return int(value)


Timing = Annotated[
    str | int,
    BeforeValidator(_timing),
    WithJsonSchema(
        {"anyOf": [{"enum": PERIODS}, {"type": "integer", "minimum": 1, "maximum": MOST}]}
    ),
]


def decisions(view: View, timing: str | int) -> Ints:
    """Return the rows at which a strategy decides: the first bar, and then by ``timing``."""
    if isinstance(timing, str):
        return starts_of_period(view.market.timestamps, timing, first=view.first)
    return np.arange(view.first, len(view.close), timing, dtype=np.int64)
