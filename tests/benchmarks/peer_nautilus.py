"""Runs in the environment of nautilus_trader: a strategy called at every bar, timed.

``peer_nautilus.py FOLDER CASE ROUNDS``: FOLDER holds open, high, low, close and volume (T,). The
least processor seconds of `BacktestEngine.run` alone, without loading of data or reports, are
printed as JSON; the fills are left in ``nautilus.npz``. A market order given at a bar's close fills
at that close; what rests meets the open, high, low and close of the bars after it.
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
FAST, SLOW, SIZE, EDGE, PATIENCE = 20, 60, 100, 1e-6, 30


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


def resting(instrument: Any, bar_type: Any) -> Any:
    """Return the strategy: a limit below the market with its two exits, given up after a while."""
    from nautilus_trader.model.enums import OrderSide, OrderType
    from nautilus_trader.trading.strategy import Strategy

    class Resting(Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.size = instrument.make_qty(SIZE)
            self.bars = self.given = 0

        def on_start(self) -> None:
            self.subscribe_bars(bar_type)

        def on_bar(self, bar: Any) -> None:
            self.bars += 1
            if self.bars == 1 or not self.portfolio.is_flat(instrument.id):
                return
            if self.cache.orders_open_count() or self.cache.orders_inflight_count():
                if self.bars - self.given >= PATIENCE:
                    self.cancel_all_orders(instrument.id)
                return
            last = float(bar.close)
            bracket = self.order_factory.bracket(
                instrument_id=instrument.id,
                order_side=OrderSide.BUY,
                quantity=self.size,
                entry_order_type=OrderType.LIMIT,
                entry_price=instrument.make_price(round(last * 0.999, 4)),
                sl_trigger_price=instrument.make_price(round(last * 0.997, 4)),
                tp_price=instrument.make_price(round(last * 1.002, 4)),
            )
            self.submit_order_list(bracket)
            self.given = self.bars

    return Resting()


CASES = {"crossing": crossing, "resting": resting}


def engine_of(folder: Path, case: str) -> Any:
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
    engine.add_strategy(CASES[case](instrument, bar_type))
    return engine


def main(folder: Path, case: str, rounds: int) -> None:
    """Run one case and print its seconds."""
    took: list[float] = []
    for number in range(rounds):
        engine = engine_of(folder, case)
        began = time.process_time()
        engine.run()
        took.append(time.process_time() - began)
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
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
