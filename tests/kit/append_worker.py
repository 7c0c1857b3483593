"""Writers in processes of their own, to be killed: what a worker does, and nothing else."""

from __future__ import annotations

import random
from contextlib import closing

from lakehouse.lake import Lake, open_lake
from lakehouse.write import append_arrow
from ledger.appends import Appends
from ledger.pool import open_pool
from tests.kit.faults import FILE_STEPS, FaultyLog, after_file, die
from tests.kit.lake import FILLS, SPEC, fills


def write_all(uri: str, warehouse: str, dsn: str, keys: list[str], seed: int) -> None:
    """Append the fills of every key, in an order of this process alone."""
    order = random.Random(seed).sample(keys, len(keys))
    lake = open_lake(uri, warehouse)
    with closing(open_pool(dsn, name=f"writer {seed}", max_size=2)) as pool:
        for key in order:
            write_one(lake, Appends(pool, dsn), key)


def write_one(lake: Lake, log: Appends | FaultyLog, key: str) -> str:
    """Append the fills of one key and return how it went."""
    receipt = append_arrow(
        "gold", FILLS, fills(key), key=key, run_id=key, spec_sha256=SPEC, log=log, lake=lake
    )
    assert receipt.rows == 100
    return receipt.how


def die_at(uri: str, warehouse: str, dsn: str, key: str, moment: str) -> None:
    """Append one key and die: after a file of the commit, or at a step of the log."""
    lake = open_lake(uri, warehouse)
    with closing(open_pool(dsn, name="doomed", max_size=2)) as pool:
        log = Appends(pool, dsn)
        if moment in FILE_STEPS:
            with after_file(moment, die):
                write_one(lake, log, key)
        else:
            write_one(lake, FaultyLog(log, {moment: die}), key)
