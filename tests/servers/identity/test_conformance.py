"""The public conformance suite against our issuer: its authorization server scenarios."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from tests.kit.identity import PASSWORD, USERNAME, hidden_fields, scene_of
from tests.kit.identity_store import MemoryStore
from tests.kit.node import NODE, node_package
from topology import services
from topology.clock import SystemClock
from topology.services import Topology

SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
LIMIT_S = 60


@pytest.mark.node
def test_the_authorization_scenarios_pass(tmp_path: Path) -> None:
    package = node_package("conformance-2026")
    topology, callback_port = services.load({}, port=free_port()), free_port()
    scene = scene_of(tmp_path, MemoryStore(), topology=topology, clock=SystemClock())
    callback = f"http://127.0.0.1:{callback_port}/callback"
    with (
        serving(scene.app, topology),
        httpx2.Client(base_url=topology.base_url) as browser,
        subprocess.Popen(
            [NODE, str(package / SUITE), "authorization", "--url", scene.issuer,
             "--client-id", registered(browser, callback), "--port", str(callback_port),
             "--resource", scene.faces["data"]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as suite,
    ):  # fmt: skip
        guard = threading.Timer(LIMIT_S, suite.kill)
        guard.start()
        said = list(listening(suite, browser))
        code = suite.wait()
        guard.cancel()
    assert code == 0, "".join(said)
    assert "Total: 2 passed, 0 failed" in "".join(said)


def listening(suite: subprocess.Popen[str], browser: httpx2.Client) -> Iterator[str]:
    """Yield what the suite says, and do as a person would when it shows an address."""
    assert suite.stdout is not None
    for line in suite.stdout:
        yield line
        if found := re.search(r"http://\S+/authorize\?\S+", line):
            allow(browser, found[0])


def allow(browser: httpx2.Client, address: str) -> None:
    """Sign in, press Allow, and follow the redirect to the client."""
    login = browser.get(browser.get(address).headers["location"])
    typed = {**hidden_fields(login.text), "username": USERNAME, "password": PASSWORD}
    consent = browser.get(browser.post("/as/login", data=typed).headers["location"])
    pressed = {**hidden_fields(consent.text), "decision": "allow"}
    httpx2.get(browser.post("/as/authorize", data=pressed).headers["location"])


def registered(browser: httpx2.Client, callback: str) -> str:
    """Register a client as an editor would."""
    answer = browser.post("/as/register", json={"redirect_uris": [callback]})
    return str(answer.json()["client_id"])


@contextmanager
def serving(app: Starlette, topology: Topology) -> Iterator[None]:
    """Serve on the topology's port until the context ends."""
    port = topology.listen.port
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + LIMIT_S
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
