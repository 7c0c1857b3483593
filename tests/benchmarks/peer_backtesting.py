"""Runs in the environment of backtesting.py: strategies called at every bar, timed.

``peer_backtesting.py FOLDER CASE ROUNDS``: FOLDER holds open, high, low, close and volume (T,). The
least processor seconds of `Backtest.run`, which computes its statistics too, are printed as JSON;
equity and trades are left in ``backtesting.npz``.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

FIELDS = ("Open", "High", "Low", "Close", "Volume")
FAST, SLOW, SIZE, EDGE, PATIENCE = 20, 60, 100, 1e-6, 30


def frame(folder: Path) -> Any:
    """Return the bars as a frame of minutes."""
    import pandas as pd

    columns = {name: np.load(folder / f"{name.lower()}.npy") for name in FIELDS}
    index = pd.date_range("2000-01-03", periods=columns["Close"].size, freq="min")
    return pd.DataFrame(columns, index)


def mean(values: Any, length: int) -> Any:
    """Return the moving average of a column."""
    import pandas as pd

    return pd.Series(values).rolling(length).mean().to_numpy()


def strategies() -> dict[str, Any]:
    """Return the strategy of each case."""
    from backtesting import Strategy

    class Crossing(Strategy):  # type: ignore[misc]  # backtesting.py has no types
        def init(self) -> None:
            self.fast = self.I(mean, self.data.Close, FAST)
            self.slow = self.I(mean, self.data.Close, SLOW)

        def next(self) -> None:
            above = self.fast[-1] > self.slow[-1] + EDGE
            if above and not self.position:
                self.buy(size=SIZE)
            elif not above and self.position:
                self.position.close()

    class Resting(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.given = 0

        def next(self) -> None:
            if self.position:
                return
            if not self.orders:
                last = self.data.Close[-1]
                self.buy(size=SIZE, limit=last * 0.999, sl=last * 0.997, tp=last * 1.002)
                self.given = len(self.data)
            elif len(self.data) - self.given >= PATIENCE:
                self.orders[0].cancel()

    return {"crossing": Crossing, "resting": Resting}


def main(folder: Path, case: str, rounds: int) -> None:
    """Run one case and print its seconds."""
    from backtesting import Backtest

    warnings.simplefilter("ignore")
    bars, took, found = frame(folder), [], None
    for _ in range(rounds):
        race = Backtest(bars, strategies()[case], cash=1e6, commission=1e-4)
        began = time.process_time()
        found = race.run()
        took.append(time.process_time() - began)
    if found is None:
        raise ValueError("no rounds")
    trades = found["_trades"]
    np.savez(
        folder / "backtesting.npz",
        equity=found["_equity_curve"]["Equity"].to_numpy(),
        entry=trades["EntryPrice"].to_numpy(),
        exit=trades["ExitPrice"].to_numpy(),
        entered=trades["EntryBar"].to_numpy(),
        left=trades["ExitBar"].to_numpy(),
    )
    print(json.dumps({"run": min(took)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
