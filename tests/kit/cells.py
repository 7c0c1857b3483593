"""Cells for tests: source is made and started in one, and what became of it is returned."""

from __future__ import annotations

from typing import Any

import numpy as np

from lakehouse.nursery import Nursery
from runtimes.engine.arrays import Targets
from runtimes.engine.desk import Desk
from runtimes.engine.errors import StrategyError
from runtimes.engine.params import make
from runtimes.engine.script import Account
from runtimes.engine.simulation import Simulation
from runtimes.sandbox.keeper import Cell, Guest
from runtimes.sandbox.source import scan
from tests.kit.engine import random_market
from topology.errors import HaltedError
from topology.frames import Progress

SYMBOLS = ("AAA.TEST", "BBB.TEST")
BARS, FIRST = 30, 10


class Quiet(Progress):
    """Says nothing; after ``looks`` looks a halt came."""

    def __init__(self, looks: int | None = None) -> None:
        self.left = looks

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Count down to the halt."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise HaltedError("Stop.", epoch=1, scope="all")


def guest(code: str, *, memory_mb: int = 64, cpu_s: int = 20, **params: Any) -> Guest:
    """Return what runs in a cell."""
    return Guest(code, scan(code).name, params, seed=7, memory_mb=memory_mb, cpu_s=cpu_s)


def started(cells: Nursery, who: Guest, progress: Progress | None = None) -> None:
    """Make a strategy and let it prepare; what it raises is raised here."""
    market = random_market(3, bars=BARS, symbols=len(SYMBOLS))
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, len(SYMBOLS))))
    simulation = Simulation(market, SYMBOLS, nothing, make(), first=FIRST)
    account = Account(Desk(simulation, Quiet()), SYMBOLS)
    with Cell(cells, progress or Quiet()) as cell:
        cell.admit(who, market, SYMBOLS, FIRST).on_start(account)


def failed(cells: Nursery, code: str, **more: Any) -> StrategyError:
    """Return the error that a strategy's start ends with."""
    try:
        started(cells, guest(code, **more))
    except StrategyError as error:
        return error
    raise AssertionError("nothing failed")
