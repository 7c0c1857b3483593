"""What the data of a backtest alone makes doubtful: warnings that its result carries."""

from __future__ import annotations

import datetime as dt
from typing import Any

from runtimes.backtest.bars import Window
from runtimes.engine import notices
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.universe import Members


def of(spec: BacktestSpec, window: Window, *, locked: dt.datetime) -> list[dict[str, Any]]:
    """Return the warnings; the engine warns of raw prices, late listings and the like itself.

    ``locked`` is when the spec, and with it a fixed list of symbols, was written down.
    """
    lacking = {
        window.symbols[i]
        for told in window.panels.values()
        for i in (told.rows == 0).all(axis=0).nonzero()[0].tolist()
    }
    found = [
        (
            "unadjusted",
            "No adjustments are known for these symbols: their prices are raw.",
            () if spec.data.adjust == "none" else window.unadjusted,
        ),
        (
            "delisted",
            "Bars of these symbols end early: positions were paid out at the last close.",
            window.delisted,
        ),
        (
            "no_quotes",
            "These symbols have no quotes: they were traded without a spread.",
            window.unquoted,
        ),
        (
            "members_without_bars",
            "These members of the universe have no bars at all: whoever failed may be among them.",
            window.without_bars,
        ),
        ("no_rows", "The table told nothing of these symbols in the period.", sorted(lacking)),
    ]
    return [
        *survivorship(spec, locked),
        *(
            {"code": code, "message": message, "symbols": list(symbols)}
            for code, message, symbols in found
            if symbols
        ),
    ]


def of_trials(spec: BacktestSpec, window: Window, *, locked: dt.datetime) -> list[dict[str, Any]]:
    """Return the warnings of a run of many trials, of whom nobody keeps what the engine said.

    Those about the data are of the longest look-back, ``same_bar_fill`` is said where any trial
    fills so.
    """
    bars, symbols = window.market, window.symbols
    needed = max(trial.spec.warmup for trial in spec.trials)
    at_once = any(trial.spec.execution.fill == "same_close" for trial in spec.trials)
    message = "Trials filled at the very close they were decided at: nobody can trade so."
    return [
        *of(spec, window, locked=locked),
        *notices.about_market(bars, symbols, first=window.first),
        *notices.about_actions(spec.data.adjust, window.unadjusted),
        *notices.about_look_back(bars, symbols, first=window.first, warmup=needed),
        *([{"code": "same_bar_fill", "message": message}] if at_once else []),
    ]


def survivorship(spec: BacktestSpec, locked: dt.datetime) -> list[dict[str, Any]]:
    """Return a warning where symbols were chosen knowing what came of them, else nothing.

    A fixed list is known from the day on which its spec was locked: for bars before that day it was
    chosen with hindsight. A universe that knows its members by day needs no warning.
    """
    known = locked.astimezone(dt.UTC).date()
    if isinstance(spec.universe, Members) or spec.data.start >= known:
        return []
    message = (
        f"The universe is a fixed list, written down on {known}: companies that failed before are "
        "missing from it, so results are too good. Name a universe with members by day instead."
    )
    return [{"code": "survivorship", "message": message}]
