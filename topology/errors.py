"""The one error tree: a stable code, a sentence, a hint that says what to do, and facts.

Five branches tell the faces how to answer: bad input, a missing thing, a refused caller, a stop
asked for, and a fault of ours. Only the last is logged with a trace.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class AlphaSwarmError(Exception):
    """A failure that a user can read: ``code``, ``message``, ``hint`` and JSON ``facts``."""

    code: ClassVar[str] = "internal"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts
        self.wire_code = code or type(self).code

    def body(self) -> dict[str, Any]:
        """Return the error object of the public contract."""
        return {
            "code": self.wire_code,
            "message": self.message,
            "hint": self.hint,
            "facts": self.facts,
        }


class BadInputError(AlphaSwarmError):
    """The caller asked for something that cannot be."""

    code = "invalid_arguments"


class MissingError(AlphaSwarmError):
    """The thing asked for does not exist, or not for this caller."""

    code = "not_found"


class RefusedError(AlphaSwarmError):
    """The caller may not do this, or not yet."""

    code = "access_denied"


class HaltedError(AlphaSwarmError):
    """A halt covers this work; ``facts`` hold ``epoch`` and ``scope``."""

    code = "halted"


class FaultError(AlphaSwarmError):
    """Our fault or the machine's: a store is down, a worker is lost, a bug."""

    code = "internal"


class InvalidSpecError(BadInputError):
    """A spec does not validate; ``facts["errors"]`` lists path, value and problem."""

    code = "invalid_spec"


class UnknownNameError(BadInputError):
    """No member of a family has this name; ``facts`` hold the nearest ones."""

    code = "unknown_name"


class StoreUnreachableError(FaultError):
    """PostgreSQL, Valkey or the warehouse does not answer; ``facts["store"]`` names it."""

    code = "store_unreachable"


class LeaseLostError(FaultError):
    """The run belongs to another worker now; whatever this one still holds is discarded."""

    code = "worker_lost"


class TopologyError(BadInputError):
    """The topology is wrong; ``facts["errors"]`` lists file, line, column, path and problem."""

    code = "invalid_topology"


class HomeError(BadInputError):
    """The home cannot be used: read-only, full, foreign, or something stands in the way."""

    code = "home_unusable"


class BinaryMissingError(MissingError):
    """A program that we start is not on this machine; ``facts["binary"]`` names it."""

    code = "binary_missing"


class EngineError(FaultError):
    """An embedded engine does not start or stop; ``facts`` hold ``engine`` and the log's tail."""

    code = "engine_failed"


class EngineVersionError(BadInputError):
    """The data in the home belongs to another major version of the engine."""

    code = "engine_version"


class CredentialError(MissingError):
    """A credential reference resolves to nothing; only the reference is named, never a value."""

    code = "credential_missing"


class EgressDeniedError(RefusedError):
    """Nothing may leave for this place; ``facts["lines"]`` are what would allow it, if anything."""

    code = "egress_denied"


class LatchUnreadableError(FaultError):
    """The halt latch cannot be trusted: whatever mutates is halted, research waits."""

    code = "latch_unreadable"


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Return up to ``count`` known names that look like ``name``, best first."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` or, where nothing is near, the sorted choices."""
    choices = sorted(known)
    close = nearest(name, choices, count=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(choices)}." if choices else ""
