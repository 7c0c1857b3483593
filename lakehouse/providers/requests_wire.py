"""A session for libraries that speak by ``requests``: every request goes through our own wire."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from lakehouse.errors import ProviderError
from lakehouse.providers.pages import refuse_html
from lakehouse.providers.wire import Wire
from topology.egress import Guard
from topology.sources import Bounds


class WireAdapter(BaseAdapter):
    """Sends by `Wire`; ``mirror``, where there is one, is asked as ``MIRROR/HOST/path``.

    What does not arrive whole, a web page, and status 429 or 5xx raise `UnusableError`; the rest
    is the library's to understand.
    """

    def __init__(self, wire: Wire, mirror: str | None) -> None:
        super().__init__()
        self._wire, self._mirror = wire, mirror

    def send(self, request: Any, *arguments: Any, **more: Any) -> requests.Response:
        """Return the answer of a GET; of data nothing else is needed."""
        if request.method != "GET":
            raise ProviderError(
                f"{urlsplit(request.url).hostname} is asked by {request.method}, not by GET.",
                hint="Nothing was sent. Choose an exchange whose candles are read by GET.",
            )
        headers = {name: str(value) for name, value in request.headers.items()}
        answer = self._wire.get(self._mirrored(request.url), headers)
        if answer.status == 429 or answer.status >= 500:
            answer.checked()
        refuse_html(answer)
        response = requests.Response()
        response.status_code, response.reason = answer.status, answer.reason
        response.headers = CaseInsensitiveDict(answer.headers)
        response.headers.pop("content-encoding", None)  # it is unpacked already
        response.raw, response.url, response.request = BytesIO(answer.body), request.url, request
        return response

    def close(self) -> None:
        """Nothing is kept open."""

    def _mirrored(self, url: str) -> str:
        if self._mirror is None:
            return url
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self._mirror}/{parts.netloc}{parts.path}{query}"


def session(guard: Guard, bounds: Bounds, *, mirror: str | None) -> requests.Session:
    """Return a session that has no other way out than the guard's."""
    made = requests.Session()
    made.trust_env = False
    adapter = WireAdapter(
        Wire(guard, timeout_s=bounds.timeout_s, most_bytes=bounds.page_bytes), mirror
    )
    for prefix in list(made.adapters):
        made.mount(prefix, adapter)
    return made
