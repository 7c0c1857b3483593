"""Play a script: its class is called at each close, looks at the account and gives orders.

The same kernel as for weight decisions does the trading; this is only another front end. It is
lazy: while nothing can happen by itself (no open order, nothing borrowed) bars are simulated in
bulk by the compiled loop, and only a look at the account or an order brings it up to date.
"""

from __future__ import annotations

from typing import Any

from runtimes.engine.desk import Desk
from runtimes.engine.errors import StrategyError, instant
from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.engine.simulation import Simulation
from topology.frames import Progress


def play(
    script: Script, simulation: Simulation, progress: Progress, *, desk: Desk | None = None
) -> None:
    """Call ``script`` at every bar of ``simulation`` to its end; ``desk`` knows other rules.

    What the script raises becomes `StrategyError` with the bar; a halt passes through, and the
    simulation keeps what it has. Frames and checkpoints come each quarter of a second and at the
    end.
    """
    desk = desk or Desk(simulation, progress)
    account = Account(desk, simulation.symbols)
    begin(script, account, desk)
    on_bar = script.on_bar
    while desk.next():
        try:
            if desk.entered:
                desk.tell()
            on_bar(account)
        except Exception as error:
            raise failed(desk, error) from error
        if desk.entered:
            desk.close_bar()
    desk.finish()


def begin(script: Script, account: Account, desk: Desk) -> None:
    """Let ``script`` hear of its orders, and prepare before the first bar."""

    def hear(event: dict[str, Any]) -> None:
        order_id, place, *rest = event.values()
        script.on_order(account, OrderEvent(order_id, account.symbols[place], *rest))

    desk.hear = hear
    try:
        script.on_start(account)
    except Exception as error:
        raise failed(desk, error) from error


def failed(desk: Desk, error: Exception) -> Exception:
    """Return `StrategyError` for what a script raised, with the bar."""
    from topology.errors import AlphaSwarmError

    when = instant(int(desk.market.timestamps[desk.now]))
    if isinstance(error, StrategyError):
        error.facts.setdefault("timestamp", when)
        return error
    if isinstance(error, AlphaSwarmError):
        return error
    return StrategyError(
        f"The strategy failed at {when}: {type(error).__name__}.",
        hint="Look at its code at this bar.",
        timestamp=when,
        error=str(error)[:200],
    )
