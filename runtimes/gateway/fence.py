"""An audit hook that keeps a process from reaching what the topology does not name (PEP 578).

For libraries that open connections of their own. It sees what Python opens; database drivers in C
are not seen, they are given their addresses by us. It cannot be taken away again.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from typing import Any

from topology.egress import reach_of
from topology.errors import EgressDeniedError
from topology.fields import is_loopback

_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"})
_places: set[tuple[str, int]] = set()
_addresses: set[tuple[str, int]] = set()
_hooks: list[str] = []


def install(places: Iterable[tuple[str, int]]) -> None:
    """Fence this process: from now on it reaches Unix sockets and ``places`` (host, port) only.

    A later call adds places. Names are resolved when they are asked for; only addresses that such
    an answer named, or that ``places`` name themselves, may then be dialled.
    """
    _places.update((host.strip("[]").lower(), port) for host, port in places)
    if not _hooks:
        _hooks.append("standing")
        sys.addaudithook(_hook)


def standing() -> bool:
    """Tell whether this process is fenced."""
    return bool(_hooks)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
        return
    if event == "socket.getaddrinfo":
        _resolving(arguments[0], arguments[1])
        return
    own, address = arguments[0], arguments[1]
    if own.family not in {socket.AF_INET, socket.AF_INET6} or not isinstance(address, tuple):
        return
    if (str(address[0]), int(address[1])) not in _known():
        raise _denied(str(address[0]), int(address[1]))


def _resolving(host: Any, port: Any) -> None:
    """Refuse a name that no place has; the addresses of one that is are judged when dialled."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    wanted = name.strip("[]").lower()
    if not any(place[0] == wanted for place in _places):
        number = int(port) if str(port or "0").isdigit() else 0
        raise _denied(name, number)


def _known() -> set[tuple[str, int]]:
    """Return every address that may be dialled: those of ``places``, loopback names resolved."""
    if len(_addresses) < len(_places):
        for host, port in _places:
            names = {host} | ({"127.0.0.1", "::1"} if is_loopback(host) else set())
            _addresses.update((name, port) for name in names)
    return _addresses


def learn(addresses: Iterable[str], port: int) -> None:
    """Let the judged ``addresses`` of a named place be dialled (`topology.egress.Guard` judges)."""
    for address in addresses:
        if reach_of(address) != "never":
            _known().add((address, port))


def _denied(host: str, port: int) -> EgressDeniedError:
    return EgressDeniedError(
        f"A library wanted to reach {host} port {port}, which the topology does not name.",
        hint="Nothing was sent.",
        host=host,
        port=port,
    )
