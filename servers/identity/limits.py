"""How much one address may ask of the issuer: counted per minute, refused by 429 until it is over.

Counts live in memory, by process: they keep a loop from doing harm, and nobody out for longer than
a minute. Guessed passwords and codes are counted for each person, in the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.core import Issuer

WINDOW_S = 60
_ADDRESSES = 10_000
"""Addresses that are remembered; the one that was quiet longest is forgotten first."""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class _Count:
    began: int
    requests: int = 0
    failures: int = 0


class Limits:
    """The counts of one endpoint."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def around(self, handler: Handler) -> Handler:
        """Return the handler behind these limits."""

        async def limited(request: Request) -> Response:
            count = self._count(request.client.host if request.client else "")
            allowed = self._issuer.config.requests
            if count.requests >= allowed.per_minute or count.failures >= allowed.failures:
                return _refused(max(1, count.began + WINDOW_S - self._issuer.now()))
            count.requests += 1
            response = await handler(request)
            count.failures += response.status_code in range(400, 500)
            return response

        return limited

    def _count(self, address: str) -> _Count:
        now = self._issuer.now()
        count = self._counts.get(address)
        if count is None or not 0 <= now - count.began < WINDOW_S:
            count = self._counts[address] = _Count(now)
        self._counts.move_to_end(address)
        if len(self._counts) > _ADDRESSES:
            self._counts.popitem(last=False)
        return count


def _refused(seconds: int) -> Response:
    body = {
        "error": "temporarily_unavailable",
        "error_description": f"Too many requests. Try again in {seconds} seconds.",
    }
    return JSONResponse(body, 429, {"Retry-After": str(seconds), "Cache-Control": "no-store"})
