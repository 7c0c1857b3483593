"""``python -m servers``: starting, refusing to start, and stopping."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ledger.pool import Pool, open_pool
from servers.__main__ import await_migrations, listen, main
from tests.kit.fixture_server import free_port, process
from tests.kit.ledger import Desk
from topology import services
from topology.errors import BadInputError, FaultError, StoreUnreachableError
from topology.home import Home

Refused = Callable[..., tuple[int, dict[str, Any]]]


def environment(home: Path, port: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ALPHASWARM")}
    return {**kept, "ALPHASWARM_HOME": str(home), "ALPHASWARM_PORT": str(port)}


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """Return exit code and error object of servers that must not start, in an empty home."""

    def ask(*names: str) -> tuple[int, dict[str, Any]]:
        for name, value in environment(tmp_path, free_port()).items():
            monkeypatch.setenv(name, value)
        code = main(names)
        body: dict[str, Any] = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
        return code, body

    return ask


def test_a_taken_port_is_said_plainly() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInputError) as caught:
            listen(services.load({}, port=port))
    assert caught.value.wire_code == "port_taken"
    assert caught.value.facts["port"] == port


def test_both_loopbacks_are_listened_on() -> None:
    sockets = listen(services.load({}, port=free_port()))
    hosts = {one.getsockname()[0] for one in sockets}
    for one in sockets:
        one.close()
    assert hosts <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in hosts


def test_an_unknown_name_is_told_its_neighbour(refused: Refused) -> None:
    code, body = refused("dta")
    assert (code, body["code"]) == (2, "unknown_name")
    assert body["hint"] == "Did you mean 'data'?"


def test_without_stores_the_servers_say_what_to_start(refused: Refused) -> None:
    code, body = refused()
    assert code in (2, 5)
    assert "alphaswarm up" in body["hint"] or "alphaswarm doctor" in body["hint"]


@pytest.mark.parametrize("names", [(), ("backtest",)])
def test_the_suite_starts_answers_and_stops(
    migrated: Home, tmp_path: Path, names: tuple[str, ...]
) -> None:
    port = free_port()
    topology = services.load({}, port=port)
    log = tmp_path / "servers.log"
    probe = f"{topology.base_url}/healthz"
    with process(
        "-m", "servers", *names, probe=probe, log=log, env=environment(migrated.root, port)
    ):
        assert httpx2.get(f"{topology.base_url}/readyz").json()["ready"] is True
        for face in topology.faces.values():
            wanted = 401 if not names or face.name in names else 404
            assert httpx2.post(face.url).status_code == wanted
        issuer = httpx2.get(f"{topology.issuer_url()}/jwks.json")
        assert issuer.status_code == (404 if names else 200)
    assert "Traceback" not in log.read_text()


def test_a_start_loads_neither_compiler_nor_models() -> None:
    code = (
        "import sys, servers.everything, tools.data, tools.backtest, tools.control;"
        "print([m for m in ('torch', 'litellm', 'langgraph', 'numba') if m in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert finished.stdout.strip() == "[]"


def test_open_streams_end_when_the_process_stops(
    migrated: Home, tmp_path: Path, desk: Desk
) -> None:
    """A progress stream of a run that never ends, held open across the stop."""
    port, run = free_port(), desk.submit()
    topology = services.load({}, port=port)
    log, env = tmp_path / "servers.log", environment(migrated.root, port)
    probe = f"{topology.base_url}/healthz"
    url = f"{topology.base_url}/chat/stream/{run.task_id}"
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(process("-m", "servers", probe=probe, log=log, env=env))
        token = local_token(migrated, topology.face("control").audience)
        stream = httpx2.stream("GET", url, headers={"authorization": f"Bearer {token}"}, timeout=20)
        answer = stack.enter_context(stream)
        assert answer.status_code == 200
        os.kill(serving, signal.SIGTERM)
        answer.read()  # a stream that is cut raises instead of ending


def local_token(home: Home, audience: str) -> str:
    """Return a token as ``login --local`` gets it, over the running issuer's socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home.sockets / "login.sock"))
        connection.sendall(json.dumps({"resource": audience, "scope": ""}).encode() + b"\n")
        return str(json.loads(connection.makefile().read())["access_token"])


def test_the_servers_wait_for_migrations_and_not_for_a_dead_ledger(
    dsn: Callable[..., str], pool: Pool
) -> None:
    await_migrations(pool)
    with contextlib.closing(open_pool(dsn("alphaswarm", "lake"), name="behind")) as behind:
        started = time.monotonic()
        with pytest.raises(FaultError, match="stands at"):
            await_migrations(behind, within_s=0.5)
        assert time.monotonic() - started >= 0.5
    nowhere = "postgresql://nobody@/none?host=/nonexistent"
    with (
        contextlib.closing(open_pool(nowhere, name="nowhere", min_size=0)) as gone,
        pytest.raises(StoreUnreachableError),
    ):
        await_migrations(gone, within_s=60)
