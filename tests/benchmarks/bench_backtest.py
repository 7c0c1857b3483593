"""The whole engine beside vectorbt 1.2.0 and plain numpy: `python -m tests.benchmarks backtest`.

(a) one asset, 1e6 bars, SMA 50/200, filled at the next open with 1 bp of fee and of slippage;
(b) 500 assets, one cash, 5,000 days, rebalanced every 21 to target weights, whole shares, a fee of
at least 1 an order. Timed on both sides, from arrays in memory: signals (a), simulation, the whole
equity curve, and the round trips with entry, exit and profit. Ours also checks every bar and every
weight, keeps orders and fills, and can be halted at each bar; the columns of the tables that nobody
timed here looks at are made when somebody does (``all columns`` times them too). ``statistics``
adds both reports: ours is all columns of the curve and the standard profile, theirs
`Portfolio.stats`. Ours runs as a worker does, with `memory.keep`. On a machine that others use
``cpu_s``, the least processor time of a run, says more than the seconds.

Equity, trades and fills must agree before a figure is printed: (a) to 1e-9; (b) to 1e-9 in
fractions without costs, where both have the same rules. In whole shares vectorbt truncates orders
and ours positions, so there only the end must be near.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.engine import identity, memory
from tests.benchmarks.peers import AbsentError
from tests.benchmarks.racing import (
    DAY,
    MINUTE,
    ROUNDS,
    VECTORBT,
    against,
    best,
    best_cpu,
    figure,
    near,
    peak_mb,
    race,
    save,
    walk,
)

BARS, FAST, SLOW = 1_000_000, 50, 200
DAYS, ASSETS, EVERY = 5_000, 500, 21
SCRIPT = "peer_vectorbt.py"


def main() -> None:
    """Print one line per comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity.prepare(folder)
        memory.keep()
        from runtimes.engine import simulation

        simulation.warm()
        try:
            VECTORBT.python()
        except AbsentError as error:
            print(f"vectorbt cannot be installed here: {error}", file=sys.stderr)
            return
        crossing(folder)
        rebalancing(folder)


def crossing(folder: Path) -> None:
    """Race (a), and say how far it is from reading the memory once."""
    from runtimes.engine import summary
    from runtimes.engine.arrays import DONE, Market
    from runtimes.engine.params import make
    from runtimes.engine.results import Result
    from runtimes.engine.simulation import Simulation
    from runtimes.strategies import STRATEGIES
    from runtimes.strategies.base import View, plan
    from runtimes.strategies.sma_cross import SmaCrossParams

    market = walk(1, bars=BARS, step=5e-4, gap=2e-4, every=MINUTE)
    save(folder, close=market.close[:, 0], open=market.open[:, 0])
    rules = make(cash=1e6, fractional=True, fee="bps", fee_bps=1.0, slippage_bps=1.0)
    strategy, lengths = STRATEGIES.weights("sma_cross"), SmaCrossParams(fast=FAST, slow=SLOW)
    symbols = ("A.TEST",)

    def simulated(market: Market) -> Result:
        targets = plan(strategy, lengths, View(market, first=0, symbols=symbols))
        run = Simulation(market, symbols, targets, rules)
        while run.advance(BARS) != DONE:
            pass
        return run.result()

    def work() -> tuple[Any, Any]:
        result = simulated(market)
        return result.curve.equity, result.trades["pnl"]

    def report() -> Any:
        result = simulated(market)
        result.curve.columns()
        return summary.summarise(result, cash=1e6, periods_per_year=98_280.0)

    def whole() -> None:
        result = simulated(market)
        result.curve.columns()
        for table in (result.trades, result.fills, result.orders, result.positions):
            dict(table)

    held = simulated(market)
    ours, told = against(VECTORBT, SCRIPT, work, str(folder), "cross")
    theirs = np.load(folder / "vectorbt.npz")
    near(held.curve.equity, theirs["run_equity"], rel=1e-9, what="equity of (a)")
    assert held.trades["pnl"].size == theirs["run_pnl"].size, "number of trades of (a)"
    near(held.trades["entry_price"], theirs["run_entry"], rel=1e-12, what="entries of (a)")
    near(held.trades["exit_price"], theirs["run_exit"], rel=1e-12, what="exits of (a)")
    trips = int(held.trades["pnl"].size)
    cpu = best_cpu(work)
    more = {"mbars_s": round(BARS / ours / 1e6, 1), "trades": trips, "peak_mb": peak_mb()}
    more |= {"cpu_s": round(cpu, 6), "mbars_cpu_s": round(BARS / cpu / 1e6, 1)}
    race("backtest (a) / vectorbt", ours, told["run"], least=5.0, **more, peer_mb=told["peak"])
    figure("backtest (a), all columns of curve, trades, fills and orders", best(whole))
    race("backtest (a) with statistics / vectorbt", best(report), told["report"], least=2.5)
    targets = plan(strategy, lengths, View(market, first=0, symbols=symbols))

    def kernel() -> float:
        run = Simulation(market, symbols, targets, rules)
        return best(lambda: run.advance(BARS), 1)

    once = np.concatenate([column.reshape(-1) for column in market[1:]])
    memory = best(once.sum) / 5 * 2
    figure(
        "backtest (a): kernel / one pass over opens and closes",
        min(kernel() for _ in range(ROUNDS)),
        pass_s=round(memory, 6),
        times=round(min(kernel() for _ in range(ROUNDS)) / memory, 1),
    )
    plain = best(lambda: in_or_out(market))
    near(in_or_out(market), simulated(market).curve.equity, rel=1e-9, what="numpy of (a)")
    race("backtest (a) / numpy, no records", ours, plain, least=None)


