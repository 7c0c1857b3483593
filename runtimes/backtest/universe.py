"""Whom a backtest is about: a fixed list, or the members of a universe on their days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lakehouse import days, universe
from lakehouse.lake import Lake
from lakehouse.universe import Stay
from runtimes.engine.arrays import Ints
from runtimes.engine.errors import EmptyWindowError
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.universe import Members
from runtimes.strategies.base import Flags
from topology.errors import UnknownNameError


@dataclass(frozen=True, slots=True)
class Cast:
    """The ``symbols`` of a run, sorted, and the days on which each belongs; None: always."""

    symbols: tuple[str, ...]
    stays: Mapping[str, list[Stay]] | None = None

    def mask(self, times: Ints, table: str) -> Flags | None:
        """Return (T, N): who belongs on the day of each bar; None where everybody always does."""
        if self.stays is None:
            return None
        whole = np.zeros((times.size, len(self.symbols)), dtype=bool)
        for i, symbol in enumerate(self.symbols):
            whole[:, i] = universe.belonging(
                symbol, self.stays[symbol], times, daily=days.daily(table)
            )
        return whole


def cast(lake: Lake, spec: BacktestSpec, *, at: str | None = None) -> Cast:
    """Return who plays in the period, by the table of universes at snapshot ``at`` or now.

    An unknown universe raises ``unknown_name`` with the nearest names, one without members in the
    period ``empty_window``.
    """
    asked = spec.universe
    if not isinstance(asked, Members):
        return Cast(asked.symbols)
    start, end = spec.data.start, spec.data.end
    try:
        found = universe.members(lake, asked.name, start, end, table=spec.universes, as_of=at)
    except UnknownNameError as error:
        problem = {"path": "universe.name", "value": asked.name, "problem": error.message}
        near = error.facts.get("nearest", [])
        raise UnknownNameError(
            error.message, hint=error.hint, errors=[problem | {"nearest": near}]
        ) from error
    stays = found.days()
    if not stays:
        raise EmptyWindowError(
            f"Nobody belonged to {asked.name!r} between {start} and {end}.",
            hint="Choose another period; describe_table shows the universes' days.",
            errors=[{"path": "universe.name", "value": asked.name, "problem": "It is empty then."}],
        )
    return Cast(tuple(sorted(stays)), stays)
