"""Halts: the latch acts, the ``halts`` table remembers, the bus only tells.

Order of a press: intent in the audit (or on the spool when the ledger is slow), latch, record,
notice; it works with every store down. Order of a lift: intent, record, latch, notice; without the
ledger there is none.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import audit, endings, spool
from ledger.intents import here
from ledger.kinds import statement
from ledger.pool import Connection, Pool, transaction
from ledger.progress.bus import Bus
from topology.errors import (
    AlphaSwarmError,
    HaltedError,
    LatchUnreadableError,
    RefusedError,
)
from topology.frames import Frame
from topology.home import Home
from topology.latch import ORDERS, Latch, Orders, Pressed, parse_scope

INTENT_S = 0.1
"""How long a press waits for the ledger before its intent goes to the spool."""
RECORD_S = 1.0
UNRECORDED_S = 5.0
"""How old a press in the latch must be before somebody else records it."""

_RESUME = """
INSERT INTO halts (epoch, scope, action, actor, acr, auth_time, reason)
VALUES (%(epoch)s, %(scope)s, 'resume', %(actor)s, %(acr)s, %(auth_time)s, %(reason)s)
"""
_HIGHEST = """
SELECT scope, coalesce(max(epoch) FILTER (WHERE action = 'halt'), 0) AS halted,
    coalesce(max(epoch) FILTER (WHERE action = 'resume'), 0) AS resumed,
    (array_agg(orders ORDER BY epoch DESC) FILTER (WHERE action = 'halt'))[1] AS orders
FROM halts GROUP BY scope
"""

_ACK = "INSERT INTO halt_acks (epoch, run_id, how) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_KILLED = """
SELECT task_id, fence FROM {runs} WHERE run_id = %(run_id)s AND attempts = %(attempt)s
AND status IN ('running', 'queued') FOR UPDATE
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActiveHalt:
    """One scope that is halted: since when, by whom, why, and what becomes of open orders."""

    scope: str
    epoch: int
    actor: str
    acr: str
    auth_time: int
    reason: str
    at: dt.datetime
    orders: Orders = ORDERS[0]


@dataclass(frozen=True, slots=True)
class HaltStatus:
    """Whether anything is halted; ``epoch`` is the highest of the active halts, 0 without one."""

    halted: bool
    epoch: int
    scopes: tuple[ActiveHalt, ...]


