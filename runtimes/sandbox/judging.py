"""What a cell may ask of the account, each request by its name and the kinds of its arguments.

Nothing but numbers, places of the universe and short words comes through; whether it makes sense
is for the account to say, as it is for any script.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtimes.engine.script import Account
from runtimes.sandbox.errors import nonsense

LONGEST = 32
_EXACT = 2**53
_LAST = 4_102_444_800 * 10**9
"""The year 2100 in ns: no order lives longer."""
_PRICES = ("limit", "stop", "trail")


def answered(account: Account, request: Any) -> Any:
    """Return what the account answers; what is no request raises `NonsenseError`."""
    if not isinstance(request, list) or not request or not isinstance(request[0], str):
        raise nonsense("what is no request")
    answer = _ANSWERS.get(request[0])
    if answer is None:
        raise nonsense("a request that there is not")
    return answer(account, request[1:])


def number(value: Any) -> float:
    """Return a float, which may be nan: an account refuses that itself."""
    if type(value) is int and abs(value) <= _EXACT:
        return float(value)
    if type(value) is float:
        return value
    raise nonsense("no number where one belongs")


def _optional(value: Any) -> float | None:
    return None if value is None else number(value)


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise nonsense("no whole number in its range where one belongs")
    return value


def _symbol(account: Account, value: Any) -> str:
    return account.symbols[_whole(value, len(account.symbols) - 1)]


def _word(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise nonsense("no word where one belongs")
    return value


def _given(request: Sequence[Any], *kinds: Callable[[Any], Any]) -> list[Any]:
    if len(request) != len(kinds):
        raise nonsense("a request with other arguments than it has")
    return [kind(value) for kind, value in zip(kinds, request, strict=True)]


def _named(value: Any, kinds: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= kinds.keys():
        raise nonsense("a request with other arguments than it has")
    return {name: kinds[name](held) for name, held in value.items()}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise nonsense("neither true nor false where one of them belongs")
    return value


def _until(value: Any) -> dt.datetime | None:
    if value is None:
        return None
    return dt.datetime.fromtimestamp(_whole(value, _LAST) / 1e9, dt.UTC)


_ORDER: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*_PRICES, "take_profit", "stop_loss"), _optional),
    "relative": _flag,
    "tif": _word,
    "until": _until,
}
_UPDATE: dict[str, Callable[[Any], Any]] = dict.fromkeys((*_PRICES, "quantity"), _optional)


def _order(account: Account, request: Sequence[Any]) -> int:
    symbol, quantity, kind, named = _given(
        request, lambda v: _symbol(account, v), number, _word, lambda v: _named(v, _ORDER)
    )
    return account.order(symbol, quantity, kind, **named)


def _update(account: Account, request: Sequence[Any]) -> bool:
    order_id, named = _given(request, lambda v: _whole(v, _EXACT), lambda v: _named(v, _UPDATE))
    return account.update(order_id, **named)


def _cancel(account: Account, request: Sequence[Any]) -> bool:
    (order_id,) = _given(request, lambda v: _whole(v, _EXACT))
    return account.cancel(order_id)


def _open_orders(account: Account, request: Sequence[Any]) -> list[int]:
    (symbol,) = _given(request, lambda v: None if v is None else _symbol(account, v))
    return account.open_orders(symbol)


def _target(account: Account, request: Sequence[Any]) -> None:
    (pairs,) = _given(request, lambda v: v)
    if not isinstance(pairs, list) or len(pairs) > len(account.symbols):
        raise nonsense("no list of weights where one belongs")
    weights: dict[str, float] = {}
    for pair in pairs:
        if not isinstance(pair, list):
            raise nonsense("no weight where one belongs")
        symbol, weight = _given(pair, lambda v: _symbol(account, v), number)
        weights[symbol] = weight
    account.targets(weights)


def _quantity_for(account: Account, request: Sequence[Any]) -> float:
    symbol, weight = _given(request, lambda v: _symbol(account, v), number)
    return account.quantity_for(symbol, weight)


def _positions(account: Account, request: Sequence[Any]) -> list[tuple[int, float]]:
    _given(request)
    held = account.positions()
    return [(place, held[name]) for place, name in enumerate(account.symbols) if name in held]


def _cash(account: Account, request: Sequence[Any]) -> float:
    _given(request)
    return account.cash


def _equity(account: Account, request: Sequence[Any]) -> float:
    _given(request)
    return account.equity


_ANSWERS: Mapping[str, Callable[[Account, Sequence[Any]], Any]] = {
    "order": _order,
    "update": _update,
    "cancel": _cancel,
    "open_orders": _open_orders,
    "target": _target,
    "quantity_for": _quantity_for,
    "positions": _positions,
    "cash": _cash,
    "equity": _equity,
}
