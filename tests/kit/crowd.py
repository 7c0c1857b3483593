"""What the processes of a crowd do; imports little, because eight of them start at once."""

from __future__ import annotations

from typing import Any

from ledger import specs
from ledger.pool import open_pool, transaction


def lock_many(dsn: str, worker: int, turns: int, barrier: Any) -> None:
    """Lock, per turn, one spec that every worker locks and one that only this one does."""
    pool = open_pool(dsn, name="crowd", max_size=1)
    barrier.wait(timeout=60)
    for turn in range(turns):
        for body in ({"turn": turn}, {"turn": turn, "worker": worker}):
            with transaction(pool) as connection:
                specs.lock(connection, "backtest", {"name": "crowd", **body}, by="crowd")
    pool.close()
