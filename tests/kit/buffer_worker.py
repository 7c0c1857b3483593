"""A feeder in a process of its own, to be killed: asks where the stream is, and goes on."""

from __future__ import annotations

import time
from contextlib import closing

import pyarrow as pa

from lakehouse.buffer import Target, open_stream
from lakehouse.lake import open_lake
from ledger.appends import Appends
from ledger.pool import open_pool
from tests.kit.lake import FILLS, SPEC, Silent, fills
from topology.clock import SystemClock

RUN = "01k00000000000000000000000"


def one(number: int) -> pa.Table:
    """Return one fill with this order id."""
    rows = fills(RUN, 1)
    place = rows.column_names.index("order_id")
    return rows.set_column(place, "order_id", pa.array([number]))


def feed(uri: str, warehouse: str, dsn: str, rows: int) -> None:
    """Give the stream fills 0, 1, 2, ..., each marked by its number, from where the table is."""
    with closing(open_pool(dsn, name="feeder", max_size=2)) as pool:
        target = Target(open_lake(uri, warehouse), Appends(pool, dsn), FILLS, RUN, SPEC)
        with open_stream(
            "fills", target, progress=Silent(), clock=SystemClock(), rows=40, age_s=0.2
        ) as stream:
            start = 0 if stream.durable is None else int(stream.durable) + 1
            for number in range(start, rows):
                stream.write(one(number), upto=f"{number}")
                time.sleep(0.0005)
