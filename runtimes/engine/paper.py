"""Trade on paper: one bar at a time, decided upon at its close, by the step that backtests take.

paper = Paper(Feed(symbols, params, history=history), strategy)
for bar in live:                        # a feed.Bar, whenever one ends
    for event in paper.take(bar): ...   # what became of orders at this bar
paper.result()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtimes.engine.arrays import Floats, Market
from runtimes.engine.desk import Desk
from runtimes.engine.feed import Bar, Feed
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import begin, failed
from topology.frames import Progress

Decision = Callable[[Market], Floats | None]
"""From the bars up to now (T, N) to weights (N,), None to leave things as they are."""


class Paper:
    """One account on paper. ``strategy`` is a `Script`, or a `Decision` about weights.

    Before each bar ``progress.checkpoint()`` decides whether it may go on; what it raises passes
    through before anything has happened, and the same bar may be given again.
    """

    def __init__(self, feed: Feed, strategy: Script | Decision, progress: Progress) -> None:
        self.feed, self._progress = feed, progress
        self._desk = Desk(feed, _Unheard())
        self._account = _Looking(self._desk, feed.symbols)
        self._script = strategy if isinstance(strategy, Script) else _Weights(feed, strategy)
        begin(self._script, self._account, self._desk)

    def take(self, bar: Bar) -> list[dict[str, Any]]:
        """Bring the account to the close of ``bar``, let the strategy decide, and end the bar.

        Returns what happened to orders at this bar: ``order_id``, ``place`` of the symbol,
        ``status``, ``quantity``, ``price`` and ``reason``. A bar that breaks a rule raises
        `BadBarsError` and has not come; what a script raises becomes `StrategyError`.
        """
        self._progress.checkpoint()
        self.feed.append(bar)
        desk = self._desk
        desk.next()
        desk.current()
        events = desk.events()
        try:
            for event in events:
                desk.hear(event)
            self._script.on_bar(self._account)
        except Exception as error:
            raise failed(desk, error) from error
        self.feed.decide()
        desk.close_bar()
        return events

    def result(self) -> Result:
        """Return the records up to the last bar taken."""
        return self.feed.result()


class _Weights(Script):
    """Decides about weights, by the bars alone."""

    def __init__(self, feed: Feed, decision: Decision) -> None:
        self._feed, self._decision = feed, decision

    def on_bar(self, account: Account) -> None:
        """Ask for the weights of this close."""
        weights = self._decision(self._feed.known)
        if weights is not None:
            self._feed.ask(weights)


class _Looking(Account):
    """An account over bars that grow: prices are looked up, not kept."""

    def price(self, symbol: str, field: str = "close") -> float:
        """Return a price (or ``volume``) of the current bar, NaN where the symbol has none."""
        return float(self._column(field, self._place(symbol))[self._desk.now])


class _Unheard(Progress):
    """The desk's own: `Paper` looks at the halt before a bar, never inside it."""

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""
