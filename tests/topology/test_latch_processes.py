"""The latch between processes: seen at once, and whole after any kill -9."""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from topology.latch import Latch, scopes_of

WATCHER = """
import sys, time
from pathlib import Path
from topology.errors import LatchUnreadableError
from topology.latch import Latch, scopes_of
latch = Latch.open(Path(sys.argv[1]))
scopes = scopes_of("backtest", "momentum", "0" * 25 + sys.argv[2])
print("ready", flush=True)
last = 0
while True:
    try:
        found = latch.pressed(scopes)
    except LatchUnreadableError:  # a slow disk holds the writer's lock: what only reads waits
        continue
    if found and found.epoch != last:
        last = found.epoch
        print(last, time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)
    time.sleep(0.001)
"""

PRESSER = """
import itertools, sys
from pathlib import Path
from topology.latch import Latch
latch = Latch.open(Path(sys.argv[1]))
for number in itertools.count():
    scope = f"run:{number % 40:026d}"
    epoch = latch.press(scope)
    print(scope, epoch, flush=True)
    if number % 3 == 0:
        latch.lift(scope, epoch=epoch)
"""


def start(code: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), *arguments], stdout=subprocess.PIPE, text=True
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.fixture
def watchers(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    path = tmp_path / "halt.latch"
    Latch.open(path, create=True).close()
    started = [start(WATCHER, path, str(number)) for number in range(4)]
    assert [line(process) for process in started] == ["ready"] * 4
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_four_processes_see_a_press_within_50_ms(
    watchers: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    slowest: list[float] = []
    with Latch.open(tmp_path / "halt.latch") as latch:
        for _ in range(15):
            begun = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            epoch = latch.press("kind:backtest")
            seen = [line(process).split() for process in watchers]
            assert {int(one) for one, _ in seen} == {epoch}
            slowest.append(max(int(at) - begun for _, at in seen) / 1e6)
    assert statistics.median(slowest) < 50, f"milliseconds to the slowest of four: {slowest}"


def test_a_halt_reaches_only_the_run_it_names(
    watchers: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    with Latch.open(tmp_path / "halt.latch") as latch:
        latch.press(scopes_of("backtest", "momentum", "0" * 25 + "2")[3])
        assert line(watchers[2]).split()[0] == "1"
        latch.press("all")
        assert [line(process).split()[0] for process in watchers] == ["2"] * 4


def test_a_latch_is_whole_after_any_kill_of_its_writers(tmp_path: Path) -> None:
    path = tmp_path / "halt.latch"
    chance = random.Random(7)
    highest, changes = 0, 0
    with Latch.open(path, create=True) as latch:
        for _ in range(8):
            writers = [start(PRESSER, path) for _ in range(2)]
            assert all(line(writer) for writer in writers)
            time.sleep(chance.uniform(0.0, 0.03))
            said = []
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
                said += writer.communicate()[0].splitlines()
            acknowledged = max(int(one.split()[1]) for one in said if len(one.split()) == 2)
            latch.check()
            assert latch.epoch() >= max(acknowledged, highest)
            assert latch.changes() > changes
            highest, changes = latch.epoch(), latch.changes()
        assert latch.press("all") == highest + 1
        assert latch.pressed(["all"])
