"""Runs in the environment of nautilus_trader: a strategy called at every bar, timed.

``peer_nautilus.py FOLDER ROUNDS``: FOLDER holds open, high, low, close and volume (T,). The best
seconds of `BacktestEngine.run` alone, without loading of data or reports, are printed as JSON; the
fills are left in ``nautilus.npz``. A market order given at a bar's close fills at that close.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

FIELDS = ("open", "high", "low", "close", "volume")
FAST, SLOW, SIZE, EDGE = 20, 60, 100, 1e-6


def crossing(instrument: Any, bar_type: Any) -> Any:
    """Return the strategy: in while the fast average is above the slow one."""
    from nautilus_trader.indicators import SimpleMovingAverage
    from nautilus_trader.model.enums import OrderSide
    from nautilus_trader.trading.strategy import Strategy

    class Crossing(Strategy):  # type: ignore[misc]  # a compiled class without types
        def __init__(self) -> None:
            super().__init__()
            self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
            self.held = False
            self.size = instrument.make_qty(SIZE)

        def on_start(self) -> None:
            self.register_indicator_for_bars(bar_type, self.fast)
            self.register_indicator_for_bars(bar_type, self.slow)
            self.subscribe_bars(bar_type)

        def on_bar(self, bar: Any) -> None:
            if not self.slow.initialized:
                return
            above = self.fast.value > self.slow.value + EDGE
            if above == self.held:
                return
            side = OrderSide.BUY if above else OrderSide.SELL
            self.submit_order(self.order_factory.market(instrument.id, side, self.size))
            self.held = above

    return Crossing()


def engine_of(folder: Path) -> Any:
    """Return an engine with the bars loaded and the strategy added."""
    import pandas as pd
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import Equity
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.persistence.wranglers import BarDataWrangler

    config = BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True))
    engine = BacktestEngine(config=config)
    venue = Venue("SIM")
    engine.add_venue(
        venue=venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USD,
        starting_balances=[Money(1_000_000, USD)],
    )
    instrument = Equity(
        instrument_id=InstrumentId(Symbol("A"), venue),
        raw_symbol=Symbol("A"),
        currency=USD,
        price_precision=4,
        price_increment=Price.from_str("0.0001"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal("0.0001"),
        taker_fee=Decimal("0.0001"),
    )
    engine.add_instrument(instrument)
    columns = {name: np.load(folder / f"{name}.npy") for name in FIELDS}
    index = pd.date_range("2000-01-03", periods=columns["close"].size, freq="min", tz="UTC")
    bar_type = BarType.from_str("A.SIM-1-MINUTE-LAST-EXTERNAL")
    bars = BarDataWrangler(bar_type, instrument).process(pd.DataFrame(columns, index))
    engine.add_data(bars)
    engine.add_strategy(crossing(instrument, bar_type))
    return engine


def main(folder: Path, rounds: int) -> None:
    """Run it and print its seconds."""
    took: list[float] = []
    for number in range(rounds):
        engine = engine_of(folder)
        began = time.perf_counter()
        engine.run()
        took.append(time.perf_counter() - began)
        if number == 0:
            fills = engine.trader.generate_fills_report()
            account = engine.trader.generate_account_report(engine.list_venues()[0])
            np.savez(
                folder / "nautilus.npz",
                price=fills["last_px"].astype(float).to_numpy(),
                quantity=fills["last_qty"].astype(float).to_numpy(),
                cash=float(account["total"].iloc[-1]),
            )
        engine.dispose()
    print(json.dumps({"run": min(took)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
