"""Whoever does not stop for a halt is ended: asked at ``grace_s``, killed at ``kill_s`` (K9)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimes.holding import Hold, held, reported
from runtimes.watchdog import EARLY_S, Watchdog
from topology.home import Home
from topology.latch import Latch
from topology.processes import Process, until
from topology.sections import HaltLimits

RUN = "0" * 26
LIMITS = HaltLimits(grace_s=3, kill_s=5)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home with a latch."""
    found = Home(tmp_path)
    found.ensure()
    Latch.open(found.latch, create=True).close()
    return found


@pytest.fixture
def deaf(home: Home) -> Iterator[Process]:
    """Yield a process that hears no SIGTERM and holds a run."""
    started = subprocess.Popen(
        [sys.executable, "-c", f"{DEAF}; time.sleep(600)"], stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    started.stdout.readline()
    process = Process.of(started.pid)
    assert process is not None
    with Hold(home, kind="analysis", name="deaf", run_id=RUN, attempt=2):
        ((file, mine),) = held(home)
        facts = {field: getattr(mine, field) for field in mine.__slots__}
        file.write_text(json.dumps({**facts, "pid": process.pid, "started": process.started}))
        yield process
    started.kill()
    started.communicate()


def press(home: Home, scope: str) -> int:
    with Latch.open(home.latch) as latch:
        return latch.press(scope)


def test_a_silent_run_is_asked_then_killed_then_reported(home: Home, deaf: Process) -> None:
    dog = Watchdog(home, LIMITS)
    dog.look(100.0)
    epoch = press(home, "kind:analysis")
    for now in (100.0, 102.0):
        dog.look(now)
    assert deaf.alive
    dog.look(103.0)  # SIGTERM, which it does not hear
    dog.look(104.0)
    assert deaf.alive
    assert list(reported(home)) == []

    dog.look(105.0 - EARLY_S)
    assert deaf.wait(10)
    dog.look(105.1)

    ((_, silent),) = reported(home)
    assert (silent.run_id, silent.attempt) == (RUN, 2)
    assert (silent.scope, silent.epoch) == ("kind:analysis", epoch)
    assert list(held(home)) == []


@pytest.mark.parametrize("scope", ["kind:rl", "spec:analysis/other", f"run:{'1' * 26}"])
def test_who_is_not_meant_is_left_alone(home: Home, deaf: Process, scope: str) -> None:
    dog = Watchdog(home, LIMITS)
    press(home, scope)
    for now in range(100, 120):
        dog.look(float(now))
    assert deaf.alive


def test_a_halt_that_was_lifted_in_time_kills_nobody(home: Home, deaf: Process) -> None:
    dog = Watchdog(home, LIMITS)
    epoch = press(home, "all")
    dog.look(100.0)
    dog.look(102.5)
    with Latch.open(home.latch) as latch:
        latch.lift("all", epoch=epoch)
    dog.look(110.0)
    press(home, "all")
    dog.look(111.0)
    dog.look(112.0)
    assert deaf.alive


def test_another_process_with_that_pid_is_not_touched(home: Home, deaf: Process) -> None:
    """A pid is used again: only the process that began the run is meant."""
    ((file, mine),) = held(home)
    facts = {field: getattr(mine, field) for field in mine.__slots__}
    file.write_text(json.dumps({**facts, "started": "1"}))
    dog = Watchdog(home, LIMITS)
    press(home, "all")
    for now in range(100, 110):
        dog.look(float(now))
    assert deaf.alive
    assert [silent.run_id for _, silent in reported(home)] == [RUN]  # who held it is gone


def test_a_latch_that_cannot_be_read_kills_nobody(home: Home, deaf: Process) -> None:
    dog = Watchdog(home, LIMITS)
    press(home, "all")
    home.latch.write_bytes(b"")
    for now in range(100, 120):
        dog.look(float(now))
    assert deaf.alive


def test_what_has_stopped_is_held_no_more(home: Home) -> None:
    with Hold(home, kind="analysis", name="quick", run_id=RUN, attempt=1) as hold:
        assert [run.run_id for _, run in held(home)] == [RUN]
        hold.let_go()
        assert list(held(home)) == []
    assert until(lambda: not list(held(home)), 1)
