"""Strategies called at every bar, beside backtesting.py 0.6.6 and nautilus_trader 1.221.

One asset, minute bars. ``crossing`` holds 100 shares while the average of 20 closes is above that
of 60: ours adds up both in Python inside the callback, both peers use their own faster indicators.
``resting`` gives a limit order with a take-profit and a stop whenever it is flat, and takes it back
after 30 bars. ``slicing`` trades more shares than bars let through, beside a plain loop in Python
that does these fills and nothing else. Timed is the run to its records: ours and backtesting.py
with trades and statistics, nautilus without any report.
Microseconds of processor time a bar are printed, the least of some runs; the first run of a process
is not counted on our side.

Fills must be the same. ``crossing`` at the next open as backtesting.py has it (final equity, every
entry and exit), at the same close as nautilus has it (every fill, final cash; its fees are rounded
to cents). ``resting``: every entry and exit of backtesting.py, in whose bars as in ours an exit
works from the bar after its entry on; the first entry of nautilus, whose exits may fill in the bar
of their entry and whose stops fill at their price though a bar opens beyond. ``slicing``: every
fill of the loop.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.engine import identity
from runtimes.engine.arrays import Market
from tests.benchmarks.peers import AbsentError, Peer
from tests.benchmarks.racing import (
    MINUTE,
    NAUTILUS,
    PEERS,
    VECTORBT,
    best,
    figure,
    near,
    race,
    rounded,
    save,
    walk,
)

BARS, FAST, SLOW, SIZE, EDGE, CASH = 50_000, 20, 60, 100, 1e-6, 1e6
PATIENCE, LARGE, IMPACT, MOST, PART = 30, 5_000, 0.1, 0.025, 0.02
ROUNDS = 7
SYMBOL = "A.TEST"
LIMIT_US = 3.0
"""Most microseconds a bar of ours may take."""


class Silence:
    """A progress that nobody listens to."""

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""


def main() -> None:
    """Print one line per comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity.prepare(folder)
        market = rounded(walk(4, bars=BARS, step=5e-4, gap=2e-4, every=MINUTE), 4)
        fields = ("open", "high", "low", "close", "volume")
        save(folder, **{field: getattr(market, field)[:, 0] for field in fields})
        for peer, contest in ((VECTORBT, with_backtesting), (NAUTILUS, with_nautilus)):
            try:
                peer.python()
            except AbsentError as error:
                print(f"{peer.name} cannot be installed here: {error}", file=sys.stderr)
                continue
            contest(folder, market)
        with_loop(market)
        slices(market)


def used(work: Callable[[], object]) -> float:
    """Return the least processor seconds of some calls: others use this machine too."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def played(market: Market, script: Callable[[], Any], fill: str, **rules: Any) -> Any:
    """Return the result of a script, at 1 bp a trade unless other ``rules`` are given."""
    from runtimes.engine.arrays import Targets
    from runtimes.engine.params import make
    from runtimes.engine.scripting import play
    from runtimes.engine.simulation import Simulation

    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, 1)))
    params = make(cash=CASH, fill=fill, **(rules or {"fee": "bps", "fee_bps": 1.0}))
    simulation = Simulation(market, (SYMBOL,), nothing, params)
    play(script(), simulation, Silence())
    return simulation.result()


def crossing() -> Any:
    """Return the script: in while the fast average is above the slow one."""
    from runtimes.engine.script import Account, Script

    class Crossing(Script):
        def on_start(self, account: Account) -> None:
            self.closes: deque[float] = deque(maxlen=SLOW)
            self.fast = self.slow = 0.0
            self.held = False

        def on_bar(self, account: Account) -> None:
            closes, close = self.closes, account.price(SYMBOL)
            if len(closes) < SLOW:
                self.slow += close
                self.fast += close - (closes[-FAST] if len(closes) >= FAST else 0.0)
                closes.append(close)
                if len(closes) < SLOW:
                    return
            else:
                self.slow += close - closes[0]
                self.fast += close - closes[-FAST]
                closes.append(close)
            above = self.fast / FAST > self.slow / SLOW + EDGE
            if above != self.held:
                account.order(SYMBOL, SIZE if above else -SIZE)
                self.held = above

    return Crossing()


def resting(digits: int | None = None) -> Any:
    """Return the script: a limit below the market and its two exits, prices of so many digits."""
    from runtimes.engine.script import Account, Script

    def at(price: float) -> float:
        return price if digits is None else round(price, digits)

    class Resting(Script):
        def on_start(self, account: Account) -> None:
            self.entry = self.given = 0

        def on_bar(self, account: Account) -> None:
            now = account.bar
            if now == 0 or account.position(SYMBOL):  # backtesting.py begins at its second bar
                return
            if not account.open_orders():
                last = account.price(SYMBOL)
                self.given = now
                self.entry = account.order(
                    SYMBOL,
                    SIZE,
                    "limit",
                    limit=at(last * 0.999),
                    stop_loss=at(last * 0.997),
                    take_profit=at(last * 1.002),
                )
            elif now - self.given >= PATIENCE:
                account.cancel(self.entry)

    return Resting()


def slicing() -> Any:
    """Return the script: in and out again, each time for more than a bar's volume allows."""
    from runtimes.engine.script import Account, Script

    class Slicing(Script):
        def on_bar(self, account: Account) -> None:
            if not account.open_orders():
                account.order(SYMBOL, -LARGE if account.position(SYMBOL) else LARGE)

    return Slicing()


