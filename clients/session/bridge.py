"""The stdio bridge: servers of a suite for a client that starts programs and cannot reach HTTP.

Stdout is the wire. The bridge answers whatever happens: without a sign-in and without a server each
call says so, and is tried again the next time.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import fastmcp
from fastmcp import FastMCP
from fastmcp.server.providers.proxy import ProxyMetadataMiddleware

from clients.session.calls import Tokens
from clients.session.entering import Entrance
from clients.session.passing import Passed
from clients.session.prefixed import Named, Prefixed
from clients.session.relay import Relay
from clients.tokens import TokenStore
from topology.services import Face

NAME = "alphaswarm"


def bridge(
    faces: Sequence[Face],
    tokens: Callable[[Face], Tokens],
    entrance: Entrance | None = None,
) -> FastMCP[Any]:
    """Return a server that passes everything on: of one face as it is, of several with prefixes.

    ``tokens`` gives each face's source of access tokens; ``entrance`` begins a sign-in where there
    is none.
    """
    single = len(faces) == 1
    front: FastMCP[Any] = FastMCP(
        faces[0].name if single else NAME,
        version=version(NAME),
        mask_error_details=True,
        dereference_schemas=False,
    )
    # One server that is silent must not hide the others; a single one says why it is.
    front.provider_error_strategy = "raise" if single else "warn"
    passed = {face.name: Passed(Relay(face, tokens(face), entrance)) for face in faces}
    for name, provider in passed.items():
        front.add_provider(provider)
        if single:
            front.add_middleware(ProxyMetadataMiddleware(provider, identity="upstream"))
        else:
            provider.add_transform(Prefixed(name, list(passed)))
    if not single:
        front.add_middleware(Named(passed))
    return front


def run(faces: Sequence[Face], store: TokenStore) -> None:
    """Serve stdin and stdout with the stored sign-ins until the client closes them."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    for noisy in ("fastmcp", "mcp"):  # what fails is said once, by the relay
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    fastmcp.settings.telemetry_mode = "off"
    front = bridge(
        faces, lambda face: lambda: store.access(face).access_token, Entrance(faces, store)
    )
    front.run(transport="stdio", show_banner=False)
