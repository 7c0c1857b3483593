"""Detached processes: known by pid and start time, ended only when they are who we think."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from topology import processes
from topology.errors import HomeError
from topology.processes import Process, start, until


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = start(["/bin/sleep", "60"], log=tmp_path / "log", environ=os.environ)
    assert process
    yield process
    process.stop((signal.SIGKILL, 5.0))


def python(code: str, log: Path, *, stdin: bytes = b"", keep: tuple[int, ...] = ()) -> Process:
    argv = [sys.executable, "-c", code]
    process = start(argv, log=log, environ=os.environ, stdin=stdin, keep=keep)
    assert process
    return process


def test_a_started_process_lives_in_a_session_of_its_own(sleeper: Process) -> None:
    assert sleeper.alive
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert until(lambda: sleeper.command() == "/bin/sleep 60 ", 5)


def test_output_goes_to_a_private_log_and_is_appended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "import sys; print(sys.stdin.read()); print('error', file=sys.stderr)"
    assert python(code, log, stdin=b"said").wait(10)
    assert log.read_text().splitlines() == ["before", "said", "error"]
    (tmp_path / "log").unlink()
    assert python("", log).wait(10)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_large_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LOG_LIMIT", 3)
    log = tmp_path / "log"
    log.write_text("long")
    assert python("print('new')", log).wait(10)
    assert (log.read_text(), (tmp_path / "log.1").read_text()) == ("new\n", "long")


def test_a_descriptor_that_is_kept_stays_open_in_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    process = python(f"import os; os.write({writer}, b'held')", tmp_path / "log", keep=(writer,))
    assert process.wait(10)
    assert os.read(reader, 10) == b"held"
    assert not os.get_inheritable(writer)
    os.close(reader)
    os.close(writer)


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="no-such"):
        start(["/bin/true"], log=tmp_path / "no-such" / "log", environ={})


def test_a_pid_file_finds_the_process_again(sleeper: Process, tmp_path: Path) -> None:
    file = tmp_path / "name.pid"
    sleeper.write(file)
    assert Process.read(file) == sleeper
    sleeper.stop((signal.SIGKILL, 5.0))
    assert Process.read(file) is None


@pytest.mark.parametrize("text", ["", "x y", "12", "999999 1", "own 1", "-1 1"])
def test_a_stale_pid_file_finds_nobody(text: str, tmp_path: Path) -> None:
    file = tmp_path / "name.pid"
    file.write_text(text.replace("own", str(os.getpid())))
    assert Process.read(file) is None
    assert Process.read(tmp_path / "missing.pid") is None


def test_a_zombie_has_ended() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        assert until(lambda: Process.of(child.pid) is None, 5)
        child.returncode = 0


def test_a_reused_pid_is_another_process(sleeper: Process) -> None:
    stranger = Process(sleeper.pid, "1")
    assert not stranger.alive
    stranger.send(signal.SIGKILL)
    assert sleeper.alive


def test_stopping_goes_from_polite_to_certain(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\n"
    log = tmp_path / "log"
    deaf = python(code + "time.sleep(60)", log)
    assert until(lambda: "deaf" in log.read_text(), 10)
    begun = time.monotonic()
    assert not deaf.stop((signal.SIGTERM, 0.1))
    assert deaf.stop((signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0))
    assert time.monotonic() - begun < 5
    assert deaf.stop((signal.SIGTERM, 0.1)), "ending what has ended is done"


def test_who_works_in_a_folder_is_found(tmp_path: Path) -> None:
    code = f"import os, time; os.chdir({str(tmp_path)!r}); print('in', flush=True); time.sleep(60)"
    worker = python(code, tmp_path / "log")
    assert until(lambda: "in" in (tmp_path / "log").read_text(), 10)
    assert list(processes.working_in(tmp_path)) == [worker]
    worker.stop((signal.SIGKILL, 5.0))
    assert list(processes.working_in(tmp_path)) == []
