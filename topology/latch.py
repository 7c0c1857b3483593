"""The halt latch: a small mapped file that is the authority on this host.

64 KiB of little-endian 64-bit words. Words 0-4 are magic, format, change counter, highest epoch and
heartbeat; slots of eight words follow from word 8: SHA-256 of the scope (4 words), epoch, state,
time, what becomes of orders. Slot 0 is ``all``; the others are a hash table with linear probing. A
check costs one read of word 2; only when it moved are slots read again. Standard library only: a
break-glass halt (``python -m topology.latch halt``) must start fast and need nothing that runs.

A latch that is missing, of another shape, replaced or locked away is unreadable, never "not
halted". Known limit: whoever truncates the mapped file kills its readers (SIGBUS).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import re
import runpy
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from topology import drain
from topology.errors import BadInputError, LatchUnreadableError, did_you_mean
from topology.kinds import KINDS

SIZE = 65_536
MAGIC = int.from_bytes(b"ASWLATCH", "little")
FORMAT = 1
MAGIC_WORD, FORMAT_WORD, CHANGES_WORD, EPOCH_WORD, BEAT_WORD = range(5)

Orders = Literal["cancel", "keep", "flatten"]
ORDERS: tuple[Orders, ...] = get_args(Orders)
"""What a halt does to open orders, by its word in the latch; it always stops new work."""

READ_WAIT_S = 0.05
ALL_WAIT_S = 0.2
WRITE_WAIT_S = 2.0
"""How long a reader, a halt of everything and any other writer wait for the lock."""

_STRONGEST_FIRST: tuple[Orders, ...] = ("flatten", "cancel", "keep")
_HEADER = _SLOT = 8
_SLOTS = (SIZE // 8 - _HEADER) // _SLOT
_EPOCH, _STATE, _TIME, _ORDERS = 4, 5, 6, 7
_FREE, _PRESSED, _LIFTED = 0, 1, 2
_JUMP = 1 << 32  # what a write without lock adds: no late single step can hide it
_POLL_S = 0.0005
_MOST_ANSWERS = 1024
_SCOPE = re.compile(
    r"all|kind:(?P<kind>[a-z]+)|spec:(?P<of>[a-z]+)/[a-z][a-z0-9_.-]{1,63}|run:[a-z0-9]{26}"
)


@dataclass(frozen=True, slots=True)
class Pressed:
    """A halt in force: scope, epoch, when (wall-clock nanoseconds) and what becomes of orders."""

    scope: str
    epoch: int
    at_ns: int
    orders: Orders = ORDERS[0]


def parse_scope(text: str) -> str:
    """Return ``text`` if it is a scope: ``all``, ``kind:K``, ``spec:KIND/NAME`` or ``run:ID``."""
    found = _SCOPE.fullmatch(text)
    kind = found and (found["kind"] or found["of"])
    if found is None or (kind and kind not in KINDS):
        hint = did_you_mean(kind, KINDS) if kind else ""
        raise BadInputError(
            f"{text[:80]!r} is not a halt scope.",
            hint=hint or "Write all, kind:KIND, spec:KIND/NAME or run:RUN_ID.",
            path="scope",
            value=text[:80],
        )
    return text


def scopes_of(kind: str, name: str, run_id: str) -> tuple[str, ...]:
    """Return the scopes that cover a run, widest first."""
    return ("all", f"kind:{kind}", f"spec:{kind}/{name}", f"run:{run_id}")


def wider(scope: str) -> str:
    """Return the next wider scope; of a run only ``all`` is known to cover it."""
    return f"kind:{scope[5:].partition('/')[0]}" if scope.startswith("spec:") else "all"


class Latch:
    """An open latch; threads may share it, processes each open their own."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, SIZE)
        self._words = memoryview(self._map).cast("q")
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, ...], tuple[int, Pressed | None]] = {}
        self._keys: dict[str, tuple[int, ...]] = {}

    @classmethod
    def open(
        cls, path: Path, *, create: bool = False, halted: Mapping[str, int] | None = None
    ) -> Latch:
        """Map the latch at ``path``; anything odd raises `LatchUnreadableError`.

        ``create`` makes a missing one, with the scopes of ``halted`` (scope to epoch) already
        pressed when it first becomes visible.
        """
        if create and not os.path.lexists(path):
            _make(path, halted or {})
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise _unreadable(path, str(error.strerror)) from error
        try:
            latch = cls(path, descriptor)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            raise _unreadable(path, "it is not a file of 64 KiB") from error
        try:
            latch.check()
        except LatchUnreadableError:
            latch.close()
            raise
        return latch

    def close(self) -> None:
        """Let go of the file; a map that a kernel still looks at stays until that lets go."""
        with contextlib.suppress(BufferError):
            self._words.release()
            self._map.close()
        os.close(self._descriptor)

    def __enter__(self) -> Latch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Raise `LatchUnreadableError` unless the path still names this very file, intact.

        A file replaced by rename leaves us on the old one, so every lease renewal asks.
        """
        try:
            mine, named = os.fstat(self._descriptor), os.lstat(self.path)
        except OSError as error:
            raise _unreadable(self.path, str(error.strerror)) from error
        if (mine.st_ino, mine.st_dev) != (named.st_ino, named.st_dev):
            raise _unreadable(self.path, "it was replaced by another file")
        if mine.st_size != SIZE:
            raise _unreadable(self.path, "it was truncated")
        if (self._words[MAGIC_WORD], self._words[FORMAT_WORD]) != (MAGIC, FORMAT):
            raise _unreadable(self.path, "its header was overwritten")

    def words(self) -> memoryview[int]:
        """Return a read-only view of all 8,192 int64 words; word 2 is the change counter."""
        return self._words.toreadonly()

    def changes(self) -> int:
        """Return the change counter; it moves with every press and lift."""
        return int(self._words[CHANGES_WORD])

    def epoch(self) -> int:
        """Return the highest epoch given so far."""
        return int(self._words[EPOCH_WORD])

    def beat(self) -> None:
        """Say that the control process lives."""
        self._words[BEAT_WORD] = _boottime_ns()

    def silence_s(self) -> float:
        """Return the seconds since the last `beat`; infinite before the first."""
        last = int(self._words[BEAT_WORD])
        return (_boottime_ns() - last) / 1e9 if last else float("inf")

    def pressed(self, scopes: Sequence[str]) -> Pressed | None:
        """Return the widest halt in force among ``scopes`` (widest first), or None.

        While the change counter stands still the last answer for these scopes is given again.
        """
        asked = tuple(scopes)
        known = self._answers.get(asked)
        if known is not None and known[0] == self._words[CHANGES_WORD]:
            return known[1]
        with self._lock:
            self.check()
            with self._held(fcntl.LOCK_SH, READ_WAIT_S):
                seen = self.changes()
                found = (self._pressed(scope) for scope in asked)
                answer = next((one for one in found if one), None)
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            self._answers[asked] = (seen, answer)
        return answer

    def in_force(self) -> list[tuple[str, Pressed]]:
        """Return every pressed slot as (SHA-256 of its scope, halt).

        Only ``all`` and kinds can be named again from their hash; of others the scope is empty.
        """
        names = {_key(name): name for name in ("all", *(f"kind:{kind}" for kind in KINDS))}
        with self._lock, self._held(fcntl.LOCK_SH, READ_WAIT_S):
            slots = [self._slot(index) for index in range(_SLOTS)]
        return [
            (
                struct.pack("<4q", *slot[:4]).hex(),
                _of(names.get(slot[:4], ""), slot),
            )
            for slot in slots
            if slot[_STATE] == _PRESSED
        ]

    def press(self, scope: str, *, epoch: int | None = None, orders: Orders = ORDERS[0]) -> int:
        """Halt ``scope`` and return its epoch: the highest so far plus one, unless given.

        A given epoch below what the scope already has changes nothing; an equal one presses (a
        tie is halted). ``all`` waits 200 ms for the lock and then goes without it; a full table
        presses the next wider scope. Sends that had their look before are over when this returns,
        and the time of the halt is after them; one that hangs is waited for 200 ms.
        """
        parse_scope(scope)
        with self._lock:
            with self._writing(scope) as locked:
                while (index := self._find(scope)) is None:
                    scope = wider(scope)
                chosen = self._store(index, scope, epoch, orders, locked=locked)
            drain.drained(self.path)
            base = _HEADER + index * _SLOT
            if self._words[base + _EPOCH] == chosen:
                self._words[base + _TIME] = time.time_ns()
        return chosen

    def orders(self, scopes: Sequence[str]) -> Orders | None:
        """Return the strongest word on orders among the halts of ``scopes``; None without one."""
        with self._lock, self._held(fcntl.LOCK_SH, READ_WAIT_S):
            said = [found.orders for scope in scopes if (found := self._pressed(scope))]
        return next((word for word in _STRONGEST_FIRST if word in said), None)

    def lift(self, scope: str, *, epoch: int) -> bool:
        """Lift the halt of ``scope`` if its epoch is ``epoch``; a newer one stays."""
        parse_scope(scope)
        with self._lock, self._held(fcntl.LOCK_EX, WRITE_WAIT_S):
            index = self._find(scope)
            found = self._pressed(scope)
            if index is None or found is None or found.epoch != epoch:
                return False
            base = _HEADER + index * _SLOT
            self._words[base + _STATE] = _LIFTED
            lifted = self._words[base + _EPOCH] == epoch
            if not lifted:  # a halt of everything came in between, without the lock
                self._words[base + _STATE] = _PRESSED
            self._publish(1)
            return lifted

    def at_least(self, epoch: int) -> None:
        """Never give an epoch up to ``epoch`` again: the record, or another host, has used it."""
        with self._lock, self._held(fcntl.LOCK_EX, WRITE_WAIT_S):
            if epoch > self.epoch():
                self._words[EPOCH_WORD] = epoch
                self._map.flush()

    def _store(
        self, index: int, scope: str, epoch: int | None, orders: Orders, *, locked: bool
    ) -> int:
        """Write one slot, its state last, so that a torn write is never a lift."""
        words, base, slot = self._words, _HEADER + index * _SLOT, self._slot(index)
        same = slot[:4] == self._key(scope)
        if epoch is not None and same and epoch < slot[_EPOCH]:
            return slot[_EPOCH]
        chosen = epoch if epoch is not None else self.epoch() + 1
        words[EPOCH_WORD] = max(chosen, self.epoch())
        for offset, word in enumerate(self._key(scope)):
            words[base + offset] = word
        words[base + _EPOCH] = chosen
        words[base + _TIME] = time.time_ns()
        words[base + _ORDERS] = ORDERS.index(orders)
        words[base + _STATE] = _PRESSED
        self._publish(1 if locked else _JUMP)
        return chosen

    def _publish(self, step: int) -> None:
        self._words[CHANGES_WORD] += step
        self._map.flush()

    def _find(self, scope: str) -> int | None:
        """Return the slot of ``scope``, else one it may take; None when the table is full."""
        if scope == "all":
            return 0
        key, reusable = self._key(scope), None
        for step in range(_SLOTS - 1):
            index = 1 + (key[0] + step) % (_SLOTS - 1)
            slot = self._slot(index)
            if slot[_STATE] == _FREE:
                return index if reusable is None else reusable
            if slot[:4] == key:
                return index
            if slot[_STATE] == _LIFTED and reusable is None:
                reusable = index
        return reusable

    def _pressed(self, scope: str) -> Pressed | None:
        index = self._find(scope)
        if index is None:
            return None
        slot = self._slot(index)
        mine = index == 0 or slot[:4] == self._key(scope)
        return _of(scope, slot) if mine and slot[_STATE] == _PRESSED else None

    def _slot(self, index: int) -> tuple[int, ...]:
        base = _HEADER + index * _SLOT
        return tuple(self._words[base : base + _SLOT])

    def _key(self, scope: str) -> tuple[int, ...]:
        return self._keys.get(scope) or self._keys.setdefault(scope, _key(scope))

    @contextlib.contextmanager
    def _writing(self, scope: str) -> Iterator[bool]:
        """Hold the writer's lock, yielding True; a halt of everything goes on without: False."""
        locked = self._acquire(fcntl.LOCK_EX, ALL_WAIT_S if scope == "all" else WRITE_WAIT_S)
        if not locked and scope != "all":
            raise _unreadable(self.path, "another process holds its lock")
        try:
            yield locked
        finally:
            if locked:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _held(self, how: int, wait_s: float) -> Iterator[None]:
        if not self._acquire(how, wait_s):
            raise _unreadable(self.path, "another process holds its lock")
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _acquire(self, how: int, wait_s: float) -> bool:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL_S)
            except OSError as error:
                raise _unreadable(self.path, "its file system has no locks") from error
            else:
                return True


