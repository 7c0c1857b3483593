"""Strategies by name: pure functions from bars to target weights, and scripts that give orders.

To add one, write ``runtimes/strategies/<name>.py`` with a `Strategy` or a `ScriptStrategy` called
``STRATEGY`` and add its line here; installed packages add theirs by an entry point (`plugins`). No
member imports anything compiled, so that servers can list and check them.
"""

from runtimes.strategies.plugins import Strategies

STRATEGIES = Strategies(
    {
        "bracket_breakout": "runtimes.strategies.bracket_breakout:STRATEGY",
        "breakout": "runtimes.strategies.breakout:STRATEGY",
        "buy_and_hold": "runtimes.strategies.buy_and_hold:STRATEGY",
        "equal_weight": "runtimes.strategies.equal_weight:STRATEGY",
        "expression": "runtimes.strategies.expression:STRATEGY",
        "low_volatility": "runtimes.strategies.low_volatility:STRATEGY",
        "macd": "runtimes.strategies.macd:STRATEGY",
        "mean_reversion": "runtimes.strategies.mean_reversion:STRATEGY",
        "minimum_variance": "runtimes.strategies.minimum_variance:STRATEGY",
        "momentum": "runtimes.strategies.momentum:STRATEGY",
        "momentum_12_1": "runtimes.strategies.momentum_12_1:STRATEGY",
        "pairs": "runtimes.strategies.pairs:STRATEGY",
        "risk_parity": "runtimes.strategies.risk_parity:STRATEGY",
        "signal_table": "runtimes.strategies.signal_table:STRATEGY",
        "sma_cross": "runtimes.strategies.sma_cross:STRATEGY",
        "target_weights": "runtimes.strategies.target_weights:STRATEGY",
        "time_series_momentum": "runtimes.strategies.time_series_momentum:STRATEGY",
        "topk_dropout": "runtimes.strategies.topk_dropout:STRATEGY",
        "weight_table": "runtimes.strategies.weight_table:STRATEGY",
        "vwap_reversion": "runtimes.strategies.vwap_reversion:STRATEGY",
    }
)
