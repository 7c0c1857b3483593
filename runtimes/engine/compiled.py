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
from numba.core import types
from numba.extending import intrinsic, overload

from runtimes.engine.arrays import Ints

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


Bundle = TypeVar("Bundle", bound=tuple[Any, ...])


def borrowed(bundle: Bundle) -> Bundle:
    """Return the named arrays of ``bundle`` without counting references to them.

    Inside compiled code every array taken out of a tuple costs two atomic operations, more than a
    bar's arithmetic. Borrowed ones cost none; the caller's bundle must outlive them.
    """
    return bundle


def _borrow(typing_context: Any, bundle: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        for place, kind in enumerate(bundle.types):
            if not isinstance(kind, types.Array):
                continue
            array = context.make_array(kind)(context, builder, builder.extract_value(value, place))
            array.meminfo = array.meminfo.type(None)
            array.parent = array.parent.type(None)
            value = builder.insert_value(value, array._getvalue(), place)
        return value

    return bundle(bundle), generate


borrow: Callable[[Any], Any] = cast("Any", intrinsic(_borrow))


@overload(borrowed)
def _borrowed(bundle: Any) -> Any:
    def lend(bundle: Any) -> Any:
        return borrow(bundle)

    return lend
