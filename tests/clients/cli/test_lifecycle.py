"""Up and down on homes of their own: long paths, taken ports, killed processes, nothing left."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.kit.client import Alphaswarm, Demonstrated, free_port
from topology.home import Home
from topology.processes import Process


def test_status_of_a_home_that_was_never_used(fresh: Alphaswarm) -> None:
    done = fresh.run("status")
    assert done.returncode == 5
    assert "alphaswarm up" in done.stderr
    found = fresh.json("status")
    assert (found["running"], found["ready"], found["halted"]) == (False, False, False)
    assert [server["ready"] for server in found["servers"].values()] == [False] * 3
    assert not fresh.home.root.exists()


def test_commands_without_a_suite_say_what_to_start(fresh: Alphaswarm) -> None:
    done = fresh.run("runs", "list")
    assert done.returncode == 3
    assert "alphaswarm login" in done.stderr
    done = fresh.run("login", "--local", "--json")
    assert done.returncode == 5
    assert "alphaswarm up" in done.stdout


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = Alphaswarm(Home(tmp_path / "file"), free_port())
    done = command.run("up")
    assert done.returncode == 2
    assert "home" in done.stderr


def test_doctor_on_a_fresh_home_names_the_first_step(fresh: Alphaswarm) -> None:
    assert "Run `alphaswarm up`." in fresh("doctor")


def test_a_taken_port_starts_nothing(fresh: Alphaswarm) -> None:
    with socket.create_server(("127.0.0.1", fresh.port)):
        done = fresh.run("up")
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert fresh.processes() == []


def test_a_suite_survives_kills_of_everything_and_leaves_nothing(tmp_path: Path) -> None:
    # The path is too long for a Unix socket on purpose.
    home = Home(tmp_path / ("long" * 25) / "home")
    command = Alphaswarm(home, free_port())
    try:
        command("up")
        command("login", "--local")
        command("call", "backtest.list_strategies")
        assert len(command.processes()) > 6
        # More than once: a keeper that dies last has already begun another worker.
        while left := command.processes():
            for process in left:
                process.send(signal.SIGKILL)
        found = command.json("status")
        assert found["running"] is False
        assert found["workers"] == []
        command("up")
        assert command.json("status")["ready"] is True
        command("call", "backtest.list_strategies")
        keeper = Process(command.json("status")["processes"]["workers"], "")
        os.kill(keeper.pid, signal.SIGKILL)
    finally:
        command("down")
    assert command.processes() == []
    assert command("down").strip() == "Nothing was running."


@pytest.mark.parametrize("after_s", [0.6, 2.0])
def test_an_up_that_is_killed_half_way_leaves_nothing_that_down_does_not_end(
    fresh: Alphaswarm, after_s: float
) -> None:
    command = fresh.start("up")
    time.sleep(after_s)
    command.kill()
    with command:
        fresh("down")
    assert fresh.processes() == []


@pytest.mark.parametrize("name", ["up", "down"])
def test_two_homes_do_not_see_each_other(
    alphaswarm: Demonstrated, fresh: Alphaswarm, name: str
) -> None:
    done = fresh.run("down") if name == "down" else fresh.run("up", "--port", str(alphaswarm.port))
    assert done.returncode == (0 if name == "down" else 2)
    assert alphaswarm.json("status")["ready"] is True
