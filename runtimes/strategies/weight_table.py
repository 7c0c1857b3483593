"""Hold the weights that a column of a lake table says: what allocators, RL and agents write.

The rows of one timestamp are one book: weights of equity, short below 0, whoever is missing 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from runtimes.engine.arrays import Targets
from runtimes.part import Finite
from runtimes.strategies.base import Strategy, StrategyParams, View, targets
from runtimes.strategies.signals import TableColumn


class WeightTableParams(StrategyParams, TableColumn):
    """Which column of which table.

    ``missing``: a symbol that the newest book lacks weighs ``zero``, or ``keep``s its last weight.
    ``scale`` multiplies every weight.
    """

    missing: Literal["zero", "keep"] = "zero"
    scale: Annotated[Finite, Field(gt=0, le=100)] = 1.0


def decide(view: View, params: WeightTableParams) -> Targets:
    """Return a decision at the first bar, and wherever a row becomes known or grows too old.

    A row without a value is no weight: the run ends `invalid_weights` at the first bar that would
    use it. A symbol that has no bar yet weighs nothing; one that lacks this bar has its target for
    the next.
    """
    told = params.told(view)
    newest = told.rows.max(axis=1, keepdims=True)
    current = told.rows == newest if params.missing == "zero" else told.rows > 0
    shown = current & (told.rows > 0) & view.begun
    weights = np.where(shown, told.values * params.scale, 0.0)
    changed = np.zeros(len(weights), dtype=bool)
    changed[1:] = (told.rows[1:] != told.rows[:-1]).any(axis=1)
    changed[1:] |= (shown[1:] != shown[:-1]).any(axis=1)
    changed[: view.first + 1] = False
    changed[view.first : view.first + 1] = True
    rows = np.flatnonzero(changed)
    return targets(rows, weights[rows])


STRATEGY = Strategy(
    title="Hold the weights of a column of a lake table.",
    params=WeightTableParams,
    warmup=lambda params: 1,
    decide=decide,
    inputs=lambda params: (params.reading,),
)
