"""Evaluates feature sets on frames: every sub-expression once, families of windows together.

Symbols are cut into parts that fit the cache and are spread over threads; operators across
symbols wait for all parts. How a frame is cut never changes a value.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from lakehouse.features.cross import CROSS, of_symbol
from lakehouse.features.featureset import FeatureSet
from lakehouse.features.frame import Array, Frame, Ints, dense, square
from lakehouse.features.operators import OPERATORS
from lakehouse.features.passes import Pass, Program, Room, computed
from lakehouse.features.syntax import Node
from topology.errors import UnknownNameError, did_you_mean, nearest

PART = 8_192
"""Rows of a part: its columns stay in the second cache from one step to the next."""
Checkpoint = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Values:
    """The result: ``columns`` float32 (R,) by name, of the rows of ``frame``."""

    frame: Frame
    columns: Mapping[str, Array]


def evaluate(
    features: FeatureSet,
    frame: Frame,
    *,
    first: Ints | None = None,
    threads: int = 1,
    checkpoint: Checkpoint = lambda: None,
) -> Values:
    """Return every feature and label on the frame's rows from ``first`` on, as float32.

    ``first`` (N,) is each symbol's first row of interest; rows before it are look-back only
    (default: none are). ``checkpoint`` is called between parts and may raise. A field or a symbol
    that the frame lacks raises ``unknown_name``.
    """
    _refuse_missing(features, frame)
    begin = np.zeros(len(frame.symbols), dtype=np.int64) if first is None else first
    shown = frame if first is None else frame.since(begin)
    columns: dict[str, Array] = {}
    for back, nodes in features.anchors.items():
        part, skipped = frame, begin
        if back is not None:
            part = frame.since(np.maximum(begin - back, 0))
            skipped = np.minimum(begin, back)
        kept = part.places >= np.repeat(skipped, np.diff(part.starts))
        job = _Job(features.semantics, threads, checkpoint)
        for name, values in job.run(nodes, part).items():
            columns[name] = values if kept.all() else values[kept]
    return Values(shown, {name: columns[name] for name in features.names})


def evaluate_panel(
    features: FeatureSet, fields: Mapping[str, Array], *, threads: int = 1
) -> dict[str, Array]:
    """Return every feature as float32 (T, N) from fields (T, N); windows count all T rows."""
    frame = dense(fields)
    instants = next(iter(fields.values())).shape[0]
    found = evaluate(features, frame, threads=threads)
    return {name: square(values, instants) for name, values in found.columns.items()}


def _refuse_missing(features: FeatureSet, frame: Frame) -> None:
    for name in sorted(features.fields):
        if name not in frame.fields:
            raise UnknownNameError(
                f"The data have no field ${name}.",
                hint=did_you_mean(name, frame.fields),
                value=name,
                nearest=nearest(name, frame.fields),
            )
    for symbol in sorted(features.symbols):
        if symbol not in frame.symbols:
            raise UnknownNameError(
                f"The data have no symbol {symbol!r}, which an expression names.",
                hint=did_you_mean(symbol, frame.symbols),
                value=symbol,
                nearest=nearest(symbol, frame.symbols),
            )


@dataclass(frozen=True, slots=True)
class _Job:
    semantics: str
    threads: int
    checkpoint: Checkpoint

    def run(self, nodes: Mapping[str, Node], frame: Frame) -> dict[str, Array]:
        """Return each expression as float32 (R,); operators across symbols level by level."""
        given: dict[str, Array] = {}
        for level in _levels(nodes.values()):
            wanted = {arg.text: arg for node in level for arg in node.args if computed(arg)}
            found = self._spread(wanted, frame, given, np.float64)
            for node in level:
                given[node.text] = _across(node, frame, found)
        return self._spread(nodes, frame, given, np.float32)

    def _spread(
        self,
        wanted: Mapping[str, Node],
        frame: Frame,
        given: Mapping[str, Array],
        kind: type[np.floating],
    ) -> dict[str, Array]:
        """Return the wanted columns of the whole frame, part by part, in threads."""
        whole = replace(frame, fields={**frame.fields, **given})
        program = Program(wanted, frozenset(given), self.semantics)
        program.prepare()
        keep = kind is np.float64
        out = {
            name: np.empty(frame.rows, bool if keep and node.kind == "condition" else kind)
            for name, node in wanted.items()
        }

        rooms = threading.local()

        def one(bounds: tuple[int, int]) -> None:
            self.checkpoint()
            rooms.mine = room = getattr(rooms, "mine", None) or Room()
            part = whole.part(*bounds)
            rows = slice(int(frame.starts[bounds[0]]), int(frame.starts[bounds[1]]))
            with np.errstate(all="ignore"):
                for name, values in Pass(part, program, room).run():
                    out[name][rows] = values

        parts = _parts(frame.starts)
        if self.threads == 1 or len(parts) == 1:
            for bounds in parts:
                one(bounds)
        else:
            with ThreadPoolExecutor(self.threads, thread_name_prefix="features") as pool:
                list(pool.map(one, parts))
        return out


def _levels(nodes: Iterable[Node]) -> list[list[Node]]:
    """Return the nodes across symbols, those that need no other one first."""
    level: dict[str, int] = {}
    found: dict[int, dict[str, Node]] = {}
    for root in nodes:
        for node in root.walk():
            below = max((level[argument.text] for argument in node.args), default=0)
            crosses = node.op in OPERATORS and OPERATORS[node.op].family in ("cross", "symbol")
            level[node.text] = below + crosses
            if crosses:
                found.setdefault(below, {})[node.text] = node
    return [list(found[below].values()) for below in sorted(found)]


def _across(node: Node, frame: Frame, found: Mapping[str, Array]) -> Array:
    """Return an operator across symbols of arguments that are computed."""
    slots = OPERATORS[node.op].arguments
    args = dict(zip(slots, node.args, strict=False))
    if "symbol" in args:
        return of_symbol(frame, str(args["symbol"].value), found[args["x"].text])
    values = [found[a.text].astype(np.float64) if computed(a) else a.value for a in node.args]
    with np.errstate(all="ignore"):
        return CROSS[node.op](frame, *values)


def _parts(starts: Ints) -> list[tuple[int, int]]:
    """Cut symbols into runs of about `PART` rows."""
    parts: list[tuple[int, int]] = []
    begin = 0
    for i in range(1, starts.size):
        if i == starts.size - 1 or starts[i + 1] - starts[begin] > PART:
            parts.append((begin, i))
            begin = i
    return parts
