"""A strategy whose decisions are orders: validated parameters, a look-back, and a `Script`.

What fits target weights is a `Strategy`; a script is for what needs orders: stops, targets, limits
that are moved, answers to fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from runtimes.engine.arrays import Floats
from runtimes.engine.script import Script
from runtimes.strategies.base import Reading, StrategyParams, View


@dataclass(frozen=True, slots=True)
class ScriptStrategy:
    """A member of the family that is played bar by bar.

    ``build(params, view)`` returns a new `Script`, once for each run; of ``view`` a script may use
    members and panels, at each bar the row of that bar. ``warmup(params)`` is how many bars a
    symbol needs, the deciding one included; the bars before the first that is traded are what
    ``account.history`` shows in `Script.on_start`. ``inputs``, ``signal`` and ``symbols`` are those
    of `Strategy`: what is read from the lake, the panel (T, N) that it ranks by, what it names.
    """

    form: ClassVar[str] = "script"

    title: str
    params: type[StrategyParams]
    warmup: Callable[[Any], int]
    build: Callable[[Any, View], Script]
    inputs: Callable[[Any], tuple[Reading, ...]] = lambda _: ()
    signal: Callable[[View, Any], Floats] | None = None
    symbols: Callable[[Any], tuple[str, ...]] = lambda _: ()
