"""``/healthz``: the process is up. ``/readyz``: stores, migrations and keys are there too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from topology.errors import AlphaSwarmError

Check = Callable[[], None]
"""Return, or raise an `AlphaSwarmError` that says what is missing; may block."""

PATIENCE_S = 2.0


def routes(checks: Mapping[str, Check]) -> list[BaseRoute]:
    """Return both routes; neither needs a token, and neither says more than a code per part."""

    async def healthz(request: Request) -> Response:
        del request
        return JSONResponse({"status": "up"}, headers={"cache-control": "no-store"})

    async def readyz(request: Request) -> Response:
        del request
        found = {name: await _state(check) for name, check in checks.items()}
        ready = all(state == "ok" for state in found.values())
        return JSONResponse(
            {"ready": ready, "checks": found},
            200 if ready else 503,
            headers={"cache-control": "no-store"},
        )

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
    ]


async def _state(check: Check) -> str:
    with anyio.move_on_after(PATIENCE_S):
        return await anyio.to_thread.run_sync(_code, check, abandon_on_cancel=True)
    return "timeout"


def _code(check: Check) -> str:
    try:
        check()
    except AlphaSwarmError as error:
        return error.wire_code
    return "ok"
