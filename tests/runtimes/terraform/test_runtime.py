"""Stacks through their runtime, driven by the labelled fake: plan, approval, apply, and each trap.

`tests.kit.fake_tofu` plays the documented JSON; `test_real.py` repeats the path with a real one.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger import audit, plans, runs
from ledger.pool import transaction
from ledger.reaper import reap
from runtimes.context import Workshop
from tests.kit.fake_tofu import behave, calls, install, world
from tests.kit.stacks import SECRET, TREE, Stacks, stacks_of
from topology.errors import AlphaSwarmError
from topology.processes import until

MORE = TREE + 'resource "toy_thing" "c" { input = 3 }\n'
BUCKET = 'resource "toy_bucket" "data" { input = 1 }\n'
PLANTED = 'variable "TOKEN" {}\nresource "toy_thing" "a" { input = var.TOKEN }\n'
HOLDER = {"credentials": {"TF_VAR_TOKEN": "planted"}}


@pytest.fixture
def stacks(workshop: Workshop, tmp_path: Path) -> Stacks:
    """Return a bench for a stack that nobody else has, driven by a fake of its own."""
    program = install(tmp_path / "bin")
    return stacks_of(workshop, f"stack-{tmp_path.name.lower()[-40:]}", program, tmp_path / "secret")


def rows(stacks: Stacks, run: runs.Run) -> list[tuple[str, str]]:
    """Return action and decision of the audit rows about a run, in order."""
    with transaction(stacks.workshop.pool) as connection:
        text = (
            "SELECT action, decision FROM audit"
            " WHERE target = %s AND action = 'apply_change' ORDER BY seq"
        )
        found = connection.execute(text, (f"run:{run.run_id}",)).fetchall()
    return [(row["action"], row["decision"]) for row in found]


def test_a_stack_is_planned_approved_and_applied(stacks: Stacks) -> None:
    planned = stacks.plan()
    assert planned.status == "waiting"
    assert world(stacks.program) == {}, "a plan changes nothing"
    assert (planned.statistics or {})["plan"]["changes"] == [
        {"address": "toy_thing.a", "action": "create", "detail": ""},
        {"address": "toy_thing.b", "action": "create", "detail": ""},
    ]

    done = stacks.apply(planned)

    assert (done.status, done.error) == ("succeeded", None)
    assert world(stacks.program) == {"toy_thing.a": 1, "toy_thing.b": 2}
    found = done.statistics or {}
    assert (found["changes"], found["resources"], found["state_serial"]) == (2, 2, 1)
    stages = [frame.stage for frame in stacks.frames(done) if frame.stage != "warning"]
    assert stages == [
        *("start", "plan.done", "approval.required"),
        *("start", "resource.changed", "resource.changed", "done"),
    ]
    assert rows(stacks, done) == [("apply_change", "intended"), ("apply_change", "done")]
    commands = [call["argv"][0] for call in calls(stacks.program)]
    assert commands.count("apply") == 1
    assert commands[-8:] == ["init", "state", "plan", "show", "init", "state", "apply", "state"]
    assert (done.engine or {})["version"] == "tofu 1.10.0-fake"
    again = stacks.plan()
    assert (again.status, len(calls(stacks.program, "apply"))) == ("succeeded", 1), "nothing to do"


def test_drift_is_told_and_a_refresh_takes_it_over(stacks: Stacks, tmp_path: Path) -> None:
    stacks.made()
    (tmp_path / "bin" / "world.json").write_text('{"toy_thing.a": 1, "toy_thing.b": 9}')

    planned = stacks.plan()

    told = {f.extras["code"]: f.extras for f in stacks.frames(planned) if f.stage == "warning"}
    assert told["stack_drift"]["addresses"] == ["toy_thing.b"]
    changes = (planned.statistics or {})["plan"]["changes"]
    assert [(one["address"], one["action"]) for one in changes] == [("toy_thing.b", "update")]

    refreshed = stacks.made(mode="refresh")

    assert refreshed.status == "succeeded"
    assert world(stacks.program)["toy_thing.b"] == 9, "the world stays, the state follows"
    assert stacks.perform(_approved(stacks, planned)).error == _stale("serial", refreshed)


def _approved(stacks: Stacks, run: runs.Run) -> runs.Run:
    stacks.approve(run)
    return run


class _stale:  # noqa: N801  reads like a value in the assertions
    """Equals an error ``plan_stale`` that names ``fact``."""

    def __init__(self, fact: str, _: object = None) -> None:
        self.fact = fact

    def __eq__(self, error: object) -> bool:
        return isinstance(error, dict) and error["code"] == "plan_stale" and self.fact in str(error)

    __hash__ = None  # type: ignore[assignment]


def changed_binary(stacks: Stacks, run: runs.Run, superuser: psycopg.Connection[Any]) -> None:
    """F1: one byte of plan.bin is another one."""
    del superuser
    file = stacks.folder / "plans" / run.run_id / "plan.bin"
    file.write_bytes(file.read_bytes().replace(b"toy_thing.b", b"toy_thing.x"))


def moved_serial(stacks: Stacks, run: runs.Run, superuser: psycopg.Connection[Any]) -> None:
    """F1: the state was written since."""
    del run, superuser
    (stacks.folder / "module" / "terraform.tfstate").write_text(
        '{"version": 4, "serial": 7, "lineage": "other", "resources": []}'
    )


def old(stacks: Stacks, run: runs.Run, superuser: psycopg.Connection[Any]) -> None:
    """F1: sixteen minutes have passed before a worker came."""
    del stacks
    age(superuser, run, "16 minutes")


def age(superuser: psycopg.Connection[Any], run: runs.Run, by: str) -> None:
    """Let a plan have been made earlier than it was."""
    superuser.execute(
        "UPDATE change_plans SET expires_at = expires_at - %s::interval WHERE run_id = %s",
        (by, run.run_id),
    )


@pytest.mark.parametrize("spoil", [changed_binary, moved_serial, old])
def test_a_plan_that_no_longer_holds_is_refused_and_nothing_is_applied(
    stacks: Stacks,
    superuser: psycopg.Connection[Any],
    spoil: Callable[[Stacks, runs.Run, psycopg.Connection[Any]], None],
) -> None:
    run = stacks.plan()
    if spoil is old:
        old(stacks, run, superuser)
        with pytest.raises(AlphaSwarmError, match="older than 15 minutes"):
            stacks.approve(run)
        age(superuser, run, "-16 minutes")
    _approved(stacks, run)
    spoil(stacks, run, superuser)

    done = stacks.perform(run)

    assert (done.status, (done.error or {})["code"]) == ("failed", "plan_stale")
    assert calls(stacks.program, "apply") == []
    assert world(stacks.program) == {}
    assert rows(stacks, run) == [], "without an intent there is no effect"


@pytest.mark.parametrize("crash", ["toy_thing.a", "kept"])
def test_a_program_that_dies_is_asked_about_and_never_run_twice(stacks: Stacks, crash: str) -> None:
    """F1: dead after creating, with the state unwritten or written; known only in one case."""
    run = stacks.plan()
    behave(stacks.program, crash=crash)

    done = stacks.apply(run)

    assert len(calls(stacks.program, "apply")) == 1
    if crash == "kept":
        assert (done.status, (done.statistics or {})["reconciled"]) == ("succeeded", True)
        assert world(stacks.program) == {"toy_thing.a": 1, "toy_thing.b": 2}
        assert rows(stacks, run)[-1] == ("apply_change", "done")
        return
    assert (done.status, (done.error or {})["code"]) == ("failed", "outcome_unknown")
    assert (done.error or {})["facts"]["left"] == ["toy_thing.a", "toy_thing.b"]
    assert rows(stacks, run)[-1] == ("apply_change", "unknown")
    assert stacks.perform(run).status == "failed", "the run is over"
    assert len(calls(stacks.program, "apply")) == 1


def test_a_worker_that_is_killed_leaves_a_run_that_is_asked_about(stacks: Stacks) -> None:
    """kill -9: the program stops by itself (SIGINT); the next worker only compares."""
    run = _approved(stacks, stacks.plan())
    behave(stacks.program, slow_s=600)
    busy = stacks.program.with_name("busy")
    busy.unlink()
    argv = ["-m", "tests.kit.stack_worker", stacks.name, str(stacks.program), run.run_id]
    environ = {**os.environ, "ALPHASWARM_HOME": str(stacks.workshop.home.root)}
    with subprocess.Popen([sys.executable, *argv], env=environ) as worker:
        while not busy.exists():
            time.sleep(0.02)
            assert worker.poll() is None
        worker.kill()
    behave(stacks.program)
    while runs.get(stacks.workshop.pool, run.run_id).status != "queued":
        time.sleep(0.05)
        reap(stacks.workshop.pool)

    done = stacks.perform(run)

    assert (done.status, (done.error or {})["code"]) == ("failed", "outcome_unknown")
    facts = (done.error or {})["facts"]
    assert (facts["state_serial_before"], facts["state_serial"]) == (0, 1), "it wrote its state"
    assert facts["left"] == ["toy_thing.b"]
    assert world(stacks.program) == {"toy_thing.a": 1}
    assert len(calls(stacks.program, "apply")) == 1


def test_a_worker_that_has_to_go_leaves_the_program_to_its_end(stacks: Stacks) -> None:
    """The next worker waits for the lock that the program holds, and finds that all is made."""
    run = _approved(stacks, stacks.plan())
    busy, gate = stacks.program.with_name("busy"), stacks.program.with_name("gate")
    behave(stacks.program, gate=str(gate))
    busy.unlink()
    going = stacks.going()

    def stop() -> None:
        until(busy.exists, 60)
        going.workshop.stopping.set()

    stopping = threading.Thread(target=stop)
    stopping.start()
    going.perform(run)  # here: what a thread started is told to stop when that thread ends
    stopping.join()
    assert runs.get(stacks.workshop.pool, run.run_id).status == "queued"
    second = threading.Thread(target=stacks.perform, args=(run,))
    second.start()
    gate.touch()
    second.join(60)

    done = runs.get(stacks.workshop.pool, run.run_id)
    assert (done.status, (done.statistics or {})["reconciled"]) == ("succeeded", True)
    assert world(stacks.program) == {"toy_thing.a": 1, "toy_thing.b": 2}
    assert len(calls(stacks.program, "apply")) == 1


def test_a_failing_resource_fails_the_run_and_tells_what_was_made(stacks: Stacks) -> None:
    run = stacks.plan()
    behave(stacks.program, fail="toy_thing.b")

    done = stacks.apply(run)

    error = done.error or {}
    assert (done.status, error["code"]) == ("failed", "stack_failed")
    assert error["facts"]["applied"] == [{"address": "toy_thing.a", "action": "create"}]
    assert error["facts"]["reasons"][0]["address"] == "toy_thing.b"
    assert rows(stacks, run)[-1] == ("apply_change", "failed")
    later = stacks.plan()
    assert [one["address"] for one in (later.statistics or {})["plan"]["changes"]] == [
        "toy_thing.b"
    ]


def test_a_store_is_destroyed_by_two_approvals_only(stacks: Stacks) -> None:
    stacks.made(BUCKET)
    run = stacks.plan(BUCKET, mode="destroy")
    shown = (run.statistics or {})["plan"]
    assert (shown["destroys"], shown["approvals"]) == (["toy_bucket.data"], 2)

    first = stacks.approve(run, allow_destroy=True)
    assert not first.approved
    assert runs.get(stacks.workshop.pool, run.run_id).status == "waiting"
    assert world(stacks.program) == {"toy_bucket.data": 1}

    done = stacks.apply(run, allow_destroy=True)
    assert (done.status, world(stacks.program)) == ("succeeded", {})


def test_a_secret_is_in_the_plan_and_nowhere_else(
    stacks: Stacks, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither frames, rows, audit, errors nor logs; the files that hold it are their user's."""
    made = stacks.plan(PLANTED, **HOLDER)
    files = stacks.folder / "plans" / made.run_id
    assert SECRET in (files / "plan.bin").read_text()
    assert SECRET in (files / "plan.json").read_text()
    for file in (files / "plan.bin", files / "plan.json", files / "run.log"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stacks.folder.stat().st_mode) == 0o700
    behave(stacks.program, fail="toy_thing.a", leak=SECRET)
    failed = stacks.apply(made)
    assert (failed.error or {})["facts"]["reasons"][0]["summary"] == "toy_thing.a refuses [secret]"
    assert SECRET in (files / "run.log").read_text(), "its own words stay beside the plan"
    behave(stacks.program, fail="plan", leak=SECRET)
    refused = stacks.plan(PLANTED, **HOLDER)
    assert (refused.error or {})["code"] == "stack_failed"
    assert not (files / "plan.bin").exists(), "what was used is forgotten"
    told = [str(stacks.frames(run)) + str(run) for run in (failed, refused)]
    told += [str(row) for row in audit.tail(stacks.workshop.pool, limit=50, newest_first=True)]
    told += [str(plans.get(stacks.workshop.pool, made.run_id)), caplog.text]
    assert not [text for text in told if SECRET in text]


