"""What a tool call costs the server: processor time against a bare Starlette route, in one run.

Our server has everything on: Host and Origin guard, verifier, gate, 12 tools, structured results.
Both are served by uvicorn with one worker, asyncio and h11; one keep-alive client calls in turn.
Prints one JSON line per figure; ``limit`` is the promise, times are microseconds per call.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth.policy import Rule
from servers.actions import Actions
from servers.bearer import Bearer
from servers.compose import build
from servers.everything import Parts, root
from tests.kit.faces import ACCEPT, MODERN, Memory, Sum, grant, request, token_of, tool
from tests.kit.fixture_server import free_port
from tests.kit.identity import scene_of
from tools.registry import Office, Served
from topology import services
from topology.clock import SystemClock

CALLS, ROUNDS, WARM = 800, 5, 200
LIMIT = 8.0
ARGUMENTS = {"a": 1, "b": 2}
READ = Rule(scopes=("data:read",), actor="any")


async def add(a: int, b: int) -> Sum:
    """Add two integers."""
    return Sum(total=a + b, caller="")


def add_in_thread(a: int, b: int) -> Sum:
    """Add two integers, as a tool that blocks would."""
    return Sum(total=a + b, caller="")


def ours(port: int, ready: Connection) -> None:
    """Serve twelve tools behind verifier and gate; send a token when it answers."""
    topology, clock = services.load({}, port=port), SystemClock()
    scene = scene_of(Path(tempfile.mkdtemp()), Memory(), topology=topology, clock=clock)
    scene.clock.advance((clock.now() - scene.clock.now()).total_seconds())
    grant(scene)
    face = topology.face("data")
    tools = [tool("data", add, READ), tool("data", add_in_thread, READ)]
    tools += [dataclasses.replace(tools[0], name=f"add_{i}") for i in range(10)]
    built = build(
        face,
        Served(tools={one.name: one for one in tools}),
        Office.__new__(Office),
        version="0",
        clock=clock,
        bearer=Bearer(scene.identity.verifier(face.audience), clock, Actions(scene.store)),
    )
    ready.send(token_of(scene, face.audience, "data:read"))
    _run(root(topology, Parts(servers=[built])), port)


def bare(port: int, ready: Connection) -> None:
    """Serve the same sum by one Starlette route and nothing else."""

    async def endpoint(call: Request) -> JSONResponse:
        body = await call.json()
        return JSONResponse({"total": body["a"] + body["b"], "caller": ""})

    ready.send("")
    _run(Starlette(routes=[Route("/data/mcp", endpoint, methods=["POST"])]), port)


def main() -> None:
    """Measure and print."""
    peer, mine = _Server(bare), _Server(ours)
    modern = {**ACCEPT, "mcp-protocol-version": MODERN, "mcp-method": "tools/call"}
    token = {"authorization": f"Bearer {mine.token}"}
    plain = (json.dumps(ARGUMENTS).encode(), {"content-type": "application/json"})

    def call(name: str) -> tuple[bytes, dict[str, str]]:
        body = json.dumps(request("tools/call", name=name, arguments=ARGUMENTS)).encode()
        return body, {**modern, **token, "mcp-name": name}

    try:
        for figure, name, limit in (
            ("mcp_cpu", "add", LIMIT),
            ("mcp_cpu_sync_tool", "add_in_thread", None),
        ):
            pairs = [(mine.cost(*call(name)), peer.cost(*plain)) for _ in range(ROUNDS)]
            _print(figure, pairs, limit)
    finally:
        mine.stop()
        peer.stop()


class _Server:
    """A server in a process of its own, and one keep-alive connection to it."""

    def __init__(self, serve: Callable[[int, Connection], None]) -> None:
        self.port = free_port()
        context = multiprocessing.get_context("spawn")
        receive, send = context.Pipe(duplex=False)
        self._process = context.Process(target=serve, args=(self.port, send), daemon=True)
        self._process.start()
        self.token = str(receive.recv())
        self._http = self._connected()
        self._warm = False

    def cost(self, body: bytes, headers: dict[str, str]) -> float:
        """Return processor time of the server per call, user and system, in seconds."""
        if not self._warm:
            self._calls(body, headers, WARM)
            self._warm = True
        before = self._time()
        self._calls(body, headers, CALLS)
        return (self._time() - before) / CALLS

    def stop(self) -> None:
        self._http.close()
        self._process.terminate()
        self._process.join(10)

    def _calls(self, body: bytes, headers: dict[str, str], count: int) -> None:
        for _ in range(count):
            self._http.request("POST", "/data/mcp", body, headers)
            answer = self._http.getresponse()
            text = answer.read()
            if answer.status != 200 or b'"total":3' not in text.replace(b" ", b""):
                raise RuntimeError(f"{answer.status}: {text[:300]!r}")

    def _time(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _connected(self) -> http.client.HTTPConnection:
        deadline = time.monotonic() + 30
        while True:
            connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
            try:
                connection.connect()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return connection


def _print(name: str, pairs: list[tuple[float, float]], limit: float | None) -> None:
    mine, peer = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    line: dict[str, Any] = {
        "name": name,
        "ours": round(mine, 1),
        "peer": round(peer, 1),
        "ratio": round(mine / peer, 2),
    }
    print(json.dumps(line if limit is None else {**line, "limit": limit}), flush=True)


def _run(app: Any, port: int) -> None:
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="critical",
        loop="asyncio",
        http="h11",
        lifespan="on",
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main()