def _make(path: Path, halted: Mapping[str, int]) -> None:
    """Write a new latch aside and link it into place: nobody sees a half one, one maker wins."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    header = struct.pack("<5q", MAGIC, FORMAT, 1, 0, 0)
    try:
        descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, SIZE)
            os.write(descriptor, header)
            with Latch(aside, os.dup(descriptor)) as latch:
                for scope, epoch in halted.items():
                    latch.press(scope, epoch=epoch)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    except OSError as error:
        raise _unreadable(path, f"it cannot be made: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)


def _of(scope: str, slot: Sequence[int]) -> Pressed:
    word = slot[_ORDERS]
    orders = ORDERS[word] if 0 <= word < len(ORDERS) else ORDERS[0]
    return Pressed(scope, slot[_EPOCH], slot[_TIME], orders)


def _key(scope: str) -> tuple[int, ...]:
    return struct.unpack("<4q", hashlib.sha256(scope.encode()).digest())


def _boottime_ns() -> int:
    """Return nanoseconds that go on during suspend, where the machine counts them."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _unreadable(path: Path, why: str) -> LatchUnreadableError:
    return LatchUnreadableError(
        f"The halt latch {path.name!r} cannot be trusted: {why}.",
        hint="Whatever mutates is halted. Stop the suite; at its next start the latch is rebuilt.",
        file=path.name,
        why=why,
    )


if __name__ == "__main__":  # the command stands above this module, so it is run, not imported
    runpy.run_module("topology.breakglass", run_name="__main__")