class Halts:
    """Press, lift and show halts on this host."""

    def __init__(self, pool: Pool, home: Home, bus: Bus | None = None) -> None:
        self._pool, self._home, self._bus = pool, home, bus

    def press(
        self,
        scope: str,
        *,
        actor: str,
        acr: str,
        auth_time: int,
        reason: str,
        orders: Orders = ORDERS[0],
        facts: Mapping[str, str | int] | None = None,
    ) -> int:
        """Halt ``scope`` and return the epoch; a second press only raises the epoch.

        New work always stops; ``orders`` says what becomes of open orders. Works with PostgreSQL
        and Valkey down or hung: what could not be recorded is spooled. ``facts`` go into the audit.
        """
        parse_scope(scope)
        note: dict[str, Any] = {
            "scope": scope,
            "action": "halt",
            "actor": actor,
            "acr": acr,
            "auth_time": auth_time,
            "reason": reason,
            "orders": orders,
            "facts": dict(facts or {}),
        }
        if not _within(INTENT_S, lambda: self._audit(note, "intended")):
            self._spool(note)
        note["epoch"] = self._press_latch(scope, orders)
        if not _within(RECORD_S, lambda: self._record(note)):
            self._spool(note)
        self._notify(note)
        return int(note["epoch"])

    def lift(
        self,
        scope: str,
        *,
        epoch: int,
        actor: str,
        acr: str,
        auth_time: int,
        reason: str,
        facts: Mapping[str, str | int] | None = None,
    ) -> None:
        """End the halt of ``scope`` that has this ``epoch``; ``facts`` go into the audit as well.

        Any other epoch than the newest of the scope raises ``resume_refused`` and names it: nobody
        clears a halt that he has not seen. No ledger, no lift.
        """
        parse_scope(scope)
        note: dict[str, Any] = {
            "scope": scope,
            "action": "resume",
            "epoch": epoch,
            "actor": actor,
            "acr": acr,
            "auth_time": auth_time,
            "reason": reason,
            "facts": dict(facts or {}),
        }
        self._audit(note, "intended")
        spool.drain(self._pool, self._home.spool)  # a halt pressed a moment ago can be lifted
        try:
            with transaction(self._pool) as connection:
                _check_newest(connection, scope, epoch)
                connection.execute(_RESUME, note)
        except RefusedError:
            self._audit(note, "refused")
            raise
        sync_latch(self._pool, self._home)
        self._audit(note, "done")
        self._notify(note)

    def status(self) -> HaltStatus:
        """Return what is halted, widest first: the record and what only the latch knows yet.

        A press by file permission stands on the spool for a moment, and a process can die between
        latch and spool: whoever asks must see the halt all the same.
        """
        spool.drain(self._pool, self._home.spool)
        with transaction(self._pool) as connection:
            recorded = _active(connection)
        return _status([*recorded, *self._unrecorded(recorded)])

    def _unrecorded(self, recorded: Sequence[ActiveHalt]) -> list[ActiveHalt]:
        known = {halt.scope: halt.epoch for halt in recorded}
        try:
            with Latch.open(self._home.latch) as latch:
                held = [pressed for _, pressed in latch.in_force() if pressed.scope]
        except LatchUnreadableError:
            return []
        return [
            ActiveHalt(
                scope=pressed.scope,
                epoch=pressed.epoch,
                actor="system",
                acr="",
                auth_time=0,
                reason="pressed in the latch, not recorded yet",
                at=dt.datetime.fromtimestamp(pressed.at_ns / 1e9, dt.UTC),
                orders=pressed.orders,
            )
            for pressed in held
            if pressed.scope not in known
        ]

    def _press_latch(self, scope: str, orders: Orders) -> int:
        try:
            with Latch.open(self._home.latch) as latch:
                return latch.press(scope, orders=orders)
        except LatchUnreadableError:
            # Whatever mutates is halted by that alone and research waits: the record is enough,
            # and the latch is pressed from it when it is rebuilt.
            _log.exception("the latch cannot be pressed; the record alone halts %s", scope)
            with transaction(self._pool) as connection:
                row = connection.execute(
                    "SELECT coalesce(max(epoch), 0) + 1 AS epoch FROM halts"
                ).fetchone()
            return int(row["epoch"]) if row else 1

    def _audit(self, note: dict[str, Any], decision: str) -> None:
        kept = ("epoch", "acr", "auth_time", "reason", "orders", "intent")
        facts = {**note.get("facts", {}), **{key: note[key] for key in kept if key in note}}
        seq = audit.append(
            self._pool,
            actor=note["actor"],
            action=note["action"],
            target=note["scope"],
            decision=decision,
            facts={**facts, "process": here()} if decision == "intended" else facts,
        )
        if decision == "intended":
            note["intent"] = seq

    def _record(self, note: dict[str, Any]) -> None:
        with transaction(self._pool) as connection:
            note["epoch"] = spool.record(connection, note)
        self._audit(note, "done")

    def _spool(self, note: dict[str, Any]) -> None:
        line = {key: value for key, value in note.items() if key not in ("facts", "intent")}
        spool.write(self._home.spool, {**line, "at_ns": time.time_ns()})

    def _notify(self, note: dict[str, Any]) -> None:
        if self._bus is not None:
            kept = ("action", "scope", "epoch")
            self._bus.notify("halts", {key: note[key] for key in kept})


def should_halt(latch: Latch, scopes: Sequence[str], *, mutates: bool) -> Pressed | None:
    """Return the widest halt that covers one of ``scopes``; under 1 µs while nothing changes.

    A latch that cannot be read halts whatever mutates (scope ``all``, epoch 0) and raises
    `LatchUnreadableError` for the rest: research waits until it can be read again.
    """
    try:
        return latch.pressed(scopes)
    except LatchUnreadableError:
        if mutates:
            return Pressed("all", 0, time.time_ns())
        raise


def check_dispatch(connection: Connection, scopes: Sequence[str]) -> None:
    """Raise `HaltedError` if the record halts one of ``scopes``: no new work while halted."""
    row = connection.execute(
        "SELECT scope, epoch, reason FROM active_halts WHERE scope = ANY(%s)"
        " ORDER BY array_position(%s, scope) LIMIT 1",
        (list(scopes), list(scopes)),
    ).fetchone()
    if row is not None:
        raise HaltedError(
            f"{row['scope']!r} is halted: {row['reason']}",
            hint=f"`alphaswarm resume {row['scope']}` lifts it after a fresh sign-in.",
            scope=row["scope"],
            epoch=row["epoch"],
        )


def ack(pool: Pool, epoch: int, run_id: str) -> None:
    """Note that a run has stopped for the halt of ``epoch``; a second time changes nothing."""
    with transaction(pool) as connection:
        connection.execute(_ACK, (epoch, run_id, "stopped"))


def end_killed(
    pool: Pool, kind: str, run_id: str, *, attempt: int, scope: str, epoch: int
) -> list[Frame]:
    """End a run as halted whose worker did not stop for a halt and was killed; return its frames.

    Only if it is still that attempt: one that a worker has taken up since ends by itself.
    """
    ending = endings.silent(run_id, scope, epoch)
    with transaction(pool) as connection:
        row = connection.execute(
            statement(_KILLED, kind), {"run_id": run_id, "attempt": attempt}
        ).fetchone()
        if row is None:
            return []
        connection.execute(_ACK, (epoch, run_id, "killed"))
        return endings.write(
            connection,
            kind,
            run_id=run_id,
            task_id=row["task_id"],
            fence=row["fence"] + 1,
            ending=ending,
        )


