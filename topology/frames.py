"""Progress frames, and the `Progress` that heavy code receives instead of the bus."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from topology import kinds

TERMINAL = frozenset({"done", "failed", "halted", "cancelled"})
KINDS = kinds.KINDS
"""The kinds of work that the ledger knows, each with spec versions and runs."""


class Frame(BaseModel):
    """One message of a task; extras (``seq`` first of all) stand beside the four fixed keys."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    task_id: str
    stage: str
    message: str
    timestamp: str
    seq: int = 0

    @property
    def extras(self) -> dict[str, Any]:
        """Return what the stage adds to the fixed keys."""
        return dict(self.model_extra or {})

    @property
    def terminal(self) -> bool:
        """Tell whether the task has ended with this frame."""
        return self.stage in TERMINAL


class Progress(Protocol):
    """What a long computation may do with the outside world."""

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Queue a frame; never blocks, never raises."""

    def checkpoint(self) -> None:
        """Return if the work may go on, else raise `HaltedError` or `LeaseLostError`."""
