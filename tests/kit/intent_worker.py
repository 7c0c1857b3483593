"""A process that submits a run as a tool does, and dies at its n-th word with the database.

A word is a statement or a commit, before and after: whatever happens between two of them is seen
by nobody else.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from ledger.intents import intending
from ledger.pool import open_pool
from runtimes import dispatch
from runtimes.specs.base import parse
from topology.canonical import sha256
from topology.clock import SystemClock
from topology.principal import Principal

QUEUE = "batch"


def dying(name: str, tick: Callable[[], None]) -> None:
    """Make every call of a method of psycopg's connection tick, before and after."""
    method = getattr(psycopg.Connection, name)

    def ticking(self: Any, *arguments: Any, **keywords: Any) -> Any:
        tick()
        answer = method(self, *arguments, **keywords)
        tick()
        return answer

    setattr(psycopg.Connection, name, ticking)


def submit_and_die(dsn: str, name: str, by: str, death: int) -> None:
    """Intend, submit, record the outcome; SIGKILL at the ``death``-th tick."""
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == death:
            os.kill(os.getpid(), signal.SIGKILL)

    with closing(open_pool(dsn, name="dying", max_size=1)) as pool:
        with pool.connection():
            pass  # what the pool itself says when it connects is no step of ours
        dying("execute", tick)
        dying("commit", tick)
        submit(pool, name, by)


def submit(pool: Any, name: str, by: str) -> str:
    """Submit a pass of maintenance as `tools.submitting` does; return its run."""
    spec = parse("data", {"task": "maintain", "name": name})
    with intending(
        pool,
        actor=by,
        action="maintain",
        target=f"spec:data/{name}",
        args_sha256=sha256(spec.body()),
        facts={"on_behalf_of": by},
    ):
        handle = dispatch.submit(
            pool,
            spec,
            principal=Principal(subject=by, client_id="tests"),
            queue=QUEUE,
            clock=SystemClock(),
        )
    return handle.run_id
