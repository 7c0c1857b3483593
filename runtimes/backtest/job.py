"""What a strategy's own process is asked to simulate, as bytes and back, without pickle."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np

from runtimes.engine.arrays import Conditions, Market
from runtimes.engine.lean.data import LeanData
from runtimes.strategies.base import Flags, Reading, Told

WORDS = 3
BAR, LATCH, STOP = range(WORDS)
"""Words of the shared memory: the bar that is decided, the kernel's latch, whether to stop."""
PLANNING, DONE, STARTING = -1, -2, -3
"""Values of `BAR` before the first bar, when no code of the strategy runs any more, or none yet."""
FACTS = "facts"
CELLS = b"cells"
"""Said before a job whose spec brings source: the process is to hold cells ready."""


@dataclass(frozen=True, slots=True)
class Job:
    """A spec's body, and its market or its bars by Lean's rules.

    ``until`` ends it before the decision of that traded bar. ``again`` holds arguments of
    `runtimes.engine.params.make` that differ from the spec's; ``noted`` asks for every call to the
    desk. ``memory_mb`` is what the strategy may take beyond the bars, ``cpu_s`` how much processor
    time source in the spec may use.
    """

    body: Mapping[str, Any]
    memory_mb: int
    market: Market | None = None
    symbols: tuple[str, ...] = ()
    first: int = 0
    conditions: Conditions | None = None
    member: Flags | None = None
    panels: Mapping[Reading, Told] = field(default_factory=dict)
    unadjusted: tuple[str, ...] = ()
    lean: LeanData | None = None
    until: int | None = None
    again: Mapping[str, Any] = field(default_factory=dict)
    noted: bool = False
    cpu_s: int = 600

    @property
    def has_source(self) -> bool:
        """Tell whether the spec brings source, which runs in a cell."""
        return self.body["strategy"].get("code") is not None


PLAIN = ("body", "memory_mb", "cpu_s", "symbols", "first", "unadjusted", "until", "again", "noted")


def written(job: Job) -> bytes:
    """Return the arrays of ``job`` as an npz, the rest as JSON in it."""
    arrays: dict[str, Any] = {}
    _put(arrays, "market", job.market)
    _put(arrays, "conditions", job.conditions)
    if job.member is not None:
        arrays["member"] = job.member
    facts: dict[str, Any] = {name: getattr(job, name) for name in PLAIN}
    facts["panels"] = [dataclasses.asdict(reading) for reading in job.panels]
    for place, told in enumerate(job.panels.values()):
        _put(arrays, f"panel{place}", told)
    if job.lean is not None:
        lean = job.lean
        _put(arrays, "lean", lean.market)
        facts["lean"] = [list(lean.symbols), lean.continuous, lean.every]
        for name in ("quotes", "actions"):
            if getattr(lean, name) is not None:
                arrays[f"lean_{name}"] = getattr(lean, name)
    arrays[FACTS] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read(parcel: bytes) -> Job:
    """Return the job of `written`."""
    with np.load(io.BytesIO(parcel), allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    facts: dict[str, Any] = json.loads(arrays[FACTS].tobytes())
    readings = [
        Reading(**{**each, "where": tuple(tuple(pair) for pair in each["where"])})
        for each in facts.pop("panels")
    ]
    lean = facts.pop("lean", None)
    return Job(
        **cast("Any", {n: tuple(v) if isinstance(v, list) else v for n, v in facts.items()}),
        market=_taken(arrays, "market", Market),
        conditions=_taken(arrays, "conditions", Conditions),
        member=arrays.get("member"),
        panels={r: Told(**_part(arrays, f"panel{i}")) for i, r in enumerate(readings)},
        lean=None
        if lean is None
        else LeanData(
            tuple(lean[0]),
            Market(**_part(arrays, "lean")),
            arrays.get("lean_quotes"),
            arrays.get("lean_actions"),
            continuous=lean[1],
            every=lean[2],
        ),
    )


def _put(arrays: dict[str, Any], mark: str, bundle: NamedTuple | None) -> None:
    if bundle is not None:
        arrays |= {f"{mark}.{name}": column for name, column in bundle._asdict().items()}


def _part(arrays: dict[str, Any], mark: str) -> dict[str, Any]:
    mark += "."
    return {k.removeprefix(mark): v for k, v in arrays.items() if k.startswith(mark)}


def _taken(arrays: dict[str, Any], mark: str, kind: Any) -> Any:
    part = _part(arrays, mark)
    return kind(**part) if part else None
