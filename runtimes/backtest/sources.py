"""Whether the lake holds what a backtest asks for, by its rules; nothing compiled is loaded."""

from __future__ import annotations

from lakehouse.lake import Lake
from runtimes.backtest import bars, lean_bars
from runtimes.specs.backtest import BacktestSpec


def check(lake: Lake, spec: BacktestSpec) -> None:
    """Raise unless the lake holds what a run of ``spec`` reads; see `bars.check`."""
    if spec.execution.by_lean:
        lean_bars.check(lake, spec)
    else:
        bars.check(lake, spec)


def checked_pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return the newest snapshot of every table whose content shapes the result; see `check`."""
    check(lake, spec)
    return lean_bars.pins(lake, spec) if spec.execution.by_lean else bars.pins(lake, spec)
