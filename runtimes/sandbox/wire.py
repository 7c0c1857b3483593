"""What a cell and its keeper say to one another: frames with a length, JSON or rows of bars.

    to the cell      {"setup": ..} {"run": ..} R<rows> {"do": "on_bar"} {"value": ..} {"error": ..}
    from the cell    {"pid": .., "fences": [..]}, then ["done"] ["raised", {..}] [request, ..]

The keeper (`runtimes.sandbox.keeper`) takes whatever comes from a cell for an attack.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from runtimes.engine.arrays import Market

FIELDS = ("open", "high", "low", "close", "volume")
ROWS = b"R"
HEAD = struct.Struct("<I")
_ROWS = struct.Struct("<cqq")
PIECE = 2**20
"""Bytes of bars in one frame, about."""


def framed(payload: bytes) -> bytes:
    """Return a frame: the length, then the payload."""
    return HEAD.pack(len(payload)) + payload


def told(body: Any) -> bytes:
    """Return JSON as a frame; nan and infinity are written as Python does."""
    return framed(json.dumps(body).encode())


def rows(market: Market, start: int, stop: int) -> list[bytes]:
    """Return frames with the bars ``start`` to ``stop`` of ``market``."""
    symbols = market.close.shape[1]
    step = max(PIECE // (8 * (1 + len(FIELDS) * symbols)), 1)
    return [_rows(market, at, min(at + step, stop)) for at in range(start, stop, step)]


def _rows(market: Market, start: int, stop: int) -> bytes:
    columns = [getattr(market, field)[start:stop].tobytes() for field in FIELDS]
    times = market.timestamps[start:stop].tobytes()
    return framed(b"".join([_ROWS.pack(ROWS, start, stop), times, *columns]))


def lay(payload: bytes, market: Market) -> None:
    """Write the bars of a frame of `rows` into ``market``."""
    _, start, stop = _ROWS.unpack_from(payload)
    count, symbols = stop - start, market.close.shape[1]
    at = _ROWS.size
    market.timestamps[start:stop] = np.frombuffer(payload, np.int64, count, at)
    at += 8 * count
    for field in FIELDS:
        column = np.frombuffer(payload, np.float64, count * symbols, at)
        getattr(market, field)[start:stop] = column.reshape(count, symbols)
        at += column.nbytes
