"""A launcher leaves nothing of its program: not a child that hides, not a restart after a stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from topology import launching
from topology.latch import Latch
from topology.launching import Orders, Probe, State
from topology.processes import Process, carrying, until

PATIENCE_S = 20.0
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
print("here", flush=True)
time.sleep(600)
"""
"""Ignores SIGTERM, and leaves a grandchild in a session of its own whose parent is gone."""
NOBLE = "import time; time.sleep(600)"


class Kept:
    """A program under its launcher, as a test sees it."""

    def __init__(self, folder: Path, code: str, **orders: Any) -> None:
        self.log, self.file = folder / "log", folder / "state.json"
        self.mark = f"kept-{folder.name}-{os.getpid()}"
        environ = {"PATH": "/usr/bin:/bin", "MARKED": self.mark}
        process = launching.start(
            "test",
            [sys.executable, "-c", code],
            Orders(environ=environ, state=str(self.file), **orders),
            log=self.log,
            environ=launching.own_environment({}),
        )
        assert process is not None
        self.process = process

    def state(self) -> State:
        return State.read(self.file) or State(0, "", "starting")

    def becomes(self, wanted: Callable[[State], object]) -> State:
        assert until(lambda: bool(wanted(self.state())), PATIENCE_S), self.state()
        return self.state()

    def says(self, text: str) -> None:
        assert until(lambda: text in self.log.read_text(), PATIENCE_S), self.log.read_text()

    def alive(self) -> list[Process]:
        return list(carrying("MARKED", self.mark))


@contextmanager
def kept(folder: Path, code: str, **orders: Any) -> Iterator[Kept]:
    """Keep a program for the block; nothing of it outlives the test."""
    one = Kept(folder, code, **orders)
    try:
        yield one
    finally:
        one.process.stop((signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
        for process in one.alive():
            process.send(signal.SIGKILL)


def test_who_ignores_sigterm_and_hides_a_child_is_ended_whole_and_its_log_stays(
    tmp_path: Path,
) -> None:
    """W1 of the design: stop(1) does not do it, kill does."""
    with kept(tmp_path, DEAF) as one:
        one.says("here")
        assert until(lambda: len(one.alive()) == 2, PATIENCE_S)
        assert len({os.getsid(process.pid) for process in one.alive()}) == 2

        one.process.send(signal.SIGTERM)
        assert not one.process.wait(1)
        assert len(one.alive()) == 2

        one.process.send(signal.SIGQUIT)
        assert one.process.wait(PATIENCE_S)
        assert one.alive() == []
        assert (one.state().why, one.state().exit_code) == ("stopped", 128 + signal.SIGKILL)
    assert one.log.read_text() == "here\n"


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    code = DEAF.replace('time.sleep(600)\n"""', "").replace(
        'print("here", flush=True)\ntime.sleep(600)', "raise SystemExit(3)"
    )
    with kept(tmp_path, code) as one:
        assert one.process.wait(PATIENCE_S)
        assert one.alive() == []
        assert one.state().exit_code == 3


def test_a_launcher_that_is_killed_takes_its_program_along(tmp_path: Path) -> None:
    with kept(tmp_path, "print('here', flush=True); import time; time.sleep(600)") as one:
        one.says("here")
        one.process.send(signal.SIGKILL)
        assert until(lambda: one.alive() == [], PATIENCE_S)


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        pytest.param("never", 1, 0, id="never"),
        pytest.param("on_failure", 0, 0, id="on failure, and it went well"),
        pytest.param("on_failure", 5, 2, id="on failure: as often as allowed"),
        pytest.param("always", 0, 2, id="always: as often as allowed"),
    ],
)
def test_when_it_is_started_again(tmp_path: Path, policy: str, code: int, restarts: int) -> None:
    text = f"print('run', flush=True); raise SystemExit({code})"
    with kept(tmp_path, text, restart=policy, most=2, pause_s=0.01) as one:
        assert one.process.wait(PATIENCE_S)
        assert (one.state().restarts, one.state().exit_code) == (restarts, code)
        assert one.log.read_text() == "run\n" * (restarts + 1)


