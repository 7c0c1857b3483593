"""Turn what an engine printed into one error that says what to do."""

from __future__ import annotations

from pathlib import Path

from topology.errors import EngineError, HomeError

_CURES = (
    ("No space left on device", "The disk is full: free some space, then start again."),
    ("Disk quota exceeded", "Your disk quota is used up: free some space, then start again."),
    ("Read-only file system", "The file system is read-only: set ALPHASWARM_HOME elsewhere."),
    ("Permission denied", "Give yourself write permission, or set ALPHASWARM_HOME elsewhere."),
    (
        "could not look up effective user ID",
        "Your account has no name on this machine: give it an entry in the passwd file.",
    ),
    (
        "could not create shared memory segment",
        "This machine is out of shared memory: stop other databases or raise the limit.",
    ),
    (
        "Bad file format reading the append only file",
        "The queue's file is damaged. It holds only hints: move the home's valkey folder away.",
    ),
)
_HOMES = 4


def failed(engine: str, what: str, said: str, log: Path | None = None) -> EngineError | HomeError:
    """Return the error for an engine that ``what`` (a verb), with the tail of what it ``said``."""
    tail = [line.strip() for line in said.splitlines() if line.strip()][-8:]
    cures = [(index, cure) for index, (words, cure) in enumerate(_CURES) if words in said]
    look = f"Read {log.name} in the home's logs folder." if log else "See the lines it printed."
    message = f"The embedded {engine} {what}."
    if cures and cures[0][0] < _HOMES:
        return HomeError(message, hint=cures[0][1], engine=engine, said=tail)
    return EngineError(message, hint=cures[0][1] if cures else look, engine=engine, said=tail)