def acks(pool: Pool, epoch: int) -> list[str]:
    """Return the runs that have acknowledged the halt of ``epoch``, first one first."""
    with transaction(pool) as connection:
        rows = connection.execute(
            "SELECT run_id FROM halt_acks WHERE epoch = %s ORDER BY at", (epoch,)
        ).fetchall()
    return [row["run_id"] for row in rows]


def sync_latch(pool: Pool, home: Home) -> None:
    """Make latch and record agree; called each 250 ms and at every start.

    Drains the spool, rebuilds a missing latch from the record, presses what other hosts have
    pressed, lifts what was lifted, and records a press whose process died before it could. A
    damaged latch raises `LatchUnreadableError`; without the ledger nothing is touched.
    """
    spool.drain(pool, home.spool)
    with transaction(pool) as connection:
        rows = connection.execute(_HIGHEST).fetchall()
    active = {row["scope"]: row["halted"] for row in rows if row["halted"] > row["resumed"]}
    with Latch.open(home.latch, create=True, halted=active) as latch:
        latch.at_least(max((max(row["halted"], row["resumed"]) for row in rows), default=0))
        for row in rows:
            _agree(pool, latch, row)
        if not any(row["scope"] == "all" for row in rows):
            _agree(pool, latch, {"scope": "all", "halted": 0, "resumed": 0, "orders": None})


def _agree(pool: Pool, latch: Latch, row: Mapping[str, Any]) -> None:
    scope, halted, resumed = row["scope"], row["halted"], row["resumed"]
    pressed = latch.pressed((scope,))
    epoch = pressed.epoch if pressed is not None else 0
    same = pressed is None or epoch != halted or pressed.orders == row["orders"]
    if halted > resumed and (halted > epoch or not same):
        latch.press(scope, epoch=halted, orders=row["orders"])
    elif pressed is not None and epoch <= resumed:
        latch.lift(scope, epoch=epoch)
    elif pressed is not None and epoch > halted:
        _adopt(pool, pressed)


def _adopt(pool: Pool, pressed: Pressed) -> None:
    """Record a press that only the latch knows, once its own process has had time to."""
    if time.time_ns() - pressed.at_ns < UNRECORDED_S * 1e9:
        return
    reason = "found in the latch without a record"
    note = {
        "epoch": pressed.epoch,
        "scope": pressed.scope,
        "actor": "system",
        "acr": "",
        "auth_time": 0,
        "reason": reason,
        "orders": pressed.orders,
    }
    with transaction(pool) as connection:
        audit.write(
            connection,
            actor="system",
            action="halt",
            target=pressed.scope,
            decision="done",
            facts={"epoch": spool.record(connection, note), "reason": reason},
        )


def _active(connection: Connection) -> list[ActiveHalt]:
    rows = connection.execute("SELECT * FROM active_halts").fetchall()
    return [ActiveHalt(**row) for row in rows]


def _status(halts: Sequence[ActiveHalt]) -> HaltStatus:
    order = {"all": 0, "kind": 1, "spec": 2, "run": 3}
    scopes = sorted(halts, key=lambda halt: (order[halt.scope.partition(":")[0]], halt.scope))
    epoch = max((halt.epoch for halt in scopes), default=0)
    return HaltStatus(halted=bool(scopes), epoch=epoch, scopes=tuple(scopes))


def _check_newest(connection: Connection, scope: str, epoch: int) -> None:
    """Raise ``resume_refused`` unless ``epoch`` is the active halt of ``scope``."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('halts', 0))")
    newest = {halt.scope: halt.epoch for halt in _active(connection)}
    if scope not in newest:
        raise RefusedError(
            f"{scope!r} is not halted.",
            hint="`alphaswarm halt status` shows what is.",
            code="resume_refused",
            scope=scope,
            halted=sorted(newest),
        )
    if newest[scope] != epoch:
        raise RefusedError(
            f"The halt of {scope!r} has epoch {newest[scope]}, not {epoch}.",
            hint="Look at the newer halt, then resume with its epoch.",
            code="resume_refused",
            scope=scope,
            epoch=newest[scope],
        )


def _within(seconds: float, step: Callable[[], None]) -> bool:
    """Run ``step`` in a thread of its own; true if it has succeeded after ``seconds``.

    A store that hangs must not hold up a halt. What finishes later does no harm: a record is
    written once, and a second intent is only a second intent.
    """
    done = threading.Event()

    def run() -> None:
        try:
            step()
        except AlphaSwarmError as error:
            _log.warning("a halt goes to the spool: %s", error)
        else:
            done.set()

    thread = threading.Thread(target=run, name="halt", daemon=True)
    thread.start()
    thread.join(seconds)
    return done.is_set()