def in_or_out(market: Any) -> Any:
    """Return the equity of (a) by the shortest numpy: no orders, no trades, cannot stop."""
    close, opens = market.close[:, 0], market.open[:, 0]
    sums = np.concatenate([[0.0], np.cumsum(close)])
    wanted = np.zeros(BARS, bool)
    fast = (sums[SLOW:] - sums[SLOW - FAST : -FAST]) / FAST
    wanted[SLOW - 1 :] = fast > (sums[SLOW:] - sums[:-SLOW]) / SLOW
    now, before = np.roll(wanted, 1), np.roll(wanted, 2)
    now[:1], before[:2] = False, False
    night = np.where(before, opens / np.roll(close, 1), 1.0)
    bought, sold = 1 / (1 + 1e-4) / (1 + 1e-4), (1 - 1e-4) * (1 - 1e-4)
    paid = np.where(now & ~before, bought, np.where(before & ~now, sold, 1.0))
    return 1e6 * np.cumprod(night * paid * np.where(now, close / opens, 1.0))


def rebalancing(folder: Path) -> None:
    """Race (b)."""
    from runtimes.engine import summary
    from runtimes.engine.arrays import DONE, Params, Targets
    from runtimes.engine.params import make
    from runtimes.engine.results import Result
    from runtimes.engine.simulation import Simulation
    from tests.kit.engine import names

    market = walk(2, bars=DAYS, symbols=ASSETS, step=0.015, gap=0.005, every=DAY)
    rows = np.arange(0, DAYS - 1, EVERY)
    weights = np.random.default_rng(3).random((rows.size, ASSETS))
    weights /= weights.sum(axis=1, keepdims=True)
    targets, symbols = Targets(rows, weights), names(ASSETS)
    save(folder, close=market.close, open=market.open, rows=rows, weights=weights)

    def simulated(rules: Params) -> Result:
        run = Simulation(market, symbols, targets, rules)
        while run.advance(DAYS) != DONE:
            pass
        return run.result()

    whole = make(cash=1e8, fee="per_share", fee_minimum=1.0)
    dearer = make(cash=1e8, fee="per_share", fee_per_share=0.005, fee_minimum=1.0)

    def work(rules: Params = whole) -> tuple[Any, Any]:
        result = simulated(rules)
        return result.curve.equity, result.trades["pnl"]

    def report() -> Any:
        result = simulated(whole)
        result.curve.columns()
        return summary.summarise(result, cash=1e8, periods_per_year=252.0)

    exact, held = simulated(make(cash=1e8, fractional=True)), simulated(whole)
    ours, told = against(VECTORBT, SCRIPT, work, str(folder), "monthly")
    theirs = np.load(folder / "vectorbt.npz")
    near(exact.curve.equity, theirs["exact_equity"], rel=1e-9, what="equity of (b), fractions")
    orders = int(held.fills["price"].size)
    near(held.curve.equity, theirs["run_equity"], rel=1e-3, what="equity of (b), whole shares")
    near(orders, theirs["run_orders"], rel=0.01, what="orders of (b)")
    more = {"orders": orders, "peak_mb": peak_mb(), "peer_mb": told["peak"]}
    race("backtest (b) / vectorbt", ours, told["run"], least=15.0, **more)
    race("backtest (b) / its 20 ms", ours, 0.02, least=None, cpu_s=round(best_cpu(work), 6))
    plain = best(lambda: held_between(market, targets))
    near(held_between(market, targets), exact.curve.equity, rel=1e-9, what="numpy of (b)")
    race("backtest (b) / numpy, fractions, no records", ours, plain, least=None)
    figure("backtest (b) at 0.005 a share, at least 1", best(lambda: work(dearer)))
    figure("backtest (b) with statistics", best(report))
    memory = best(market.close.sum) + best(market.open.sum)
    figure("backtest (b): one pass over opens and closes", memory, times=round(ours / memory, 1))


def held_between(market: Any, targets: Any) -> Any:
    """Return the equity of (b) in fractions without costs by the shortest numpy: no orders."""
    equity = np.full(DAYS, 1e8)
    cash, quantity = 1e8, np.zeros(ASSETS)
    fills = targets.rows + 1
    for k, (start, stop) in enumerate(zip(fills, [*fills[1:], DAYS], strict=True)):
        worth = cash + quantity @ market.open[start]
        quantity = targets.weights[k] * worth / market.open[start]
        cash = worth - quantity @ market.open[start]
        equity[start:stop] = cash + market.close[start:stop] @ quantity
    return equity


if __name__ == "__main__":
    main()
