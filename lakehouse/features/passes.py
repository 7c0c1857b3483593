"""One part of a frame: every sub-expression once, in order, families of windows together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lakehouse.features import elements
from lakehouse.features.build import QLIB
from lakehouse.features.cross import FLAT
from lakehouse.features.families import KERNELS, Columns, Prepared, deviations, prepared
from lakehouse.features.frame import Array, Frame
from lakehouse.features.operators import OPERATORS
from lakehouse.features.plan import Request, families, requests
from lakehouse.features.reach import window_of
from lakehouse.features.syntax import FIELD, NUMBER, Node

FLAT_QLIB = 2e-5
"""Qlib calls a window flat below this deviation, whatever the scale of its values."""


def computed(node: Node) -> bool:
    """Tell whether the node is a series: neither a constant nor a name."""
    return node.kind in ("number", "condition")


class Pass:
    """Computes the wanted expressions of one part; what nothing needs any more is dropped."""

    def __init__(self, frame: Frame, semantics: str, wanted: Mapping[str, Node]) -> None:
        self._frame = frame
        self._semantics = semantics
        self._wanted = wanted
        self._values: dict[str, Array] = {}
        self._wide: dict[str, Array] = {}
        self._prepared: dict[str, Prepared] = {}
        self._families: dict[tuple[str, tuple[str, ...]], Columns] = {}

    def run(self, given: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """Yield each wanted name with its values; ``given`` texts are fields of the frame."""
        order = _order(self._wanted.values(), given)
        self._asked = families((n for n in order if n.text not in given), self._semantics)
        uses = Counter(a.text for node in order if node.text not in given for a in node.args)
        names: dict[str, list[str]] = {}
        for name, node in self._wanted.items():
            names.setdefault(node.text, []).append(name)
        for node in order:
            if not computed(node):
                continue
            given_here = node.text in given
            values = self._frame.fields[node.text] if given_here else self._value(node)
            for name in names.get(node.text, ()):
                yield name, values
            self._values[node.text] = values
            for argument in () if given_here else node.args:
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
        table = elements.UNARY if len(args) == 1 else elements.BINARY
        return elements.whole(table[node.op](*args))

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
        own, *beside = [self._column(request) for request in requests(node, self._semantics)]
        if not beside or node.op == "Mad":
            return own
        return np.where(self._flat(beside), np.nan, own)

    def _flat(self, beside: Sequence[Array]) -> Array:
        """Tell which windows are flat, by deviation or by deviation and mean of each input."""
        if self._semantics == QLIB:
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
        asked, starts = self._asked[request.family], self._frame.starts
        if request.kernel == "counts":
            there = ~np.isnan(self._values[request.inputs[0]].astype(np.float64))
            return KERNELS["counts"]([prepared(there, starts)], starts, asked)
        inputs = [self._input(text) for text in request.inputs]
        if request.kernel == "deviations":
            self._column(Request("totals", request.inputs, "MEAN", request.window))
            means = self._families["totals", request.inputs]
            return deviations(inputs[0], means, starts, asked)
        return KERNELS[request.kernel](inputs, starts, asked)

    def _input(self, text: str) -> Prepared:
        if text not in self._prepared:
            self._prepared[text] = prepared(self._values[text], self._frame.starts)
        return self._prepared[text]


def _order(nodes: Iterable[Node], given: Mapping[str, Array]) -> list[Node]:
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
