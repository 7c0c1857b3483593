"""Trials played in threads: the same kernel as a single run, on bars that all of them share."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.backtest import pieces, scoring, staging
from runtimes.backtest.scoring import Score
from runtimes.engine import params
from runtimes.engine.arrays import Floats, Ints, Params, Targets
from runtimes.engine.errors import EngineFaultError
from runtimes.engine.repeated import Repeated
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.trials import Trial
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import plan
from runtimes.strategies.shared import Shared
from topology.canonical import canonical
from topology.errors import AlphaSwarmError, BadInputError, HaltedError
from topology.frames import Progress
from topology.latch import CHANGES_WORD
from topology.sections import StrategyLimits

FRAME_S = 0.25
"""Least time between two frames of progress; the last trial always has one."""
LOOK_S = 0.05
"""Longest time between two looks at the halt while trials are played."""
CELLS = 500_000
"""Bars times symbols between two looks of a thread at whether it should go on."""
WAITING = 8
"""Trials a thread that are begun before the first of them is asked for: bounds the memory."""

Needs = tuple[Any, ...]
Span = tuple[int, int]
"""Traded bars from the first to before the second, counted from the first traded one."""


@dataclass(frozen=True, slots=True)
class Field:
    """Bars that trials begin flat on, and the columns that they share on them."""

    ground: staging.Ground
    shared: Shared


@dataclass(frozen=True, slots=True)
class Ground:
    """The bars that trials are played on, as `Field` by `Field`, for each of their `needs`.

    ``timestamps`` (T,) are those of all fields, ``closed_up`` the same without gaps between them.
    """

    fields: Mapping[Needs, tuple[Field, ...]]
    timestamps: Ints
    closed_up: Ints


def needs(spec: BacktestSpec) -> Needs:
    """Return what of the data a trial needs that others may not: they share bars by it."""
    if spec.execution.by_lean:
        return "lean", canonical(spec.execution.model_dump(mode="json")), spec.warmup
    return spec.needs_quotes, spec.impact_days


def whole(grounds: Mapping[Needs, staging.Ground]) -> Ground:
    """Return all the traded bars of ``grounds``."""
    times = next(iter(grounds.values())).window
    bars = times.market.timestamps[times.first :]
    fields = {key: (Field(on, Shared(on.window.market.close)),) for key, on in grounds.items()}
    return Ground(fields, bars, bars)


def parts(grounds: Mapping[Needs, staging.Ground], spans: Sequence[Span]) -> Ground:
    """Return ``spans`` of ``grounds``, which hold the same traded bars; not by Lean's rules."""
    cut = {
        key: [pieces.piece(on.window, begin, end) for begin, end in spans]
        for key, on in grounds.items()
    }
    times = [own.market.timestamps[own.first :] for own in next(iter(cut.values()))]
    fields = {
        key: tuple(Field(staging.Ground(w), Shared(w.market.close)) for w in own)
        for key, own in cut.items()
    }
    return Ground(fields, np.concatenate(times), scoring.closed_up(times))


class Told(Progress):
    """The progress of one trial: it says nothing, and ends when ``stop`` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing: trials are counted, not their bars."""

    def checkpoint(self) -> None:
        """Raise `HaltedError` once the trials are given up."""
        given_up(self._stop)


def given_up(stop: threading.Event) -> None:
    """Raise `HaltedError` if ``stop`` is set: whoever plays the trials has gone."""
    if stop.is_set():
        raise HaltedError("The trial was given up.")


