"""The lease of one claimed run: renewed by a thread, and lost without asking anybody.

A stopped process (SIGSTOP, a laptop's lid) wakes up with a lease that ended: `lost` compares the
monotonic clock, so the first look after waking already says so.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from ledger import runs
from ledger.pool import Pool
from topology.clock import Clock
from topology.errors import StoreUnreachableError

LOOK_S = 1.0
"""How often a request to cancel is looked for, in seconds."""

_log = logging.getLogger(__name__)


class Lease:
    """Keeps a claim while the ``with`` block runs; renewed at a third of ``lease_s``."""

    def __init__(self, pool: Pool, claim: runs.Claim, *, clock: Clock, lease_s: float) -> None:
        self._pool = pool
        self._claim = claim
        self._clock = clock
        self._lease_s = lease_s
        self._renewed = clock.monotonic()
        self._taken = threading.Event()
        self._cancel = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Tell whether the run may be another worker's by now."""
        return self._taken.is_set() or self._clock.monotonic() - self._renewed > self._lease_s

    @property
    def cancel_requested(self) -> bool:
        """Tell whether somebody asked that the run should end."""
        return self._cancel.is_set()

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join(timeout=LOOK_S)

    def _keep(self) -> None:
        pause = min(LOOK_S, self._lease_s / 6)
        while not self._end.wait(pause) and not self._taken.is_set():
            try:
                self.look()
            except StoreUnreachableError as error:
                _log.warning("the lease of %s waits: %s", self._claim.run.run_id, error)

    def look(self) -> None:
        """Ask once whether the run is still ours and wanted; renew when a third has passed.

        A ledger that does not answer raises, and leaves the lease to run out by itself.
        """
        signals = runs.signals(self._pool, self._claim)
        if signals.cancel_requested:
            self._cancel.set()
        asked = self._clock.monotonic()
        if signals.mine and asked - self._renewed < self._lease_s / 3:
            return
        if signals.mine and runs.renew(self._pool, self._claim, lease_s=self._lease_s):
            self._renewed = asked
        else:
            self._taken.set()