def test_the_program_knows_what_it_is_told_and_no_more(
    stacks: Stacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the worker")
    monkeypatch.setenv("TF_LOG", "TRACE")
    stacks.plan(PLANTED, **HOLDER)
    for call in calls(stacks.program):
        assert call["environ"] == {
            "PATH": os.environ["PATH"],
            "HOME": str(stacks.folder),
            "LANG": "C.UTF-8",
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(stacks.folder / "cli.tfrc"),
            "TF_VAR_TOKEN": SECRET,
        }
        assert call["cwd"] == str(stacks.folder / "module")


def test_a_credential_that_stacks_may_not_use_is_refused_before_anything_runs(
    stacks: Stacks,
) -> None:
    run = stacks.plan(credentials={"TF_VAR_TOKEN": "pg"})
    assert (run.error or {})["code"] == "access_denied"
    assert calls(stacks.program) == []


@pytest.mark.parametrize(
    ("script", "tree", "code"),
    [
        pytest.param({"ui": "2.0"}, TREE, "stack_format", id="a stream of another major version"),
        pytest.param({"fail": "init"}, TREE, "stack_failed", id="providers that are not locked"),
        pytest.param(
            {},
            TREE + 'module "m" { source = "example/m/toy" }\n',
            "invalid_spec",
            id="a module that the hash does not cover",
        ),
    ],
)
def test_what_cannot_be_trusted_is_refused_before_anybody_approves(
    stacks: Stacks, script: dict[str, Any], tree: str, code: str
) -> None:
    behave(stacks.program, **script)
    run = stacks.plan(tree)
    assert (run.status, (run.error or {})["code"]) == ("failed", code)


def test_another_build_of_the_program_does_not_apply_the_plan_of_the_first(
    stacks: Stacks,
) -> None:
    run = _approved(stacks, stacks.plan())
    stacks.program.write_text(stacks.program.read_text() + "# another build\n")
    assert (stacks.perform(run).error or {})["code"] == "replay_diverged"
    assert calls(stacks.program, "apply") == []


@pytest.mark.parametrize("deaf", [False, True])
def test_a_halt_stops_the_program_and_tells_how_far_it_came(stacks: Stacks, deaf: bool) -> None:
    """SIGINT first: it ends its step and writes its state. A deaf one is killed: unknown."""
    run = _approved(stacks, stacks.plan())
    behave(stacks.program, slow_s=60, deaf=deaf)
    busy = stacks.program.with_name("busy")
    busy.unlink()
    done = stacks.halted(run, busy)

    assert done.status == "halted"
    facts = (done.error or {})["facts"]
    if deaf:
        assert facts["outcome"] == "unknown"
        assert rows(stacks, run)[-1] == ("apply_change", "unknown")
        return
    assert facts["applied"] == [{"address": "toy_thing.a", "action": "create"}]
    assert (done.statistics or {})["partial"] is True
    assert world(stacks.program) == {"toy_thing.a": 1}
    behave(stacks.program)
    left = stacks.plan()
    assert [one["address"] for one in (left.statistics or {})["plan"]["changes"]] == ["toy_thing.b"]


def test_two_runs_of_one_stack_wait_for_each_other(stacks: Stacks) -> None:
    """The lock is the program's too: what a dead worker left running is waited for."""
    first, second = stacks.submit(), stacks.submit(MORE)
    threads = [threading.Thread(target=stacks.perform, args=(run,)) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    commands = [call["argv"][0] for call in calls(stacks.program) if call["argv"][0] != "version"]
    assert commands == ["init", "state", "plan", "show"] * 2
    assert stacks.apply(first).status == "succeeded"
    _approved(stacks, second)
    assert (stacks.perform(second).error or {})["code"] == "plan_stale"


def test_without_a_program_the_run_says_which_one_is_missing(
    workshop: Workshop, tmp_path: Path
) -> None:
    stacks = stacks_of(workshop, "no-program", tmp_path / "nothing")
    assert (stacks.plan().error or {})["code"] == "binary_missing"
