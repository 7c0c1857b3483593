"""A cell seen from the engine: born, checked, called, and ended whatever it is doing.

What comes from a cell was written by whoever attacks us. The account, the fills and the equity are
on this side: a cell asks for what any strategy can (`runtimes.sandbox.judging`), and that is all.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lakehouse.nursery import Nursery
from runtimes.engine.arrays import Market
from runtimes.engine.errors import EngineFaultError, InvalidWeightsError, StrategyError
from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.sandbox import calls, wire
from runtimes.sandbox.errors import NonsenseError, nonsense, unavailable
from runtimes.sandbox.judging import answered
from runtimes.sandbox.line import Line
from topology.frames import Progress

MODULE = "runtimes.sandbox.cell"
LONGEST = 300
_LINES = 100_000
_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def nursery() -> Nursery:
    """Return what gives out cells, not started; in each the hash of a text is the same."""
    return Nursery(MODULE, PYTHONHASHSEED="0")


@dataclass(frozen=True, slots=True)
class Guest:
    """What is to run in a cell: source, its class, parameters, and what it may take."""

    code: str
    name: str
    params: Mapping[str, Any]
    seed: int
    memory_mb: int
    cpu_s: int


class Cell:
    """One cell; leaving the block ends it."""

    def __init__(self, cells: Nursery, progress: Progress) -> None:
        self._cells, self._progress = cells, progress

    def __enter__(self) -> Cell:
        self._handle: int | None = None
        self._line = Line(self._cells.line(), self._progress)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
        self._line.close()

    def admit(self, guest: Guest, market: Market, symbols: tuple[str, ...], first: int) -> Script:
        """Return the script that calls ``guest`` in the cell, once the cell is proven shut.

        A machine whose kernel cannot shut it raises `SandboxUnavailableError`, and the source has
        not left this process; source that raises when it is loaded raises `StrategyError`.
        """
        setup = {
            "symbols": list(symbols),
            "bars": len(market.timestamps),
            "first": first,
            "memory_mb": guest.memory_mb,
            "cpu_s": guest.cpu_s,
            "seed": guest.seed,
        }
        self._shut(setup)
        run = {"code": guest.code, "name": guest.name, "params": dict(guest.params)}
        self._line.send(wire.told(run))
        return Proxy(self._line, market, first)

    def _shut(self, setup: Mapping[str, Any]) -> None:
        """Let the cell close its doors, and refuse one that has one open."""
        try:
            self._handle = os.pidfd_open(int(self._line.receive()["pid"]))
            self._line.send(wire.told(setup))
            held = self._line.receive()["fences"]
        except (StrategyError, ProcessLookupError):  # ours still: there is no source in it yet
            raise EngineFaultError("The process for submitted source does not start.") from None
        lacking = set(calls.FENCES) - set(held)
        if lacking:
            raise unavailable(lacking)


class Proxy(Script):
    """A script whose methods run in a cell."""

    def __init__(self, line: Line, market: Market, first: int) -> None:
        self._line, self._market, self._first = line, market, first
        self._told = 0
        self._refused: StrategyError | InvalidWeightsError | None = None

    def on_start(self, account: Account) -> None:
        """Let it be made, and prepare."""
        self._listen(account)
        self._call(account, "on_start")

    def on_bar(self, account: Account) -> None:
        """Let it decide."""
        self._call(account, "on_bar")

    def on_order(self, account: Account, event: OrderEvent) -> None:
        """Let it hear what became of an order."""
        told = {
            "order_id": event.order_id,
            "symbol": event.symbol,
            "status": event.status,
            "quantity": event.quantity,
            "price": event.price,
            "reason": event.reason,
        }
        self._call(account, "on_order", event=told)

    def _call(self, account: Account, method: str, **more: Any) -> None:
        """Tell the bars up to now, call a method, and answer what it asks until it returns."""
        now = self._first + account.bar
        bars = wire.rows(self._market, self._told, now + 1)
        self._told = now + 1
        self._line.send(*bars, wire.told({"do": method, "now": now, **more}))
        self._listen(account)

    def _listen(self, account: Account) -> None:
        try:
            while (request := self._line.receive()) != ["done"]:
                self._line.send(wire.told(self._answer(account, request)))
        except (StrategyError, InvalidWeightsError) as error:
            if account.bar >= 0:
                error.facts.setdefault("bar", account.bar)
            raise

    def _answer(self, account: Account, request: Any) -> dict[str, Any]:
        if isinstance(request, list) and request[:1] == ["raised"]:
            raise self._raised(account, request[1:])
        try:
            return {"value": answered(account, request)}
        except NonsenseError:
            raise
        except (StrategyError, InvalidWeightsError) as error:
            self._refused = error
            return {"error": error.body()}

    def _raised(self, account: Account, request: list[Any]) -> StrategyError | InvalidWeightsError:
        """Return what the strategy raised; what we refused it, it can only pass on."""
        body = request[0] if len(request) == 1 else None
        if not isinstance(body, dict):
            raise nonsense("an error that is none")
        if body.get("again") is True and self._refused is not None:
            return self._refused
        text, hint, line = _plain(body.get("text")), _plain(body.get("hint")), body.get("line")
        facts: dict[str, Any] = {"line": line} if type(line) is int and 0 < line < _LINES else {}
        if (symbol := body.get("symbol")) in account.symbols:
            facts["symbol"] = symbol
        if hint:
            return StrategyError(text, hint=hint, **facts)
        kind = str(body.get("kind"))
        kind = kind if _KIND.fullmatch(kind) else "an error"
        where = f" in line {line}" if "line" in facts else ""
        return StrategyError(
            f"The strategy failed{where}: {kind}.",
            hint="Look at its source at this bar.",
            error=text,
            **facts,
        )


def _plain(text: Any) -> str:
    """Return the beginning of a text without what no reader should be sent."""
    shown = text[:LONGEST] if isinstance(text, str) else ""
    return "".join(character if character.isprintable() else " " for character in shown)
