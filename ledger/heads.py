"""Heads of the audit chain, published outside the database.

Whoever owns the database can write the whole chain anew, and every hash would fit. What they cannot
do is change the heads that were copied elsewhere before: a file in the home's ``logs/``, and files
that the topology names (another disk, a write-once mount). A line is ``SEQ HASH TIME``; a person
may note one too, and hand it to `ledger.audit.verify`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.audit import GENESIS
from ledger.pool import Pool, transaction
from topology.clock import Clock, rfc3339
from topology.errors import BadInputError
from topology.home import Home

NAME = "audit.heads"
_LINE = re.compile(r"^(\d{1,18})[ :]([0-9a-f]{64})(?: \S+)?$")


@dataclass(frozen=True, slots=True)
class Head:
    """What the chain's newest row was at some time."""

    seq: int
    hash: str


def places(home: Home, copies: Sequence[str] = ()) -> list[Path]:
    """Return the files that hold heads: the home's own first."""
    return [home.logs / NAME, *map(Path, copies)]


def publish(pool: Pool, files: Sequence[Path], clock: Clock) -> Head | None:
    """Append the newest head to every file that does not end with it; return it if any did not.

    Each line is on the disk before this returns. A file that cannot be written raises OSError,
    after the others were.
    """
    with transaction(pool) as connection:
        row = connection.execute("SELECT seq, hash FROM audit_tip").fetchone()
    head = Head(row["seq"], row["hash"]) if row else Head(0, GENESIS)
    line = f"{head.seq} {head.hash} {rfc3339(clock.now())}\n"
    failure: OSError | None = None
    written = False
    for file in files:
        try:
            if _last(file) != head:
                _append(file, line)
                written = True
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure
    return head if written else None


def read(files: Iterable[Path]) -> list[Head]:
    """Return every head of the files in order of ``seq``; a file that is not there has none.

    A line that is no head says nothing and is passed over: a crash can tear one.
    """
    texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    lines = (_LINE.match(line) for text in texts for line in text.split("\n"))
    found = {Head(int(match.group(1)), match.group(2)) for match in lines if match}
    return sorted(found, key=lambda head: (head.seq, head.hash))


def parse(text: str) -> Head:
    """Return the head that a person noted as ``SEQ:HASH``."""
    match = _LINE.match(text.strip())
    if match is None:
        raise BadInputError(
            f"{text[:80]!r} is not a head of the audit chain.",
            hint="A head is SEQ:HASH, as `alphaswarm audit head` prints it.",
            path="head",
        )
    return Head(int(match.group(1)), match.group(2))


def _last(file: Path) -> Head | None:
    """Return the head in the last whole line of a file."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 512))
            lines = stream.read().decode("utf-8", "replace").split("\n")[:-1]
    except FileNotFoundError:
        return None
    match = _LINE.match(lines[-1]) if lines else None
    return Head(int(match.group(1)), match.group(2)) if match else None


def _append(file: Path, line: str) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = "\n" + line  # after the torn line of a crash
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