def contest(
    folder: Path,
    market: Market,
    peer: Peer,
    script: str,
    ours: Callable[[], Any],
    *arguments: str,
    fill: str,
    statistics: bool,
) -> tuple[Any, float, float]:
    """Return our result, and microseconds a bar of both."""
    from runtimes.engine import summary

    def work() -> None:
        result = played(market, ours, fill)
        if statistics:
            summary.summarise(result, cash=CASH, periods_per_year=98_280.0)

    held = played(market, ours, fill)
    before = used(work)
    told = peer.run(PEERS / script, str(folder), *arguments, "3")
    return held, min(before, used(work)) / BARS * 1e6, told["run"] / BARS * 1e6


def with_backtesting(folder: Path, market: Market) -> None:
    """Race backtesting.py."""
    script = "peer_backtesting.py"
    held, ours, theirs = contest(
        folder, market, VECTORBT, script, crossing, "crossing", fill="next_open", statistics=True
    )
    found = np.load(folder / "backtesting.npz")
    near(held.curve.equity[-1], found["equity"][-1], rel=1e-9, what="final equity")
    closed = held.trades["pnl"].size
    assert closed == found["entry"].size, "number of trades"
    near(held.trades["entry_price"], found["entry"], rel=1e-12, what="entries")
    near(held.trades["exit_price"], found["exit"], rel=1e-12, what="exits")
    race("script, us a bar / backtesting.py", ours, theirs, least=1.0, trades=int(closed))
    alone = used(lambda: played(market, crossing, "next_open")) / BARS * 1e6
    race("script, us a bar / its limit", alone, LIMIT_US, least=1.0)
    held, ours, theirs = contest(
        folder, market, VECTORBT, script, resting, "resting", fill="next_open", statistics=True
    )
    found = np.load(folder / "backtesting.npz")
    closed = held.trades["pnl"].size
    assert closed == found["entry"].size, "number of trades"
    near(held.trades["entry_price"], found["entry"], rel=1e-12, what="entries")
    near(held.trades["exit_price"], found["exit"], rel=1e-12, what="exits")
    name = "limit, stop and target, us a bar / backtesting.py"
    race(name, ours, theirs, least=1.0, trades=int(closed))