class Players:
    """Plays trials in ``threads`` and hands scores out in order; leaving it stops every thread.

    Nobody waits for them: a strategy that is deciding ends when it has decided, and is not heard.
    """

    def __init__(
        self,
        progress: Progress,
        latch: Ints,
        *,
        threads: int,
        limits: StrategyLimits,
        blocks: int = 0,
    ) -> None:
        self._progress, self._latch, self._blocks = progress, latch, blocks
        self._threads, self._limits = threads, limits
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="trial")
        self._looked = self._told = 0.0
        self._own = threading.local()

    def __enter__(self) -> Players:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def scores(self, trials: Sequence[Trial[BacktestSpec]], on: Ground) -> Iterator[Score]:
        """Yield the score of each of ``trials``, in their order, however many threads there are.

        Between two scores, and each 50 ms, ``progress.checkpoint()`` decides whether it goes on;
        what it raises passes through and the trials that were begun are given up.
        """
        waiting: deque[Future[Score]] = deque()
        left = iter(trials)
        while True:
            while len(waiting) < self._threads * WAITING:
                trial = next(left, None)
                if trial is None:
                    break
                waiting.append(self._pool.submit(self._play, trial, on))
            if not waiting:
                return
            yield self._awaited(waiting.popleft())

    def report(self, trial: int, current: int, total: int) -> None:
        """Emit a frame that says how many trials are done, unless one was sent just now."""
        now = time.perf_counter()
        if current < total and now - self._told < FRAME_S:
            return
        self._told = now
        message = f"Trial {current} of {total}."
        self._progress.emit("trial.done", message, trial=trial, current=current, total=total)

    def _awaited(self, future: Future[Score]) -> Score:
        while True:
            now = time.perf_counter()
            if now - self._looked > LOOK_S:
                self._progress.checkpoint()
                self._looked = now
            try:
                return future.result(timeout=LOOK_S)
            except NotYetError:
                continue

    def _play(self, trial: Trial[BacktestSpec], on: Ground) -> Score:
        """Return the score of one trial; what its strategy does wrong is in its statistics."""
        spec, times, closed_up = trial.spec, on.timestamps, on.closed_up
        try:
            fields = on.fields[needs(spec)]
            if staging.apart(spec):
                found = [self._apart(spec, field) for field in fields]
                curves, own = [curve for curve, _ in found], [bars for _, bars in found]
                times, closed_up = np.concatenate(own), scoring.closed_up(own)
            else:
                curves = [self._curve(spec, on, field) for field in fields]
        except BadInputError as error:
            return Score(trial.number, np.zeros(0, np.int64), np.zeros(0), {"error": error.body()})
        cash = spec.portfolio.cash
        equity = scoring.chained(curves, cash=cash)
        statistics = scoring.measured(
            equity, closed_up, cash=cash, periods_per_year=spec.periods_per_year
        )
        if self._blocks:
            statistics["blocks"] = scoring.blocked(equity, cash=cash, blocks=self._blocks)
        return Score(trial.number, times, equity, statistics)

    def _apart(self, spec: BacktestSpec, field: Field) -> tuple[Floats, Ints]:
        """Return the equity and its times where the strategy runs in a process of its own."""
        on = field.ground
        if on.data is None:
            window = on.window
            count = pieces.bars_of(window)
            on = staging.Ground(pieces.piece(window, 0, count, warmup=spec.warmup))
        play = staging.staged(spec, on, latch=self._latch, limits=self._limits)
        play.play(Told(self._stop))
        result = play.result()
        if result is None:
            raise EngineFaultError("A trial ended without a result.")
        return np.array(result.curve.equity), result.timestamps

    def _curve(self, spec: BacktestSpec, on: Ground, field: Field) -> Floats:
        """Return the equity (T,) of one trial on one field, the same bits as its single run's."""
        strategy = STRATEGIES.weights(spec.strategy.name)
        seen = pieces.view(field.ground.window, spec.warmup, field.shared)
        decided = plan(strategy, spec.strategy.params, seen)
        decided = Targets(decided.rows + seen.since, decided.weights)
        rules = params.make(**spec.rules())
        simulation = self._simulation(on, field, decided, rules)
        size = max(CELLS // len(field.ground.window.symbols), 1)
        while not simulation.done:
            given_up(self._stop)
            simulation.advance(size)
        return simulation.equity()

    def _simulation(self, on: Ground, field: Field, decided: Targets, rules: Params) -> Repeated:
        """Return this thread's simulation of ``field``, at its first bar."""
        if getattr(self._own, "ground", None) is not on:
            self._own.ground, self._own.kept = on, {}
        kept: dict[int, Repeated] = self._own.kept
        found = kept.get(id(field))
        if found is None:
            window = field.ground.window
            found = kept[id(field)] = Repeated(
                window.market,
                window.symbols,
                decided,
                rules,
                conditions=window.conditions,
                first=window.first,
                latch=self._latch[CHANGES_WORD : CHANGES_WORD + 1],
            )
        found.again(decided, rules)
        return found


def failure(score: Score) -> AlphaSwarmError:
    """Return the error that a trial ended with."""
    error = score.statistics["error"]
    return BadInputError(
        error["message"], hint=error["hint"], code=error["code"], **error.get("facts", {})
    )
