"""Plain HTTP to a suite: one client, and failures as our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clients.errors import unreachable
from topology.fields import is_loopback

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 3.0
ANSWER_S = 15.0


def client(base_url: str, *, timeout_s: float = ANSWER_S) -> httpx2.Client:
    """Return an HTTP client for ``base_url``; redirects are never followed.

    Proxies of the environment are for the world outside: on this machine they are ignored.
    """
    import httpx2

    return httpx2.Client(
        base_url=base_url,
        timeout=httpx2.Timeout(timeout_s, connect=CONNECT_S),
        trust_env=not local(base_url),
        verify=base_url.startswith("https:"),  # reading the authorities costs 50 ms
    )


def local(url: str) -> bool:
    """Tell whether ``url`` can only mean this machine."""
    return is_loopback(urlsplit(url).hostname or "")


@contextlib.contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn httpx2's failures into ``unreachable``."""
    import httpx2

    try:
        yield
    except httpx2.ConnectError as error:
        raise unreachable(what) from error
    except httpx2.TimeoutException as error:
        raise unreachable(what, "it took too long") from error
    except httpx2.TransportError as error:
        raise unreachable(what, "the connection broke") from error


def json_of(response: httpx2.Response) -> Any:
    """Return the JSON of a response, or None where it has none."""
    try:
        return response.json()
    except ValueError:
        return None
