"""A result as bytes and back, without pickle: whoever opens a parcel runs nothing of its sender."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from runtimes.engine.arrays import Worth
from runtimes.engine.curve import Curve
from runtimes.engine.results import Columns, Result

TABLES = ("fills", "orders", "trades", "positions")
FACTS = "facts"


def packed(result: Result, **facts: Any) -> bytes:
    """Return the arrays of ``result`` as an npz with JSON ``facts``."""
    told = {"partial": result.partial, "warnings": result.warnings, "start": result.curve.start}
    arrays: dict[str, Any] = {"timestamps": result.timestamps}
    arrays |= {f"worth.{name}": c for name, c in result.curve.worth._asdict().items()}
    for table in TABLES:
        arrays |= {f"{table}.{name}": c for name, c in getattr(result, table).items()}
    arrays[FACTS] = np.frombuffer(json.dumps(told | facts).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked(parcel: bytes) -> tuple[Result, dict[str, Any]]:
    """Return the result and the facts of `packed`; bytes that are no parcel raise ValueError."""
    with np.load(io.BytesIO(parcel), allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    facts = json.loads(arrays[FACTS].tobytes())

    def part(name: str) -> Columns:
        mark = f"{name}."
        return {k.removeprefix(mark): v for k, v in arrays.items() if k.startswith(mark)}

    result = Result(
        timestamps=arrays["timestamps"],
        curve=Curve(Worth(**part("worth")), start=facts.pop("start")),
        warnings=tuple(facts.pop("warnings")),
        partial=facts.pop("partial"),
        **{table: part(table) for table in TABLES},
    )
    return result, facts
