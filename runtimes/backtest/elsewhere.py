"""A run of a strategy's own code again, in the process where such code runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.backtest import staging
from runtimes.backtest.acting import WEIGHTS
from runtimes.backtest.audit import Seen, Trace, filled, traced
from runtimes.backtest.bars import Window
from runtimes.backtest.outside import Company, Played
from runtimes.backtest.reruns import Begun
from runtimes.backtest.staging import Ground
from runtimes.engine.arrays import Targets
from runtimes.engine.errors import EngineFaultError
from runtimes.engine.results import Result
from runtimes.specs.backtest import BacktestSpec
from topology.frames import Progress
from topology.sections import StrategyLimits


class Quiet(Progress):
    """Goes on as long as ``progress`` does and says nothing: a repetition is no progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Raise what ends the run."""
        self._progress.checkpoint()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Plays ``spec`` again as often as asked; what the code does wrong is raised."""

    spec: BacktestSpec
    limits: StrategyLimits
    progress: Progress
    company: Company

    def begun(self, window: Window) -> Begun:
        """Play the whole run once more and note what its code asks for."""
        played = self._played(window, noted=True)

        def trade(factor: float, delay: int) -> Result:
            lag = self.spec.rules().get("lag", 1) + delay
            return _whole(self._played(window, again={"cost_scale": factor, "lag": lag}))

        return Begun(called(played.calls, first=window.first), trade)

    def see(self, window: Window, bars: int) -> Seen:
        """Play over ``window``, up to the decision of the last of ``bars`` traded bars."""
        rest = len(window.market.timestamps) - window.first
        played = self._played(window, noted=True, until=bars if bars < rest else None)
        if played.result is None:
            _whole(played)
        fills = filled(played.result.fills) if played.result is not None else _NOTHING
        return Seen(called(played.calls, first=window.first), fills)

    def _played(self, window: Window, **more: Any) -> Played:
        job = staging.job(self.spec, Ground(window), limits=self.limits, **more)
        times = window.market.timestamps[window.first :]
        return self.company.play(job, self.progress, times=times)


_NOTHING = Trace(np.zeros(0, np.int64), (), np.zeros((0, 3)))


def called(calls: Sequence[Any], *, first: int) -> Trace:
    """Return what a strategy asked for, each call with its arguments, or its weights, by bar."""
    bars = np.array([call[0] for call in calls], dtype=np.int64) + first
    if calls and calls[0][1] == WEIGHTS:
        return traced(Targets(bars, np.array([call[2] for call in calls], dtype=np.float64)))
    return Trace(bars, [f"{call[1]} {call[2]}" for call in calls], np.zeros((len(calls), 0)))


def _whole(played: Played) -> Result:
    """Return the result of a repetition that came to its end."""
    if played.error is not None:
        raise played.error
    if played.result is None:
        raise EngineFaultError("A repetition of the run came to nothing.")
    return played.result
