"""Supervision without a suite: ports, marks, locks and pid files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clients.cli import report, suite
from clients.cli.place import MARK, Place, record_port, recorded_port
from tests.kit.client import free_port
from topology import launching, services
from topology.errors import BadInputError
from topology.home import Home
from topology.latch import Latch
from topology.launching import State
from topology.processes import Process, until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = Home(tmp_path / "home")
    home.ensure()
    return Place(home, services.load({}, port=free_port()))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_another_program_has_is_named(place: Place, host: str) -> None:
    assert suite.port_taken(place) is None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, place.topology.listen.port), family=family):
        assert suite.port_taken(place) == f"{host} port {place.topology.listen.port}"
        with pytest.raises(BadInputError, match="already listens") as caught:
            suite.up(place)
    assert caught.value.wire_code == "port_taken"
    assert "--port" in caught.value.hint
    assert not list(suite.marked(place.home))


def test_an_unknown_server_is_refused_before_anything_starts(place: Place) -> None:
    with pytest.raises(BadInputError, match="No server is called 'dta'"):
        suite.up(place, only=["dta"])
    assert not (place.home.pg / "PG_VERSION").exists()


def test_down_on_a_home_that_never_was_is_no_error(tmp_path: Path) -> None:
    home = Home(tmp_path / "nothing")
    assert suite.down(home) == ()
    assert not home.root.exists()


def sleeper(environ: dict[str, str]) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    return subprocess.Popen(argv, env={**os.environ, **environ})


def test_down_ends_every_process_that_carries_the_mark_and_no_other(place: Place) -> None:
    ours = sleeper({MARK: str(place.home.root)})
    other = sleeper({MARK: str(place.home.root) + "2"})
    try:
        assert Process.of(ours.pid) in list(suite.marked(place.home))
        assert suite.down(place.home) == ("strays",)
        assert Process.of(ours.pid) is None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        ours.wait()


def test_down_stops_workloads_by_their_launchers(place: Place) -> None:
    file = launching.state_file(place.home, "0" * 26)
    process = launching.start(
        "workload/test",
        [sys.executable, "-c", "import time; time.sleep(600)"],
        launching.Orders(state=str(file)),
        log=place.home.logs / "workload.log",
        environ=launching.own_environment({}),
    )
    assert process is not None
    assert until(lambda: (state := State.read(file)) is not None and state.phase == "running", 20)
    assert suite.down(place.home) == ("workloads",)
    state = State.read(file)
    assert state is not None
    assert (state.phase, state.why, process.alive) == ("exited", "stopped", False)


def test_a_pid_file_of_another_program_stops_nothing(place: Place) -> None:
    other = sleeper({})
    try:
        found = Process.of(other.pid)
        assert found is not None
        found.write(place.home.run / "servers.pid")
        assert suite.running(place.home, suite.SERVERS) is None
        suite.down(place.home)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_one_command_at_a_time(place: Place) -> None:
    order: list[str] = []

    def second() -> None:
        with suite.alone(place.home):
            order.append("second")

    with suite.alone(place.home):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_port_of_a_running_suite_is_found_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"ALPHASWARM_HOME": str(place.home.root)}
    assert Place.find(environ).topology.listen.port == 8000
    record_port(place.home, 8123)
    assert recorded_port(place.home) == 8123
    assert Place.find(environ).topology.base_url.endswith(":8123")
    assert Place.find({**environ, "ALPHASWARM_PORT": "8124"}).topology.listen.port == 8124
    assert Place.find(environ, port=8125).topology.listen.port == 8125


def test_a_home_that_was_never_up_is_not_halted(place: Place) -> None:
    assert report.switch(place.home) == {"halted": False, "latch": "absent"}


def test_the_switch_is_what_the_latch_says(place: Place) -> None:
    with Latch.open(place.home.latch, create=True) as latch:
        assert report.switch(place.home) == {"halted": False, "latch": "readable"}
        latch.press("kind:backtest")
        assert report.switch(place.home) == {"halted": True, "latch": "readable"}
    place.home.latch.write_bytes(b"nonsense")
    assert report.switch(place.home) == {"halted": True, "latch": "unreadable"}


def test_workers_that_are_gone_are_not_listed(place: Place) -> None:
    note = '{"queues": ["batch"], "pid": %d, "threads": 2}'
    (place.home.run / f"worker-{os.getpid()}.json").write_text(note % os.getpid())
    (place.home.run / "worker-1.json").write_text(note % 2**22)
    (place.home.run / "worker-2.json").write_text("{")
    assert report.workers(place.home) == [{"queues": ["batch"], "pid": os.getpid(), "threads": 2}]
