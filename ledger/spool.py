"""Halts pressed while the ledger was away: fsynced lines beside the latch, drained into the record.

A line is a JSON object with ``at_ns`` (wall clock), ``action`` (``halt``), ``scope``, ``actor``,
``acr``, ``auth_time``, ``reason`` and ``orders``; ``epoch`` once the latch is pressed, without it
an intent. Whoever writes or drains holds an exclusive lock on the file.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledger import audit
from ledger.pool import Connection, Pool, transaction
from topology.clock import rfc3339
from topology.latch import ORDERS

_RESUMED = """
SELECT max(epoch) AS epoch FROM halts WHERE scope = %(scope)s AND action = 'resume'
"""
_RECORD = """
INSERT INTO halts (epoch, scope, action, actor, acr, auth_time, reason, orders, at)
VALUES (%(epoch)s, %(scope)s, 'halt', %(actor)s, %(acr)s, %(auth_time)s, %(reason)s, %(orders)s,
    coalesce(%(at)s, clock_timestamp()))
ON CONFLICT DO NOTHING
"""


def record(connection: Connection, note: Mapping[str, Any]) -> int:
    """Insert a press into ``halts`` and return its epoch; once per scope and epoch.

    A press whose epoch is already resumed comes from a latch that did not know the record (a new
    one, another host's): it gets a new epoch, above all others, or it would halt nothing.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('halts', 0))")
    epoch = int(note["epoch"])
    resumed = connection.execute(_RESUMED, {"scope": note["scope"]}).fetchone()
    if resumed and (resumed["epoch"] or 0) >= epoch:
        highest = connection.execute("SELECT max(epoch) + 1 AS epoch FROM halts").fetchone()
        epoch = highest["epoch"] if highest else epoch
    connection.execute(_RECORD, {"at": None, "orders": ORDERS[0], **note, "epoch": epoch})
    return epoch


def write(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line and return when it is on the disk."""
    with _held(path) as descriptor:
        os.lseek(descriptor, 0, os.SEEK_END)
        os.write(descriptor, json.dumps(dict(line)).encode() + b"\n")
        os.fsync(descriptor)


def is_empty(path: Path) -> bool:
    """Tell whether nothing waits."""
    return not path.exists() or path.stat().st_size == 0


def drain(pool: Pool, path: Path) -> int:
    """Write every waiting line into audit and ``halts``, then empty the file; return how many.

    A crash in between leaves the lines, and each is recorded once: its hash stands in the facts.
    A ledger that does not answer raises and leaves them too.
    """
    if is_empty(path):
        return 0
    with _held(path) as descriptor:
        lines = _read(descriptor).split(b"\n")
        with transaction(pool) as connection:
            drained = sum(_record(connection, line) for line in lines if line.strip())
        os.ftruncate(descriptor, 0)
        os.fsync(descriptor)
    return drained


def _record(connection: Connection, line: bytes) -> bool:
    digest = hashlib.sha256(line).hexdigest()
    known = connection.execute(
        "SELECT seq FROM audit WHERE facts ? 'spool' AND facts ->> 'spool' = %s", (digest,)
    ).fetchone()
    if known is not None:
        return False
    note = _parse(line)
    if note is None:
        facts: dict[str, str | int] = {"spool": digest, "reason": "a spooled line is unreadable"}
        audit.write(
            connection,
            actor="unknown",
            action="halt",
            target="all",
            decision="unknown",
            facts=facts,
        )
        return True
    if "epoch" in note:
        note["epoch"] = record(connection, note)
    kept = ("epoch", "acr", "auth_time", "reason", "orders")
    facts = {key: note[key] for key in kept if key in note}
    audit.write(
        connection,
        actor=note["actor"],
        action="halt",
        target=note["scope"],
        decision="done" if "epoch" in note else "intended",
        facts={**facts, "spool": digest, "pressed_at": rfc3339(note["at"])},
    )
    return True


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the line's fields in the types of the tables, or None for what is not a line."""
    try:
        raw = json.loads(line)
        note = {key: str(raw[key]) for key in ("scope", "actor", "acr", "reason")}
        note = {key: audit.clean(text) for key, text in note.items()}
        micros = int(raw["at_ns"]) // 1000
        at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
        epoch = {} if raw.get("epoch") is None else {"epoch": int(raw["epoch"])}
        orders = raw.get("orders") if raw.get("orders") in ORDERS else ORDERS[0]
        auth_time = int(raw.get("auth_time") or 0)
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None
    return {**note, **epoch, "at": at, "auth_time": auth_time, "orders": orders}


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        return stream.read()


@contextmanager
def _held(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
