"""Runs in vectorbt's environment: the cases of `backtests`, timed and left to be compared.

``peer_vectorbt.py FOLDER CASE ROUNDS``: FOLDER holds the arrays of the case as ``<name>.npy``. The
best seconds, the peak memory in MB and the time of the first call are printed as JSON; what the
runs gave is left in ``vectorbt.npz``. vectorbt has no minimum fee and truncates orders, not
positions, to whole shares: what follows is said where the case is.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BPS = 1e-4


def load(folder: Path, name: str) -> Any:
    """Return one array of the case."""
    return np.load(folder / f"{name}.npy")


def cross(folder: Path) -> dict[str, Callable[[], Any]]:
    """SMA 50/200 on one asset: signals, orders at the next open, equity and trades, statistics."""
    import pandas as pd
    import vectorbt as vbt

    index = pd.date_range("2000-01-01", periods=load(folder, "close").size, freq="min")
    close, opens = (pd.Series(load(folder, name), index) for name in ("close", "open"))

    def simulate() -> Any:
        fast, slow = vbt.MA.run(close, 50), vbt.MA.run(close, 200)
        above = fast.ma_above(slow)
        enter = above.shift(1, fill_value=False)
        leave = (~above).shift(1, fill_value=False)
        return vbt.Portfolio.from_signals(
            close,
            enter,
            leave,
            price=opens,
            fees=BPS,
            slippage=BPS,
            init_cash=1e6,
            freq="min",
        )

    def run() -> dict[str, Any]:
        found = simulate()
        trades = found.trades.records
        return {
            "equity": found.value().to_numpy(),
            "pnl": trades["pnl"].to_numpy(),
            "entry": trades["entry_price"].to_numpy(),
            "exit": trades["exit_price"].to_numpy(),
        }

    def report() -> dict[str, Any]:
        found = simulate()
        found.trades.records  # noqa: B018  # computed when asked for
        return {"stats": found.stats().size, "equity": found.value().to_numpy()}

    return {"run": run, "report": report}


def monthly(folder: Path) -> dict[str, Callable[[], Any]]:
    """500 assets, one cash, target weights: exact in fractions, and in whole shares with a fee."""
    import pandas as pd
    import vectorbt as vbt

    close, opens = (pd.DataFrame(load(folder, name)) for name in ("close", "open"))
    weights = np.full(close.shape, np.nan)
    weights[load(folder, "rows") + 1] = load(folder, "weights")

    def run(granularity: float | None = None, fee: float = 0.0) -> dict[str, Any]:
        found = vbt.Portfolio.from_orders(
            close,
            size=weights,
            size_type="targetpercent",
            price=opens,
            val_price=opens,
            group_by=True,
            cash_sharing=True,
            call_seq="auto",
            init_cash=1e8,
            freq="D",
            size_granularity=granularity,
            fixed_fees=fee,
        )
        orders = found.orders.records
        return {
            "equity": found.value().to_numpy(),
            "trades": np.array(len(found.trades.records)),
            "orders": np.array(len(orders)),
        }

    return {
        "exact": run,
        "run": lambda: run(1.0, 1.0),
    }


def sweep(folder: Path) -> dict[str, Callable[[], Any]]:
    """Every pair of lengths, each an account of its own over all assets: final equity, Sharpe."""
    import pandas as pd
    import vectorbt as vbt

    index = pd.date_range("2000-01-03", periods=len(load(folder, "close")), freq="D")
    close, opens = (pd.DataFrame(load(folder, name), index) for name in ("close", "open"))
    pairs = load(folder, "pairs").tolist()
    assets = close.shape[1]

    def run() -> dict[str, Any]:
        means = {n: vbt.MA.run(close, n).ma.to_numpy() for n in np.unique(pairs).tolist()}
        weights = np.full((len(close), len(pairs) * assets), np.nan)
        for place, (fast, slow) in enumerate(pairs):
            above = means[fast] > means[slow]
            changed = np.flatnonzero((above[1:-1] != above[:-2]).any(axis=1)) + 1
            weights[changed + 1, place * assets : (place + 1) * assets] = above[changed] / assets
        wide = np.tile(opens.to_numpy(), len(pairs))
        found = vbt.Portfolio.from_orders(
            pd.DataFrame(np.tile(close.to_numpy(), len(pairs)), index),
            size=weights,
            size_type="targetpercent",
            price=wide,
            val_price=wide,
            group_by=np.repeat(np.arange(len(pairs)), assets),
            cash_sharing=True,
            call_seq="auto",
            init_cash=1e6,
            freq="D",
        )
        return {
            "final": found.final_value().to_numpy(),
            "sharpe": found.sharpe_ratio(year_freq="252D").to_numpy(),
        }

    return {"run": run}


CASES = {"cross": cross, "monthly": monthly, "sweep": sweep}


def main(folder: Path, case: str, rounds: int) -> None:
    """Run every part of a case and print its seconds."""
    began = time.perf_counter()
    parts = CASES[case](folder)
    told: dict[str, Any] = {"imports": time.perf_counter() - began}
    kept: dict[str, Any] = {}
    for name, part in parts.items():
        took = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            found = part()
            took.append(time.perf_counter() - began)
            kept |= {f"{name}_{key}": value for key, value in found.items()}
        told[f"{name} first"], told[name] = took[0], min(took[1:])
    told["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(folder / "vectorbt.npz", **kept)
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
