"""What expressions are computed on: rows of symbols, one symbol after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Frame:
    """R rows of N symbols: those of symbol ``i`` are ``starts[i]`` to ``starts[i + 1]``.

    ``starts`` int64 (N + 1,); ``times`` int64 (R,), rising within a symbol; ``fields`` float32
    (R,) by name, NaN where there is no value. A window counts rows, with a value or without.
    ``member`` (R,) tells which rows count across symbols; None: all of them.
    """

    symbols: tuple[str, ...]
    starts: Ints
    times: Ints
    fields: Mapping[str, Array]
    member: Array | None = None

    @property
    def rows(self) -> int:
        """Return R."""
        return int(self.starts[-1])

    @cached_property
    def places(self) -> Ints:
        """Return (R,) each row's number within its symbol, from 0."""
        return np.arange(self.rows) - np.repeat(self.starts[:-1], np.diff(self.starts))

    @cached_property
    def places_left(self) -> Ints:
        """Return (R,) how many rows of its symbol follow each row."""
        return np.repeat(self.starts[1:], np.diff(self.starts)) - np.arange(self.rows) - 1

    def part(self, first: int, last: int) -> Frame:
        """Return the symbols ``first`` to ``last`` - 1, without copying."""
        rows = slice(int(self.starts[first]), int(self.starts[last]))
        return Frame(
            self.symbols[first:last],
            self.starts[first : last + 1] - self.starts[first],
            self.times[rows],
            {name: values[rows] for name, values in self.fields.items()},
            None if self.member is None else self.member[rows],
        )

    def since(self, begin: Ints) -> Frame:
        """Return the rows of each symbol ``i`` from its row ``begin[i]`` on."""
        kept = self.places >= np.repeat(begin, np.diff(self.starts))
        lengths = np.maximum(np.diff(self.starts) - begin, 0)
        return Frame(
            self.symbols,
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            self.times[kept],
            {name: values[kept] for name, values in self.fields.items()},
            None if self.member is None else self.member[kept],
        )


def dense(fields: Mapping[str, Array], *, symbols: Sequence[str] = ()) -> Frame:
    """Return arrays (T, N) as a frame in which every symbol has all T rows."""
    instants, columns = next(iter(fields.values())).shape
    return Frame(
        tuple(symbols) or tuple(str(i) for i in range(columns)),
        np.arange(columns + 1, dtype=np.int64) * instants,
        np.tile(np.arange(instants, dtype=np.int64), columns),
        {name: flat(values) for name, values in fields.items()},
    )


def flat(values: Array) -> Array:
    """Return (T, N) as float32 (N * T,), symbol after symbol."""
    return np.ascontiguousarray(values.T, dtype=np.float32).reshape(-1)


def square(values: Array, instants: int) -> Array:
    """Return (N * T,) of a `dense` frame as (T, N)."""
    return np.ascontiguousarray(values.reshape(-1, instants).T)
