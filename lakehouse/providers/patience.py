"""Asking again: bounded attempts, growing pauses, ``Retry-After``, then one clear error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from lakehouse.errors import ProviderError
from topology.frames import Progress
from topology.sources import Bounds

LONGEST_WAIT_S = 300.0
"""Who asks for a longer pause is not waited for: the run would hold a worker for nothing."""
_SLICE_S = 0.2
T = TypeVar("T")

ADVICE = {
    "status_401": "Check the credential that the topology names for it, and what it may read.",
    "status_403": "Check the credential that the topology names for it, and what it may read.",
    "status_404": "Check the address in the topology, and that the vendor knows the symbol.",
    "status_429": "Lower bounds.per_second in the topology, or try again later.",
    "html": "It may be down, or want a sign-in: look at the address and the credential.",
    "too_large": "Ask for smaller pages, or raise bounds.page_bytes in the topology.",
    "timeout": "Try again later, ask for less at once, or raise bounds.timeout_s in the topology.",
    "content": "Compare what it answers with how the topology describes it.",
    "tls": "Its certificate cannot be trusted: nothing was sent. Check the address.",
}
_LATER = "Try again later: what was fetched before is fetched again then."


class UnusableError(Exception):
    """One attempt failed: a short ``reason``, a sentence, and whether another one may help."""

    def __init__(
        self,
        reason: str,
        sentence: str,
        *,
        again: bool,
        status: int | None = None,
        after_s: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.reason, self.sentence, self.again = reason, sentence, again
        self.status, self.after_s = status, after_s


class Patience:
    """Paces and repeats the requests to one source; ``progress`` is asked before and in pauses."""

    def __init__(self, name: str, bounds: Bounds, progress: Progress | None) -> None:
        self._name, self._bounds, self._progress = name, bounds, progress
        self._next = 0.0

    def ask(self, what: str, attempt: Callable[[], T]) -> T:
        """Return what ``attempt`` returns, or raise ``provider_error`` when it stays unusable.

        ``what`` names the request in words that hold no secret.
        """
        for number in range(1, self._bounds.attempts + 1):
            self._wait(self._next - time.monotonic())
            self._next = time.monotonic() + 1 / self._bounds.per_second
            try:
                return attempt()
            except UnusableError as error:
                pause = self._pause(number, error)
                if pause is None:
                    raise self._given_up(what, number, error) from error
                self._wait(pause)
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, number: int, error: UnusableError) -> float | None:
        """Return how long to wait after an attempt, or None where it was the last."""
        if not error.again or number >= self._bounds.attempts:
            return None
        pause = self._bounds.wait_s * 2.0 ** (number - 1)
        pause = max(pause, error.after_s or 0.0)
        return pause if pause <= LONGEST_WAIT_S else None

    def _wait(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while True:
            if self._progress is not None:
                self._progress.checkpoint()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _SLICE_S))

    def _given_up(self, what: str, attempts: int, error: UnusableError) -> ProviderError:
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        facts: dict[str, Any] = {"status": error.status, "retry_after_s": error.after_s}
        return ProviderError(
            f"{self._name!r} gave nothing usable for {what} in {times}: {error.sentence}",
            hint=f"Nothing was written. {ADVICE.get(error.reason, _LATER)}",
            provider=self._name,
            reason=error.reason,
            attempts=attempts,
            **{name: value for name, value in facts.items() if value is not None},
        )
