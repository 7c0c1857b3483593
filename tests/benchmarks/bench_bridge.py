"""What the stdio bridge adds to a tool call: a real bridge process against a session over HTTP.

The server is that of `bench_mcp`; both clients are the public SDK's, calls one after another. The
bridge opens a session for every request, the direct client keeps one. Prints one JSON line per
figure: median milliseconds per call, and their difference as ``overhead_ms``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from mcp import Client as SdkClient
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from clients.tokens import Grant, TokenStore
from tests.benchmarks.bench_mcp import ours
from tests.kit.client import COMMAND
from tests.kit.faces import MODERN
from tests.kit.fixture_server import free_port
from topology import services
from topology.home import Home
from topology.services import Face

CALLS, WARM = 60, 5


def main() -> None:
    """Measure and print."""
    port = free_port()
    with serving(port) as token:
        asyncio.run(measure(services.load({}, port=port).face("data"), token))


@contextlib.contextmanager
def serving(port: int) -> Iterator[str]:
    """Run the server in a process of its own and give a token for it."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=ours, args=(port, send), daemon=True)
    process.start()
    try:
        token = str(receive.recv())
        time.sleep(1.0)  # it listens a moment after
        yield token
    finally:
        process.terminate()
        process.join(10)


async def measure(face: Face, token: str) -> None:
    """Print the figures of both eras."""
    home = Home(Path(tempfile.mkdtemp()))
    home.ensure()
    grant = Grant("data", face.audience, face.issuer, "data:read", token, time.time() + 800)
    TokenStore(home).keep(face, grant)
    port = face.url.rpartition(":")[2].partition("/")[0]
    environ = {"ALPHASWARM_HOME": str(home.root), "ALPHASWARM_PORT": port}
    parameters = StdioServerParameters(command=COMMAND, args=["bridge", "data"], env=environ)
    for era in ("legacy", MODERN):
        async with Client(face.url, auth=BearerAuth(token), mode=era) as direct:
            peer = await timed(direct.session)
        began = time.perf_counter()
        async with through(parameters, era) as session:
            start = time.perf_counter() - began
            mine = await timed(session)
        line = {
            "name": f"bridge_call_{era.replace('-', '_')}",
            "ours": round(mine, 2),
            "peer": round(peer, 2),
            "ratio": round(mine / peer, 2),
            "overhead_ms": round(mine - peer, 2),
            "start_s": round(start, 2),
        }
        print(json.dumps(line), flush=True)


@contextlib.asynccontextmanager
async def through(parameters: StdioServerParameters, era: str) -> AsyncIterator[ClientSession]:
    """Start a bridge and speak one era to it."""
    if era == MODERN:
        async with SdkClient(parameters) as client:
            yield client.session
        return
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


async def timed(session: ClientSession) -> float:
    """Return the median milliseconds of a call."""
    times: list[float] = []
    for _ in range(WARM + CALLS):
        began = time.perf_counter()
        answer = await session.call_tool("add", {"a": 1, "b": 2})
        times.append(time.perf_counter() - began)
        if (answer.structured_content or {}).get("total") != 3:
            raise RuntimeError(str(answer))
    return statistics.median(times[WARM:]) * 1000


if __name__ == "__main__":
    main()
