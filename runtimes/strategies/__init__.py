"""Strategies: pure functions from bars to target weights, by name.

To add one, write ``runtimes/strategies/<name>.py`` with a `Strategy` called ``STRATEGY`` and add
its line here. No member imports anything compiled, so that servers can list and check them.
"""

from runtimes.strategies.base import Strategy
from topology.registry import Registry

STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    {
        "breakout": "runtimes.strategies.breakout:STRATEGY",
        "buy_and_hold": "runtimes.strategies.buy_and_hold:STRATEGY",
        "equal_weight": "runtimes.strategies.equal_weight:STRATEGY",
        "low_volatility": "runtimes.strategies.low_volatility:STRATEGY",
        "macd": "runtimes.strategies.macd:STRATEGY",
        "mean_reversion": "runtimes.strategies.mean_reversion:STRATEGY",
        "minimum_variance": "runtimes.strategies.minimum_variance:STRATEGY",
        "momentum": "runtimes.strategies.momentum:STRATEGY",
        "momentum_12_1": "runtimes.strategies.momentum_12_1:STRATEGY",
        "pairs": "runtimes.strategies.pairs:STRATEGY",
        "risk_parity": "runtimes.strategies.risk_parity:STRATEGY",
        "sma_cross": "runtimes.strategies.sma_cross:STRATEGY",
        "time_series_momentum": "runtimes.strategies.time_series_momentum:STRATEGY",
    },
)
