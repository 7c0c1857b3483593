"""Frames in the ledger: pending ones are numbered and kept here, and read back in order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.pool import Connection, Pool, transaction
from topology.clock import Clock, rfc3339
from topology.frames import Frame

_FIXED = ("task_id", "stage", "message", "timestamp", "seq")


@dataclass(frozen=True, slots=True)
class Pending:
    """A frame that has its time and its content, but no number yet.

    ``ticket`` counts the frames of one writer (one fence), so that a repeated write is known.
    """

    stage: str
    message: str
    timestamp: str
    extras: dict[str, Any] = field(default_factory=dict)
    ticket: int = 1

    def numbered(self, task_id: str, seq: int) -> Frame:
        """Return the frame as everybody will see it."""
        return Frame(
            task_id=task_id,
            stage=self.stage,
            message=self.message,
            timestamp=self.timestamp,
            seq=seq,
            **self.extras,
        )


def pending(
    clock: Clock, stage: str, message: str, extras: dict[str, Any], *, ticket: int = 1
) -> Pending:
    """Return a frame of now that JSON and PostgreSQL can hold, whatever ``extras`` are.

    NaN and infinities become null, NUL characters vanish, other objects become their text; an
    extra that would hide one of the fixed keys is dropped.
    """
    kept = {key: value for key, value in plain(extras).items() if key not in _FIXED}
    return Pending(_text(stage), _text(message), rfc3339(clock.now()), kept, ticket)


def append(
    connection: Connection, task_id: str, frames: Sequence[Pending], *, fence: int
) -> list[Frame]:
    """Number ``frames`` after the last one of the task and keep them, in the open transaction.

    The caller holds a lock on the run's row; without one two writers could pick one number.
    Frames that this writer has already kept are skipped: when the answer to a commit is lost the
    same frames may be handed in again.
    """
    last = connection.execute(
        "SELECT seq, fence, ticket FROM run_events WHERE task_id = %s ORDER BY seq DESC LIMIT 1",
        (task_id,),
    ).fetchone() or {"seq": 0, "fence": None, "ticket": 0}
    known = last["ticket"] if last["fence"] == fence else 0
    fresh = [frame for frame in frames if frame.ticket > known]
    if not fresh:
        return []
    numbered = [frame.numbered(task_id, seq) for seq, frame in enumerate(fresh, last["seq"] + 1)]
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY run_events (task_id, seq, frame, fence, ticket) FROM STDIN") as copy,
    ):
        for frame, origin in zip(numbered, fresh, strict=True):
            copy.write_row((task_id, frame.seq, dump(frame), fence, origin.ticket))
    return numbered


def history(pool: Pool, task_id: str, *, after: int = 0, limit: int = 1000) -> list[Frame]:
    """Return the frames with ``seq > after`` in order, at most ``limit``."""
    with transaction(pool) as connection:
        rows = connection.execute(
            "SELECT frame FROM run_events WHERE task_id = %s AND seq > %s ORDER BY seq LIMIT %s",
            (task_id, after, limit),
        ).fetchall()
    return [Frame.model_validate(row["frame"]) for row in rows]


def dump(frame: Frame) -> str:
    """Return the frame's JSON, as rows, stream entries and SSE events carry it."""
    return json.dumps(frame.model_dump(), ensure_ascii=False, separators=(",", ":"))


def plain(value: Any) -> Any:
    """Return ``value`` as JSON that any store takes: no NaN, no NUL, no objects of ours."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_text(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    return str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
