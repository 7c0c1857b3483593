"""Qlib's TopkDropoutStrategy: hold about ``topk`` symbols and swap at most ``n_drop`` a time.

After ``qlib/contrib/strategy/signal_strategy.py`` of pyqlib 0.9.7. What is kept is left alone;
what is sold pays, in equal parts, for what is bought. It decides by what it holds, so it is a
script: `choose` says whom to sell and buy, the account does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from runtimes.engine.arrays import Floats
from runtimes.engine.script import Account, Script
from runtimes.part import Finite, Integer
from runtimes.strategies import signals
from runtimes.strategies.base import StrategyParams, View
from runtimes.strategies.scripted import ScriptStrategy
from runtimes.strategies.timing import Timing, decisions

Count = Annotated[Integer, Field(ge=1, le=10_000)]


class TopkDropoutParams(StrategyParams):
    """``signal`` ranks; ``topk`` places, of which ``n_drop`` change at most.

    ``method_sell`` ``bottom`` drops held symbols that are among the worst ``n_drop`` of held and
    candidates, ``random`` any of them; ``method_buy`` takes the ``top`` or ``random`` ones of the
    best ``topk``, by ``seed``. A symbol is sold after ``hold_thresh`` bars at the earliest.
    ``only_tradable`` chooses among symbols that have a bar now. ``risk_degree`` is the part of the
    cash that is spent.
    """

    signal: signals.Signal
    topk: Count = 50
    n_drop: Count = 5
    method_sell: Literal["bottom", "random"] = "bottom"
    method_buy: Literal["top", "random"] = "top"
    hold_thresh: Annotated[Integer, Field(ge=0, le=100_000)] = 1
    only_tradable: bool = False
    risk_degree: Annotated[Finite, Field(gt=0, le=1)] = 0.95
    rebalance: Timing = "daily"
    seed: Annotated[Integer, Field(ge=0, le=2**53 - 1)] = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Places of the symbols to sell and to buy, the best first."""

    sell: list[int]
    buy: list[int]


def choose(
    scores: Floats,
    held: Sequence[int],
    params: TopkDropoutParams,
    *,
    tradable: Sequence[bool],
    rng: np.random.Generator,
) -> Choice:
    """Return whom to sell and buy by ``scores`` (N,), nan for none, holding ``held``.

    Equal scores rank by symbol, where Qlib leaves their order open. A held symbol without a score
    ranks last; one that is not held cannot be bought.
    """

    def ranked(places: Sequence[int]) -> list[int]:
        return sorted(
            places, key=lambda i: (-math.inf if math.isnan(scores[i]) else scores[i], -i)
        )[::-1]

    def first(places: list[int], count: int) -> list[int]:
        if not params.only_tradable:
            return places[:count]
        return [i for i in places if tradable[i]][: max(count, 1)]  # as Qlib: one at least

    scored = np.flatnonzero(~np.isnan(scores)).tolist()
    last = ranked(held)
    wanted = params.n_drop + params.topk - len(last)
    if params.method_buy == "top":
        today = first(ranked([i for i in scored if i not in last]), wanted)
    else:
        best = [i for i in first(ranked(scored), params.topk) if i not in last]
        today = _some(best, wanted, rng)
    if params.method_sell == "bottom":
        both = ranked([*last, *today])
        worst = first(both[::-1], params.n_drop)
        sell = [i for i in last if i in worst]
    else:
        sell = _some(
            [i for i in last if tradable[i] or not params.only_tradable], params.n_drop, rng
        )
    return Choice(sell, today[: len(sell) + params.topk - len(last)])


def _some(places: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """Return ``count`` of the places at random, all where there are no more."""
    if len(places) <= count:
        return places
    return [int(i) for i in rng.choice(places, size=max(count, 0), replace=False)]


class TopkDropout(Script):
    """Plays it: sells fill first, what they bring is spent on the new ones at the same bar."""

    def __init__(self, params: TopkDropoutParams, view: View) -> None:
        self._params = params
        self._first = view.first
        self._scores = signals.evaluate(params.signal, view)
        self._members = view.members
        self._listed = ~np.isnan(view.close)
        self._rows = frozenset(decisions(view, params.rebalance).tolist())
        self._since: dict[str, int] = {}

    def on_bar(self, account: Account) -> None:
        """Choose by the scores of this bar, where it is one that decides."""
        positions = account.positions()
        self._since = {name: self._since.get(name, account.bar) for name in positions}
        row = self._first + account.bar
        if row in self._rows and not np.isnan(self._scores[row]).all():
            self._trade(account, row, positions)

    def _trade(self, account: Account, row: int, positions: dict[str, float]) -> None:
        places = {name: i for i, name in enumerate(account.symbols)}
        here, listed = self._members[row], self._listed[row]
        gone = [name for name in positions if not here[places[name]]]
        chosen = choose(
            self._scores[row],
            [places[name] for name in positions if name not in gone],
            self._params,
            tradable=listed.tolist(),
            rng=np.random.Generator(np.random.Philox(key=[self._params.seed, row])),
        )
        names = [account.symbols[i] for i in chosen.sell if listed[i]]
        sold = [*gone, *(name for name in names if self._long_enough(name, account.bar))]
        cash = account.cash + sum(_worth(account, name, positions[name]) for name in sold)
        weights = dict.fromkeys(sold, 0.0)
        if chosen.buy and cash > 0:
            part = cash * self._params.risk_degree / len(chosen.buy) / account.equity
            weights |= {account.symbols[i]: part for i in chosen.buy if listed[i]}
        if weights:
            account.targets(weights)

    def _long_enough(self, name: str, bar: int) -> bool:
        return bar - self._since[name] + 1 >= self._params.hold_thresh


def _worth(account: Account, name: str, quantity: float) -> float:
    """Return what a position brings at this close; without a bar nobody knows."""
    price = account.price(name)
    return 0.0 if math.isnan(price) else quantity * price


STRATEGY = ScriptStrategy(
    title="Qlib's top k with dropout: hold the best, swap a few at a time.",
    params=TopkDropoutParams,
    warmup=lambda params: signals.needed(params.signal),
    build=TopkDropout,
    inputs=lambda params: signals.readings(params.signal),
    signal=lambda view, params: signals.evaluate(params.signal, view),
    symbols=lambda params: signals.symbols(params.signal) if isinstance(params.signal, str) else (),
)
