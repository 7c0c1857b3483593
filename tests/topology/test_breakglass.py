"""The halt that needs nothing: no server, no store, no sign-in; recorded before and after."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from topology import breakglass
from topology.home import Home
from topology.latch import Latch


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ALPHASWARM_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def spooled(home: Home) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.spool.read_text().splitlines()]


def test_a_halt_presses_and_is_written_down_before_and_after(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.ensure()
    Latch.open(home.latch, create=True).close()
    assert breakglass.main(["halt", "kind:backtest", "--reason", "bad prices"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "scope": "kind:backtest",
        "epoch": 1,
        "orders": "cancel",
        "recorded": True,
    }
    with Latch.open(home.latch) as latch:
        assert latch.pressed(["kind:backtest"])
    intended, done = spooled(home)
    assert (intended["decision"], intended["epoch"]) == ("intended", None)
    assert (done["decision"], done["epoch"], done["reason"]) == ("done", 1, "bad prices")
    assert (done["acr"], done["uid"]) == ("urn:alphaswarm:acr:os", os.getuid())
    assert intended["at_ns"] <= done["at_ns"]
    assert home.spool.stat().st_mode & 0o077 == 0


def test_a_missing_home_and_latch_are_made_halted_above_any_counted_epoch(home: Home) -> None:
    assert breakglass.main(["halt", "all", "--reason", "now"]) == 0
    with Latch.open(home.latch) as latch:
        found = latch.pressed(["all"])
    assert found is not None
    assert found.epoch > 10**12


def test_what_is_halted_is_told_with_exit_code_4(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.ensure()
    with Latch.open(home.latch, create=True) as latch:
        assert breakglass.main(["status"]) == 0
        assert json.loads(capsys.readouterr().out)["halted"] is False
        latch.press("all")
    assert breakglass.main(["status"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["halted"], told["in_force"][0]["scope"]) == (True, "all")


def test_a_wrong_scope_is_a_usage_error_and_changes_nothing(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert breakglass.main(["halt", "kind:bott", "--reason", "x"]) == 2
    body = json.loads(capsys.readouterr().err)
    assert (body["code"], body["hint"]) == ("invalid_arguments", "Did you mean 'bot'?")
    assert not home.latch.exists()
    assert not home.spool.exists()


def test_an_unreadable_latch_is_exit_code_5(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.ensure()
    home.latch.write_bytes(b"not a latch")
    assert breakglass.main(["halt", "all", "--reason", "x"]) == 5
    assert json.loads(capsys.readouterr().err)["code"] == "latch_unreadable"
    assert [one["decision"] for one in spooled(home)] == ["intended"], "the attempt is on record"


def test_a_home_that_cannot_be_is_exit_code_5(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.root.write_text("a file stands here")
    assert breakglass.main(["halt", "all", "--reason", "x"]) == 5
    assert json.loads(capsys.readouterr().err)["code"] == "latch_unreadable"


def test_a_halt_goes_on_when_it_cannot_be_recorded_and_says_so(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.ensure()
    home.spool.mkdir()
    assert breakglass.main(["halt", "all", "--reason", "x"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is False
    with Latch.open(home.latch) as latch:
        assert latch.pressed(["all"])


def test_a_line_waits_for_the_ledger_that_drains_and_is_not_lost(home: Home) -> None:
    home.ensure()
    home.spool.write_text("")
    drain = os.open(home.spool, os.O_RDWR)
    fcntl.flock(drain, fcntl.LOCK_EX)
    halting = threading.Thread(target=breakglass.halt, args=(home, "all"), kwargs={"reason": "x"})
    halting.start()
    time.sleep(0.05)
    home.spool.unlink()
    os.close(drain)
    halting.join(5)
    assert [one["decision"] for one in spooled(home)] == ["intended", "done"]


def test_it_starts_without_any_library(tmp_path: Path) -> None:
    code = (
        "import sys, topology.breakglass, topology.latch\n"
        "print(*[n for n in sys.modules if 'site-packages' in "
        "str(getattr(sys.modules[n], '__file__', ''))])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_command_halts_in_a_fresh_process(home: Home) -> None:
    argv = [sys.executable, "-m", "topology.latch", "halt", "all", "--reason", "x"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["recorded"] is True


def test_a_halt_before_the_first_start_makes_a_private_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHASWARM_HOME", str(tmp_path / "new"))
    assert breakglass.main(["halt", "all", "--reason", "now"]) == 0
    for folder in (tmp_path / "new", tmp_path / "new" / "run"):
        assert folder.stat().st_mode & 0o777 == 0o700
