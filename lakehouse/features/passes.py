"""One part of a frame: every sub-expression once, in order, families of windows together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lakehouse.features import elements
from lakehouse.features.build import QLIB
from lakehouse.features.cross import FLAT
from lakehouse.features.families import KERNELS, Columns, Prepared, deviations, prepared
from lakehouse.features.frame import Array, Frame
from lakehouse.features.operators import OPERATORS
from lakehouse.features.plan import Family, Request, families, requests
from lakehouse.features.reach import window_of
from lakehouse.features.syntax import FIELD, NUMBER, Node

FLAT_QLIB = 2e-5
"""Qlib calls a window flat below this deviation, whatever the scale of its values."""


def computed(node: Node) -> bool:
    """Tell whether the node is a series: neither a constant nor a name."""
    return node.kind in ("number", "condition")


@dataclass(frozen=True)
class Program:
    """What computing the ``wanted`` expressions takes, whatever the rows: made once for all parts.

    ``order`` has arguments before what uses them; nodes whose texts are ``given`` are columns of
    the frame, and nothing below them is computed. ``uses`` counts who needs a node.
    """

    wanted: Mapping[str, Node]
    given: frozenset[str]
    semantics: str

    @cached_property
    def order(self) -> list[Node]:
        """Return every series to compute or to take, once."""
        return [node for node in _order(self.wanted.values(), self.given) if computed(node)]

    @cached_property
    def uses(self) -> Counter[str]:
        """Return by how many others each node is used."""
        made = [node for node in self.order if node.text not in self.given]
        return Counter(argument.text for node in made for argument in node.args)

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """Return the wanted names by the text of their node."""
        found: dict[str, list[str]] = {}
        for name, node in self.wanted.items():
            found.setdefault(node.text, []).append(name)
        return found

    @cached_property
    def requests(self) -> dict[str, list[Request]]:
        """Return the columns of each windowed node by its text."""
        made = [node for node in self.order if node.text not in self.given]
        return {node.text: requests(node, self.semantics) for node in made}

    @cached_property
    def families(self) -> dict[tuple[str, tuple[str, ...]], Family]:
        """Return what each pass over the rows is asked for."""
        return families(self.requests.values())

    def prepare(self) -> None:
        """Work all of it out before threads share it."""
        _ = self.order, self.uses, self.names, self.families


class Room:
    """Arrays that one part leaves to the next: asking the system for pages costs more than sums."""

    def __init__(self) -> None:
        self._held: dict[object, Array] = {}

    def take(self, key: object, shape: tuple[int, ...], kind: DTypeLike = np.float64) -> Array:
        """Return an array of this shape, the memory of the last one of this key where it fits."""
        size = math.prod(shape)
        held = self._held.get(key)
        if held is None or held.size < size or held.dtype != kind:
            held = self._held[key] = np.empty(size, dtype=kind)
        return held[:size].reshape(shape)

    def kind(self, key: object) -> DTypeLike | None:
        """Return the type of the last array of this key."""
        held = self._held.get(key)
        return None if held is None else held.dtype


class Pass:
    """Runs a program on one part; what nothing needs any more is dropped.

    Values live in ``room`` until the next part: whoever keeps them copies them.
    """

    def __init__(self, frame: Frame, program: Program, room: Room) -> None:
        self._frame = frame
        self._room = room
        self._program = program
        self._values: dict[str, Array] = {}
        self._wide: dict[str, Array] = {}
        self._prepared: dict[str, Prepared] = {}
        self._families: dict[tuple[str, tuple[str, ...]], Columns] = {}

    def run(self) -> Iterator[tuple[str, Array]]:
        """Yield each wanted name with its values."""
        program, uses = self._program, Counter(self._program.uses)
        for node in program.order:
            given = node.text in program.given
            values = self._frame.fields[node.text] if given else self._value(node)
            for name in program.names.get(node.text, ()):
                yield name, values
            self._values[node.text] = values
            for argument in () if given else node.args:
                uses[argument.text] -= 1
                if not uses[argument.text]:
                    self._values.pop(argument.text, None)

    def _value(self, node: Node) -> Array:
        if node.op == FIELD:
            return self._frame.fields[str(node.value)]
        operator = OPERATORS[node.op]
        if operator.windows == "shift":
            return self._shift(node)
        if operator.family in ("rolling", "pair rolling"):
            return self._window(node)
        args = self._together(node.args)
        if operator.family == "choice":
            return elements.whole(np.where(*args))
        return self._element(node, args)

    def _element(self, node: Node, args: list[Any]) -> Array:
        table = elements.UNARY if len(args) == 1 else elements.BINARY
        if (kind := self._room.kind(node.text)) is not None:
            out = self._room.take(node.text, (self._frame.rows,), kind)
            return table[node.op](*args, out=out)
        values = elements.whole(table[node.op](*args))
        if values.dtype != np.bool_:
            self._room.take(node.text, values.shape, values.dtype)
        return values

    def _together(self, args: Sequence[Node]) -> list[Any]:
        """Return arguments of one precision: float32 beside float64 is widened once for all."""
        values: list[Any] = [a.value if a.op == NUMBER else self._values[a.text] for a in args]
        kinds = {value.dtype.char for value in values if isinstance(value, np.ndarray)}
        if kinds != {"f", "d"}:
            return values
        for place, node in enumerate(args):
            if isinstance(values[place], np.ndarray) and values[place].dtype.char == "f":
                if node.text not in self._wide:
                    self._wide[node.text] = values[place].astype(np.float64)
                values[place] = self._wide[node.text]
        return values

    def _shift(self, node: Node) -> Array:
        x = self._values[node.args[0].text]
        before = elements.shifted(x, int(window_of(node)), self._frame)
        return before if node.op == "Ref" else x - before

    def _window(self, node: Node) -> Array:
        own, *beside = [self._column(request) for request in self._program.requests[node.text]]
        if not beside or node.op == "Mad":
            return own
        return np.where(self._flat(beside), np.nan, own)

    def _flat(self, beside: Sequence[Array]) -> Array:
        """Tell which windows are flat, by deviation or by deviation and mean of each input."""
        if self._program.semantics == QLIB:
            flat = [deviation <= FLAT_QLIB for deviation in beside]
        else:
            flat = [
                deviation <= FLAT * np.abs(mean)
                for deviation, mean in zip(beside[::2], beside[1::2], strict=True)
            ]
        whole: Array = np.logical_or.reduce(flat)
        return whole

    def _column(self, request: Request) -> Array:
        if request.family not in self._families:
            self._families[request.family] = self._family(request)
        return self._families[request.family][request.mode, request.window]

    def _family(self, request: Request) -> Columns:
        asked, starts = self._program.families[request.family], self._frame.starts
        empty = partial(self._room.take, request.family)
        if request.kernel == "counts":
            there = ~np.isnan(self._values[request.inputs[0]].astype(np.float64))
            return KERNELS["counts"]([prepared(there, starts)], starts, asked, empty)
        inputs = [self._input(text) for text in request.inputs]
        if request.kernel == "deviations":
            self._column(Request("totals", request.inputs, "MEAN", request.window))
            means = self._families["totals", request.inputs]
            return deviations(inputs[0], means, starts, asked, empty)
        return KERNELS[request.kernel](inputs, starts, asked, empty)

    def _input(self, text: str) -> Prepared:
        if text not in self._prepared:
            self._prepared[text] = prepared(self._values[text], self._frame.starts)
        return self._prepared[text]


def _order(nodes: Iterable[Node], given: Collection[str]) -> list[Node]:
    """Return every node that must be computed, arguments first; nothing below a given one."""
    seen: set[str] = set()
    found: list[Node] = []
    waiting = [(node, False) for node in reversed(list(nodes))]
    while waiting:
        node, ready = waiting.pop()
        if node.text in seen:
            continue
        if ready or not node.args or node.text in given:
            seen.add(node.text)
            found.append(node)
        else:
            waiting.append((node, True))
            waiting.extend((argument, False) for argument in reversed(node.args))
    return found
