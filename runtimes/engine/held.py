"""The arrays of a simulation behind one number, for code that is called at every bar.

Handing sixty arrays to compiled code takes longer than a bar's work. So they are handed over once:
`hold` writes down where they are, and `held` builds the very same bundles from that, inside
compiled code, out of a number. Without the compiler the number is the bundle itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

from runtimes.engine.arrays import (
    Conditions,
    Fills,
    Floats,
    Ints,
    Market,
    Orders,
    Params,
    Records,
    State,
    Targets,
    Worth,
    frozen,
    new_state,
    new_worth,
    read_only,
    records,
    surrounded,
)
from runtimes.engine.compiled import apart, bare
from runtimes.engine.orders import new_book
from runtimes.engine.params import make


class Held(NamedTuple):
    """Everything that a bar needs: see `runtimes.engine.kernel.run` for what each one is."""

    first: int
    latch: Ints
    market: Market
    conditions: Conditions
    targets: Targets
    state: State
    book: Records
    scratch: Floats
    orders: Records
    fills: Records
    curve: Worth
    params: Params


def _sample() -> Held:
    """Return bundles of the types that every simulation has."""
    prices, around = np.ones((1, 1)), surrounded(None)
    return Held(
        first=0,
        latch=read_only(np.zeros(1, np.int64), np.int64),
        market=frozen(Market(np.zeros(1, np.int64), *[prices] * 5)),
        conditions=around._replace(actions=bare(around.actions), terms=bare(around.terms)),
        targets=Targets(read_only(np.zeros(0), np.int64), read_only(prices, np.float64)),
        state=new_state(1, cash=1.0),
        book=bare(new_book(1)),
        scratch=np.zeros(1),
        orders=bare(records(Orders, 1)),
        fills=bare(records(Fills, 1)),
        curve=new_worth(1),
        params=make(),
    )


KIND: Any = cast("Any", numba).typeof(_sample())
WORDS = 1_024
"""Room for the places and sizes of all arrays, in words; about half of it is used."""


class Handle:
    """A ``bundle`` and the ``number`` it goes by, good for as long as this object lives."""

    def __init__(self, bundle: Held) -> None:
        self.bundle, self._places = bundle, np.zeros(WORDS, np.int64)
        plain = vars(numba.config)["DISABLE_JIT"]
        self.number = cast("int", bundle) if plain else int(write_down(self._places, bundle))


def held(number: int) -> Held:
    """Return the bundles behind the ``number`` of a `Handle`, in compiled code without a copy."""
    return cast("Held", number)


@overload(held, jit_options={"forceinline": True})
def _held(number: Any) -> Any:
    def look(number: Any) -> Any:
        return look_up(number)

    return look


@apart
def write_down(places: Ints, bundle: Held) -> int:
    """Write what and where the arrays of ``bundle`` are into ``places``; return its address."""
    return int(keep(places, bundle))


WORD = ir.IntType(64)
TUPLE: Any = types.BaseTuple


def _write(context: Any, builder: Any, kind: Any, value: Any, at: Any) -> Any:
    """Store a number, the shape of an array or all of a tuple at ``at``; return what is behind."""
    if isinstance(kind, TUPLE):
        for place, part in enumerate(kind.types):
            at = _write(context, builder, part, builder.extract_value(value, place), at)
        return at
    if not isinstance(kind, types.Array):
        builder.store(value, builder.bitcast(at, value.type.as_pointer()))
        return _behind(builder, at)
    array = context.make_array(kind)(context, builder, value)
    own = (array.shape, array.strides)
    words = [builder.extract_value(part, i) for part in own for i in range(kind.ndim)]
    for word in (builder.ptrtoint(array.data, WORD), *words):
        builder.store(word, at)
        at = _behind(builder, at)
    return at


def _read(context: Any, builder: Any, kind: Any, at: Any) -> tuple[Any, Any]:
    """Return what `_write` stored at ``at``, arrays without an owner, and what is behind."""
    if isinstance(kind, TUPLE):
        values = []
        for part in kind.types:
            value, at = _read(context, builder, part, at)
            values.append(value)
        return context.make_tuple(builder, kind, values), at
    if not isinstance(kind, types.Array):
        pointer = builder.bitcast(at, context.get_value_type(kind).as_pointer())
        return builder.load(pointer), _behind(builder, at)
    words = []
    for _ in range(1 + 2 * kind.ndim):
        words.append(builder.load(at))
        at = _behind(builder, at)
    array = context.make_array(kind)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    cast("Any", populate_array)(
        array,
        data=builder.inttoptr(words[0], array.data.type),
        shape=words[1 : 1 + kind.ndim],
        strides=words[1 + kind.ndim :],
        itemsize=context.get_constant(types.intp, size),
        meminfo=None,
    )
    return array._getvalue(), at


def _behind(builder: Any, at: Any) -> Any:
    return builder.gep(at, [WORD(1)])


def _keep(typing_context: Any, places: Any, bundle: Any) -> Any:
    if bundle != KIND:
        raise numba.TypingError(f"A simulation of other arrays: {bundle}, not {KIND}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = context.make_array(places)(context, builder, arguments[0]).data
        _write(context, builder, bundle, arguments[1], start)
        return builder.ptrtoint(start, WORD)

    return types.int64(places, bundle), generate


def _look_up(typing_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = builder.inttoptr(arguments[0], WORD.as_pointer())
        return _read(context, builder, KIND, start)[0]

    return KIND(types.int64), generate


keep: Any = cast("Any", intrinsic(_keep))
look_up: Any = cast("Any", intrinsic(_look_up))