def test_who_is_stopped_between_two_starts_does_not_start_again(tmp_path: Path) -> None:
    with kept(tmp_path, "raise SystemExit(1)", restart="always", most=9, pause_s=600.0) as one:
        one.becomes(lambda state: state.phase == "restarting")
        one.process.send(signal.SIGTERM)
        assert one.process.wait(PATIENCE_S)
        assert (one.state().phase, one.state().why) == ("exited", "stopped")


def test_limits_hold_for_the_program(tmp_path: Path) -> None:
    code = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE))"
    with kept(tmp_path, code, limits={"nofile": 64, "core": 0}) as one:
        assert one.process.wait(PATIENCE_S)
    assert one.log.read_text() == "(64, 64) (0, 0)\n"


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "state.json"
    orders = Orders(environ={"PATH": "/nowhere"}, state=str(file))
    process = launching.start(
        "x", ["no-such-program"], orders, log=log, environ=launching.own_environment({})
    )
    assert process is None or process.wait(PATIENCE_S)
    state = State.read(file)
    assert state is not None
    assert (state.phase, state.exit_code) == ("exited", 127)
    assert "no-such-program cannot be started" in log.read_text()


def test_a_halt_ends_it_and_it_is_not_started_again(tmp_path: Path) -> None:
    latch = tmp_path / "halt.latch"
    with (
        Latch.open(latch, create=True) as switch,
        kept(
            tmp_path,
            DEAF,
            latch=str(latch),
            scopes=["all", "kind:workload"],
            restart="always",
            most=9,
            halt_grace_s=0.2,
        ) as one,
    ):
        one.says("here")
        epoch = switch.press("kind:workload")
        assert one.process.wait(PATIENCE_S)
        state = one.state()
        assert one.alive() == []
    assert (state.why, state.epoch, state.scope) == ("halted", epoch, "kind:workload")


def test_a_halt_of_something_else_changes_nothing(tmp_path: Path) -> None:
    latch = tmp_path / "halt.latch"
    with (
        Latch.open(latch, create=True) as switch,
        kept(tmp_path, DEAF, latch=str(latch), scopes=["all"], halt_grace_s=0.0) as one,
    ):
        one.says("here")
        switch.press("kind:workload")
        assert not one.process.wait(0.5)


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_a_port_that_answers_is_well_and_one_that_stops_is_not(tmp_path: Path, kind: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = f"""
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path({str(tmp_path / "good")!r}).exists() else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""
    good = tmp_path / "good"
    good.touch()
    probe = Probe(kind, port=port, every_s=0.05, timeout_s=5.0, start_s=60.0, failures=2)
    with kept(tmp_path, code, probe=probe) as one:
        one.becomes(lambda state: state.well is True)
        good.unlink()
        if kind == "tcp":
            assert one.state().pid is not None
            os.kill(one.state().pid or 0, signal.SIGSTOP)
            assert one.state().well is True, "a listening socket still takes connections"
        else:
            one.becomes(lambda state: state.well is False)
            good.touch()
            one.becomes(lambda state: state.well is True)


def test_a_command_tells_and_who_stays_unwell_is_restarted(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.touch()
    argv = [sys.executable, "-c", f"import os; raise SystemExit(not os.path.exists({str(good)!r}))"]
    probe = Probe("argv", argv=argv, every_s=0.05, timeout_s=10.0, start_s=60.0, failures=1)
    with kept(
        tmp_path,
        NOBLE,
        probe=probe,
        restart="on_failure",
        most=1,
        pause_s=0.01,
    ) as one:
        first = one.becomes(lambda state: state.well is True)
        good.unlink()
        again = one.becomes(lambda state: state.restarts == 1 and state.pid)
        assert again.pid != first.pid
