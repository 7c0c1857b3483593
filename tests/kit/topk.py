"""Plays `topk_dropout.choose` on a made-up exchange, as the benchmarks play Qlib's own class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtimes.strategies.topk_dropout import TopkDropoutParams, choose

BY_RANK = {"method_sell": "bottom", "method_buy": "top"}
CASES: list[dict[str, Any]] = [
    {**BY_RANK, "topk": 5, "n_drop": 2, "hold_thresh": 1, "only_tradable": False},
    {**BY_RANK, "topk": 5, "n_drop": 2, "hold_thresh": 4, "only_tradable": False},
    {**BY_RANK, "topk": 4, "n_drop": 3, "hold_thresh": 1, "only_tradable": True},
    {**BY_RANK, "topk": 6, "n_drop": 1, "hold_thresh": 3, "only_tradable": True},
    {**BY_RANK, "topk": 3, "n_drop": 3, "hold_thresh": 2, "only_tradable": False},
]


def traded(asked: Mapping[str, Any]) -> list[list[list[list[int]]]]:
    """Return whom it sells and buys by case and day; every order of a tradable symbol fills."""
    scores = np.array(asked["scores"], dtype=float)
    return [_played(case, scores, asked["tradable"]) for case in asked["cases"]]


def _played(case: Mapping[str, Any], scores: Any, tradable: Any) -> list[list[list[int]]]:
    params = TopkDropoutParams.model_validate({"signal": "$close", **case})
    held: list[int] = []
    days: dict[int, int] = {}
    found = []
    for row, open_ in zip(scores, tradable, strict=True):
        chosen = choose(row, held, params, tradable=open_, rng=np.random.default_rng(0))
        sold = [i for i in held if i in chosen.sell and open_[i] and days[i] >= params.hold_thresh]
        bought = [i for i in chosen.buy if open_[i]]
        held = [i for i in held if i not in sold] + bought
        days = {i: 1 if i in bought else days[i] + 1 for i in held}
        found.append([sold, bought])
    return found
