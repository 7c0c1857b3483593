"""A server built by our compose function for the public conformance suite: no tokens, many tools.

``python -m tests.kit.fixture_server PORT`` serves it; `serving` runs that and gives its URL.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import uvicorn
from starlette.types import ASGIApp

from servers.compose import build
from servers.everything import Parts, root
from tests.kit import fixture_asks, fixture_jobs, fixture_tools
from tools.registry import Office, Served
from topology import services
from topology.clock import SystemClock

FACE = "data"
START_TIMEOUT_S = 60.0


def application(port: int) -> ASGIApp:
    """Return the whole application, Host and Origin guard included, on a port of this machine."""
    topology = services.load({}, port=port)
    clock = SystemClock()
    jobs = fixture_jobs.Jobs(clock)
    built = build(
        topology.face(FACE),
        Served(tools=fixture_jobs.tools(jobs)),
        cast("Office", None),  # no tool of the fixture asks for it
        version="0.0.0",
        clock=clock,
        bearer=None,
        tasks=jobs,
    )
    fixture_tools.add(built)
    fixture_asks.add(built.mcp)
    return root(topology, Parts(servers=[built]))


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def process(
    *command: str, probe: str, log: Path, env: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a server until the block ends; it is there once ``probe`` answers anything at all."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=subprocess.STDOUT, env=env
        )
        try:
            _await_answer(running, probe, log)
            yield running.pid
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextlib.contextmanager
def serving(log: Path) -> Iterator[str]:
    """Serve the fixture in a process of its own and yield its MCP URL."""
    port = free_port()
    url = services.load({}, port=port).face(FACE).url
    with process("-m", "tests.kit.fixture_server", str(port), probe=url, log=log):
        yield url


def _await_answer(running: subprocess.Popen[Any], probe: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if running.poll() is not None:
            break
        with contextlib.suppress(httpx2.HTTPError):
            httpx2.get(probe, timeout=2.0)
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    chosen = int(sys.argv[1])
    uvicorn.run(
        application(chosen), host="127.0.0.1", port=chosen, log_level="error", lifespan="on"
    )