def with_nautilus(folder: Path, market: Market) -> None:
    """Race nautilus_trader."""
    script = "peer_nautilus.py"
    held, ours, theirs = contest(
        folder, market, NAUTILUS, script, crossing, "crossing", fill="same_close", statistics=False
    )
    found = np.load(folder / "nautilus.npz")
    near(held.fills["price"], found["price"], rel=1e-12, what="fills")
    near(held.curve.cash[-1], found["cash"], rel=1e-6, what="final cash")
    race("script, us a bar / nautilus_trader", ours, theirs, least=1.0, fills=found["price"].size)
    held, ours, theirs = contest(
        folder,
        market,
        NAUTILUS,
        script,
        lambda: resting(4),
        "resting",
        fill="next_open",
        statistics=False,
    )
    found = np.load(folder / "nautilus.npz")
    near(held.fills["price"][:1], found["price"][:1], rel=1e-12, what="the first entry")
    more = {"fills": int(held.fills["price"].size), "peer_fills": int(found["price"].size)}
    name = "limit, stop and target, us a bar / nautilus_trader"
    race(name, ours, theirs, least=1.0, **more)


def with_loop(market: Market) -> None:
    """Hold orders that the volume of a bar cuts into slices against a loop that does only this."""
    rules = {
        "slippage": "volume_share",
        "slippage_coefficient": IMPACT,
        "slippage_limit": MOST,
        "participation": PART,
    }
    held = played(market, slicing, "next_open", **rules)
    bars, quantities, prices = looped(market)
    near(np.searchsorted(market.timestamps, held.fills["timestamp"]), bars, rel=0, what="bars")
    signs = np.where(held.fills["side"] == "buy", 1.0, -1.0)
    near(held.fills["quantity"] * signs, quantities, rel=0, what="quantities")
    near(held.fills["price"], prices, rel=1e-12, what="prices")
    ours = used(lambda: played(market, slicing, "next_open", **rules)) / BARS * 1e6
    theirs = used(lambda: looped(market)) / BARS * 1e6
    name = "volume-share fills of a script, us a bar / plain loop"
    race(name, ours, theirs, least=None, fills=len(prices))


def looped(market: Market) -> tuple[list[int], list[float], list[float]]:
    """Return bar, quantity and price of each fill of ``slicing``, by a loop over lists."""
    opens, volumes = market.open[:, 0].tolist(), market.volume[:, 0].tolist()
    bars: list[int] = []
    quantities: list[float] = []
    prices: list[float] = []
    left, position = float(LARGE), 0.0
    for bar in range(1, BARS):
        volume = volumes[bar]
        size = min(abs(left), float(int(PART * volume)))
        if size:
            side = 1.0 if left > 0 else -1.0
            share = min(size / volume, MOST)
            bars.append(bar)
            quantities.append(side * size)
            prices.append(opens[bar] * (1.0 + side * IMPACT * share * share))
            left -= side * size
            position += side * size
        if not left:
            left = -float(LARGE) if position else float(LARGE)
    return bars, quantities, prices


def slices(market: Market) -> None:
    """Time orders that the volume of a bar cuts into slices, each with its own slippage."""
    from runtimes.engine.arrays import DONE, Targets
    from runtimes.engine.params import make
    from runtimes.engine.simulation import Simulation

    impact, limit, part = IMPACT, MOST, PART
    rows = np.arange(0, BARS - 1, 100)
    weights = np.where(np.arange(rows.size) % 2 == 0, 0.9, 0.0)[:, None]
    rules = make(
        cash=CASH,
        slippage="volume_share",
        slippage_coefficient=impact,
        slippage_limit=limit,
        participation=part,
    )

    def work() -> Any:
        simulation = Simulation(market, (SYMBOL,), Targets(rows, weights), rules)
        while simulation.advance() != DONE:
            pass
        return simulation.result()

    fills = work().fills
    bars = np.searchsorted(market.timestamps, fills["timestamp"])
    share = fills["quantity"] / market.volume[bars, 0]
    side = np.where(fills["side"] == "buy", 1.0, -1.0)
    paid = market.open[bars, 0] * (1 + side * impact * np.minimum(share, limit) ** 2)
    near(fills["price"], paid, rel=1e-12, what="slippage by volume share")
    assert (share <= part + 1e-12).all()
    assert fills["price"].size > 2 * rows.size
    seconds = best(work)
    figure("volume-share fills, ns a bar", seconds / BARS * 1e9, fills=int(fills["price"].size))


if __name__ == "__main__":
    main()
