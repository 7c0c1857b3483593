"""What speaks against a result, added to its statistics: looks, audit, sensitivity, verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ledger import trials
from ledger.pool import transaction
from runtimes.backtest import audit, sensitivity, staging, universe, verdict
from runtimes.backtest.audit import Seen, filled
from runtimes.backtest.bars import Window
from runtimes.backtest.elsewhere import Elsewhere, Quiet
from runtimes.backtest.outside import Company
from runtimes.backtest.reruns import Reruns
from runtimes.backtest.staging import Ground
from runtimes.context import RunContext
from runtimes.engine.honesty import concentration
from runtimes.engine.results import Result
from runtimes.engine.summary import Looked
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.universe import Members
from runtimes.strategies import STRATEGIES

ENOUGH = 10
"""Trials whose Sharpe ratio must be known before their variance is believed."""
BY_LEAN = "By Lean's rules a run is there to be compared with Lean's."
LOOKS_AHEAD = "The strategy looks ahead: its decisions are worth nothing."
ENDED_EARLY = "The run ended before its last bar."


def remember(context: RunContext, spec: BacktestSpec, snapshot_ids: Mapping[str, str]) -> None:
    """Record who the members of a named universe were: they are what this run looks at."""
    if not isinstance(spec.universe, Members):
        return
    at = snapshot_ids.get(spec.universes)
    found = context.attend(lambda: universe.cast(context.workshop.lake, spec, at=at))
    asked = {**spec.looked(), "symbols": found.symbols}
    with transaction(context.workshop.pool) as connection:
        trials.look(connection, context.run.run_id, person=context.run.requested_by, **asked)


def counting(context: RunContext) -> Callable[[float | None], Looked]:
    """Return the function from a run's Sharpe ratio to the trials that it is one of."""

    def count(sharpe: float | None) -> Looked:
        found = trials.count(context.workshop.pool, context.run, sharpe=sharpe)
        return Looked(found.judging, believed(found.sharpes, found.variance))

    return count


def believed(count: int, variance: float | None) -> float | None:
    """Return the ``variance`` of ``count`` Sharpe ratios, None where they are too few to tell."""
    return variance if count >= ENOUGH else None


def examined(context: RunContext, spec: BacktestSpec, on: Ground, result: Result) -> dict[str, Any]:
    """Return ``audit``, ``sensitivity`` and ``concentration`` of a single run as JSON."""
    whole = concentration(result, cash=spec.portfolio.cash)
    reason = BY_LEAN if spec.execution.by_lean else ENDED_EARLY if result.partial else None
    if reason is not None:
        return {
            "audit": audit.skipped(reason),
            "sensitivity": sensitivity.skipped(reason),
            "concentration": whole,
        }
    window = on.window
    if staging.apart(spec):
        limits = context.workshop.topology.limits.strategy
        with Company(limits) as company:
            there = Elsewhere(spec, limits, Quiet(context), company)
            found = _repeated(spec, window, result, there, script=True)
    else:
        here = Reruns(spec, STRATEGIES.weights(spec.strategy.name))
        found = context.attend(lambda: _repeated(spec, window, result, here, script=False))
    return {**found, "concentration": whole}


def judged(spec: BacktestSpec, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``statistics`` with their verdict."""
    tested = "walk_forward" if spec.walk_forward else "sweep" if spec.sweep else "once"
    said = verdict.judge(statistics, periods_per_year=spec.periods_per_year, tested=tested)
    return {**statistics, "verdict": said}


def _repeated(
    spec: BacktestSpec, window: Window, result: Result, rerun: Reruns | Elsewhere, *, script: bool
) -> dict[str, Any]:
    bars, symbols = len(window.market.timestamps), len(window.symbols)
    again = rerun.begun(window)
    audited = audit.audited(
        rerun.see,
        window,
        Seen(again.decisions, filled(result.fills)),
        seed=spec.seed,
        cuts=spec.audit.cuts,
        noise=spec.audit.noise,
        budget=audit.CALLS if script else audit.CELLS // symbols,
    )
    why = LOOKS_AHEAD if audited["passed"] is False else None
    why = why or sensitivity.too_much(bars, symbols, script=script)
    if why is not None:
        return {"audit": audited, "sensitivity": sensitivity.skipped(why)}
    found = sensitivity.measured(
        again.trade,
        result,
        cash=spec.portfolio.cash,
        periods_per_year=spec.periods_per_year,
    )
    return {"audit": audited, "sensitivity": found}
