"""What goes into the gateway and what comes out: plain JSON, so that it can be hashed and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from topology.errors import BadInputError, FaultError
from topology.models import Label

Mode = Literal["live", "record", "replay", "replay_or_live"]
"""``live`` keeps nothing (probes); ``record`` keeps the call; ``replay`` asks nobody."""


class BudgetExceededError(BadInputError):
    """The next call does not fit into what is left of a run's limits."""

    code = "budget_exceeded"


class ReplayError(FaultError):
    """The run asks for something else than its record holds at this place."""

    code = "replay_diverged"


class ModelSilentError(FaultError):
    """The model's server cannot be reached, says nothing for too long, or says too much."""

    code = "model_unresponsive"


class OutputInvalidError(BadInputError):
    """The model's answer broke the schema, and broke it again after a repair."""

    code = "output_invalid"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a run a call stands; ``occurrence`` tells equal requests of one step apart."""

    node: str
    step: int
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One question to the model ``alias`` of the topology.

    ``messages`` and ``tools`` have the shapes of the chat completions wire; they are never changed.
    ``output_schema`` (JSON Schema 2020-12) asks for one JSON value that fits it. ``max_tokens``
    bounds the answer and is what the budget reserves.
    """

    alias: str
    messages: Sequence[Mapping[str, Any]]
    place: Place
    max_tokens: int = 1024
    tools: Sequence[Mapping[str, Any]] = ()
    output_schema: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    fallbacks: tuple[str, ...] = ()
    label: Label = "proprietary"
    """The most confidential data in ``messages``."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call; ``estimated`` where the server did not count them."""

    prompt: int
    completion: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """The answer: ``message`` as the wire has it, ``text`` the whole response as it came."""

    message: Mapping[str, Any]
    finish: str
    usage: Usage
    cost: Decimal
    """US dollars."""
    alias: str
    origin: str
    request_sha256: str
    text: str
    latency_ms: float
    output: Any = None
    """The JSON value, where an ``output_schema`` was given."""
    replayed: bool = False

    @property
    def content(self) -> str:
        """Return the text of the answer."""
        return str(self.message.get("content") or "")


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call about to be made: its canonical request, and the most that it can use."""

    place: Place
    alias: str
    origin: str
    request: bytes
    request_sha256: str
    usage: Usage
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Kept:
    """A call as the record holds it; ``alias`` and ``origin`` are those that answered."""

    place: Place
    alias: str
    origin: str
    request: bytes
    request_sha256: str
    text: str
    usage: Usage
    cost: Decimal
    latency_ms: float


class Book(Protocol):
    """The record of a run's calls and its purse; every method may block for a few ms."""

    def find(self, place: Place) -> Kept | None:
        """Return the call that the cassette holds at ``place``."""
        ...

    def begin(self, wanted: Wanted) -> int:
        """Reserve what the call can use and write that it begins; return its attempt, from 1.

        Raises `BudgetExceededError` where the run, or one above it, has not that much left.
        """
        ...

    def settle(self, kept: Kept, attempt: int) -> None:
        """Write the answer and give back what was reserved and not used, in one transaction."""
        ...

    def fail(self, place: Place, attempt: int, *, code: str) -> None:
        """Write that the call brought no answer; its reservation stays spent."""
        ...

    def copy(self, kept: Kept) -> None:
        """Take a replayed call over into this run's own record; it costs nothing."""
        ...
