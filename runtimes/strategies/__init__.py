"""Strategies: pure functions from bars to target weights, by name.

To add one, write ``runtimes/strategies/<name>.py`` with a `Strategy` called ``STRATEGY`` and add
its line here. No member imports anything compiled, so that servers can list and check them.
"""

from runtimes.strategies.base import Strategy
from topology.registry import Registry

STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    {
        "buy_and_hold": "runtimes.strategies.buy_and_hold:STRATEGY",
        "equal_weight": "runtimes.strategies.equal_weight:STRATEGY",
        "momentum": "runtimes.strategies.momentum:STRATEGY",
        "sma_cross": "runtimes.strategies.sma_cross:STRATEGY",
    },
)
