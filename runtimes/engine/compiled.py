"""How functions of the engine are compiled, and the one load that a compiler may not move.

No fastmath and no parallel loops: the order of operations is fixed, so results are equal bit for
bit. Compiled code is cached only below a folder that `identity.prepare` has named by the hash of
the sources; numba's own check sees the caller's file alone and would serve a stale callee.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic, overload

from runtimes.engine.arrays import Ints, Records

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` without the interpreter lock; divisions follow IEEE 754.

    It is inlined where compiled code calls it: passing bundles of arrays costs more than a bar.
    """
    decorate = numba.njit(
        nogil=True,
        error_model="numpy",
        forceinline=True,
        cache=bool(os.environ.get("NUMBA_CACHE_DIR")),
    )
    return cast("Callable[P, R]", decorate(function))


def merged(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` as a part of its one caller's own code.

    For the steps of a loop: as functions of their own each would be optimised again, with all it
    calls, before the loop is.
    """
    decorate = numba.njit(
        nogil=True,
        error_model="numpy",
        inline="always",
        cache=bool(os.environ.get("NUMBA_CACHE_DIR")),
    )
    return cast("Callable[P, R]", decorate(function))


def apart(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` as `compiled` does, but as a piece of its own that others call.

    For what happens seldom: inlined everywhere, it would make every kernel slow to compile. Pass it
    borrowed bundles.
    """
    decorate = numba.njit(
        nogil=True, error_model="numpy", cache=bool(os.environ.get("NUMBA_CACHE_DIR"))
    )
    return cast("Callable[P, R]", decorate(function))


def latest(counter: Ints) -> int:
    """Return ``counter[0]`` as it is in memory now, at every call.

    Inside compiled code this is an atomic load: a plain one is hoisted out of loops that store
    nothing, and a halt would never be seen. ``counter`` has shape (1,), int64, aligned.
    """
    return int(counter[0])


def _load_atomic(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(data, "monotonic", align=8)

    return types.int64(array), generate


load_atomic: Callable[[Any], int] = cast("Any", intrinsic(_load_atomic))


@overload(latest)
def _latest(counter: Any) -> Any:
    def load(counter: Any) -> Any:
        return load_atomic(counter)

    return load


def bare(rows: Records) -> Records:
    """Return rows as compiled code takes them fastest: numba looks at a recarray for microseconds.

    Without the compiler they stay what they are, for code that reads fields as attributes.
    """
    return rows if vars(numba.config)["DISABLE_JIT"] else cast("Records", rows.view(np.ndarray))


Bundle = TypeVar("Bundle", bound=tuple[Any, ...] | np.ndarray[Any, Any])


def borrowed(bundle: Bundle) -> Bundle:
    """Return an array or the named arrays of ``bundle`` without counting references to them.

    Inside compiled code every array taken out of a tuple costs two atomic operations, more than a
    bar's arithmetic. Borrowed ones cost none; the caller's bundle must outlive them.
    """
    return bundle


def _lent(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return an array's value without its owner."""
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = array.meminfo.type(None)
    array.parent = array.parent.type(None)
    return array._getvalue()


def _borrow(typing_context: Any, bundle: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        if isinstance(bundle, types.Array):
            return _lent(context, builder, bundle, value)
        for place, kind in enumerate(bundle.types):
            if isinstance(kind, types.Array):
                array = _lent(context, builder, kind, builder.extract_value(value, place))
                value = builder.insert_value(value, array, place)
        return value

    return bundle(bundle), generate


borrow: Callable[[Any], Any] = cast("Any", intrinsic(_borrow))


@overload(borrowed)
def _borrowed(bundle: Any) -> Any:
    def lend(bundle: Any) -> Any:
        return borrow(bundle)

    return lend
