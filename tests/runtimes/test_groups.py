"""The keeper of worker groups: what it starts, and that it starts it again, later each time."""

from __future__ import annotations

import sys

import pytest

from runtimes import groups
from topology import processes
from topology.sections import Workers


def test_a_group_is_one_dramatiq_command_that_spawns() -> None:
    command = groups.command("batch", Workers(processes=2, threads=3))

    assert command[:4] == [sys.executable, "-m", "dramatiq", "runtimes.worker:boot"]
    text = " ".join(command)
    assert "--use-spawn" in text
    assert "-p 2 -t 3 -Q batch" in text
    assert "--worker-shutdown-timeout 30000" in text


def test_prefetch_equals_threads_and_an_idle_consumer_looks_again_soon() -> None:
    environment = groups.environment(Workers(threads=4), {"PATH": "/bin"})

    assert environment == {
        "PATH": "/bin",
        "dramatiq_queue_prefetch": "4",
        "dramatiq_worker_timeout": "200",
    }


def test_a_group_that_dies_comes_back_after_growing_pauses() -> None:
    group = groups.Group("batch", Workers(threads=1), application="runtimes.nowhere:boot")
    group.look(0.0)
    try:
        assert processes.until(lambda: not group.running, 30)
        group.look(1.0)
        assert group.due == pytest.approx(2.0)  # 0.5 s, doubled
        group.look(1.5)
        assert not group.running
        group.look(2.0)
        assert group.running
    finally:
        group.stop()
        group.wait(0.0)
