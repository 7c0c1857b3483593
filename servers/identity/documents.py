"""Reading a client's metadata document from the web, where the topology allows that.

Only https, only public addresses, the address that was checked is the one that is dialled, no
redirect is followed, 5 KiB at most. What was refused is not asked for again for a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastmcp.server.auth.ssrf import (
    SSRFError,
    SSRFFetchError,
    SSRFFetchResponse,
    ssrf_safe_fetch_response,
)

from auth.core import Issuer
from auth.documents import KEPT_S, LARGEST, DocumentRefusedError, is_document_id, named, read
from auth.wire import Reply

REFUSED_S = 60
TIMEOUT_S = 5.0
log = logging.getLogger(__name__)
Fetch = Callable[[str], Awaitable[SSRFFetchResponse]]


async def fetched(url: str) -> SSRFFetchResponse:
    """Return the answer of a public https server."""
    return await ssrf_safe_fetch_response(
        url,
        require_path=True,
        max_size=LARGEST,
        timeout=TIMEOUT_S,
        overall_timeout=2 * TIMEOUT_S,
        request_headers={"Accept": "application/json"},
    )


class Reader:
    """Makes a described client known to the issuer before the issuer is asked about it."""

    def __init__(self, issuer: Issuer, fetch: Fetch = fetched) -> None:
        self._issuer = issuer
        self._fetch = fetch

    async def of_form(self, raw: bytes | Reply) -> None:
        """Read the document of the client that a form or a query names, if it names one."""
        if isinstance(raw, Reply) or not self._issuer.config.fetching:
            return
        await self.of_client(named(raw))

    async def of_client(self, client_id: str) -> None:
        """Read a client's document where that is allowed, needed and possible."""
        issuer, now = self._issuer, self._issuer.now()
        if not is_document_id(client_id) or issuer.documents.asked(client_id, now):
            return
        policy = issuer.config.registration
        redirects = policy.redirects if policy else ()
        try:
            answer = await self._fetch(client_id)
            client = read(client_id, answer.content, redirects=redirects)
        except (SSRFError, SSRFFetchError, DocumentRefusedError, OSError, ValueError) as error:
            log.warning("client document refused: %s", type(error).__name__)
            issuer.documents.keep(client_id, None, until=now + REFUSED_S)
            return
        issuer.documents.keep(client_id, client, until=now + KEPT_S)
