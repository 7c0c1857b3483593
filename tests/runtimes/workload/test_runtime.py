"""Workloads from plan to end: nothing starts unapproved, nothing lives on that may not."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger import halts, plans
from ledger.halts import Halts
from ledger.pool import Pool, transaction
from tests.kit.office import ANNA
from tests.kit.work import frames_of
from tests.kit.workloads import Crew
from tools import control_changes
from tools import runs as seen
from topology import launching
from topology.clock import SystemClock
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    BinaryMissingError,
    FaultError,
    HaltedError,
    InvalidSpecError,
    RefusedError,
)
from topology.ids import new_id


def test_a_plan_shows_what_would_be_started_and_starts_nothing(crew: Crew) -> None:
    run = crew.plan("wl-plan")

    assert run.status == "waiting"
    assert run.statistics is not None
    plan = run.statistics["plan"]
    assert [change["action"] for change in plan["changes"]] == ["create"]
    assert plan["destroys"] == []
    assert len(plan["facts"]["program_sha256"]) == 64
    assert crew.stages(run) == ["start", "plan.done", "approval.required"]
    asked = frames_of(crew.office.pool, run.task_id)[-1]
    assert asked.extras["plan_sha256"] == plan["sha256"]
    assert crew.status(run).phase == "absent"


def test_an_approved_plan_is_made_and_its_run_waits_while_it_lives(crew: Crew) -> None:
    run = crew.start("wl-start", health={"kind": "argv", "argv": ["true"], "every_s": 0.1})

    assert (run.status, crew.status(run).phase, crew.status(run).well) == (
        "waiting",
        "running",
        True,
    )
    assert crew.stages(run)[-2:] == ["resource.changed", "health"]
    assert crew.audit(run) == [
        ("approve_change", "intended"),
        ("approve_change", "done"),
        ("apply_change", "intended"),
        ("apply_change", "done"),
    ]
    assert crew.provider.logs(run.run_id, lines=5) == ["here"]
    assert run.run_id in crew.provider.list()


def test_the_same_spec_again_changes_nothing_and_another_one_replaces(crew: Crew) -> None:
    first = crew.start("wl-replace")

    same = crew.plan("wl-replace")
    assert (same.status, crew.run(first.run_id).status) == ("succeeded", "waiting")

    other = crew.plan("wl-replace", halt_grace_s=1.0)
    assert other.statistics is not None
    assert other.statistics["plan"]["destroys"] == ["process/wl-replace"]
    with pytest.raises(RefusedError, match="destroys or replaces 1") as refused:
        crew.approve(other)
    assert refused.value.wire_code == "confirmation_required"
    crew.approve(other, allow_destroy=True)
    crew.work(other.run_id)

    assert crew.run(first.run_id).status == "cancelled"
    assert (crew.status(first).alive, crew.status(other).alive) == (False, True)


def test_a_cancelled_workload_is_stopped_before_its_run_ends(crew: Crew) -> None:
    run = crew.start("wl-cancel")

    asked = seen.cancel(crew.office, ANNA, run.run_id, kind=None)
    assert asked.status == "waiting"
    assert crew.status(run).alive
    ended = crew.ended(run)

    assert (ended.status, crew.status(run).alive) == ("cancelled", False)
    assert crew.audit(run)[-2:] == [("stop_workload", "intended"), ("stop_workload", "done")]
    assert crew.provider.logs(run.run_id, lines=5) == ["here"], "its log stays"


def test_what_is_left_of_it_goes_when_its_time_is_over(crew: Crew) -> None:
    run = crew.start("wl-old")
    seen.cancel(crew.office, ANNA, run.run_id, kind=None)
    crew.ended(run)
    assert crew.provider.logs(run.run_id, lines=5) == ["here"]

    long_ago = crew.office.clock.now().timestamp() - crew.office.topology.workload.keep_s - 60
    os.utime(launching.state_file(crew.office.home, run.run_id), (long_ago, long_ago))
    crew.looked_after(lambda: crew.status(run).phase == "absent")
    assert crew.provider.logs(run.run_id, lines=5) == []


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        pytest.param("", "succeeded", None, id="by itself, with 0"),
        pytest.param("print('why'); raise SystemExit(3)", "failed", "workload_failed", id="with 3"),
    ],
)
def test_a_workload_that_ends_ends_its_run(
    crew: Crew, code: str, status: str, error: str | None
) -> None:
    text = f"import time; time.sleep(0.5)\n{code}"
    run = crew.start(f"wl-ends-{status}", text)
    ended = crew.ended(run) if run.status == "waiting" else run

    assert ended.status == status
    if error:
        assert ended.error is not None
        assert (ended.error["code"], ended.error["facts"]["exit_code"]) == (error, 3)
        assert ended.error["facts"]["said"] == ["why"]
    assert crew.stages(run)[-1] == {"succeeded": "done"}.get(status, status)


def test_who_does_not_become_well_fails_and_nothing_of_it_stays(crew: Crew) -> None:
    probe = {"kind": "argv", "argv": ["false"], "every_s": 0.05, "start_s": 0.3, "failures": 1}
    run = crew.start("wl-unwell", health=probe)

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "workload_failed"
    assert not crew.status(run).alive
    assert crew.audit(run)[-1] == ("apply_change", "unknown")


@pytest.mark.parametrize("scope", ["run:{run_id}", "spec:workload/wl-halt"])
def test_a_halt_ends_what_it_covers_and_is_acknowledged(crew: Crew, scope: str) -> None:
    run = crew.start("wl-halt", halt_grace_s=0.2)
    other = crew.start("wl-halt-other")
    switch, scope = Halts(crew.office.pool, crew.office.home), scope.format(run_id=run.run_id)

    epoch = switch.press(scope, actor="anna", acr="", auth_time=0, reason="a test")
    try:
        ended = crew.ended(run)
        with pytest.raises(HaltedError):
            crew.approve(crew.plan("wl-halt")) if scope.startswith("spec") else _halted()
    finally:
        switch.lift(scope, epoch=epoch, actor="anna", acr="", auth_time=0, reason="a test")

    assert (ended.status, crew.status(run).alive) == ("halted", False)
    assert run.run_id in halts.acks(crew.office.pool, epoch)
    assert frames_of(crew.office.pool, run.task_id)[-1].extras["scope"] == scope
    assert crew.status(other).alive
    assert crew.run(other.run_id).status == "waiting"


def _halted() -> None:
    raise HaltedError("nothing to try")


def test_an_approval_names_the_plan_that_was_seen(crew: Crew) -> None:
    run = crew.plan("wl-other-hash")
    with pytest.raises(BadInputError) as stale:
        control_changes.apply_change(run.run_id, "0" * 64, office=crew.office, caller=ANNA)
    assert stale.value.wire_code == "plan_stale"
    assert crew.run(run.run_id).status == "waiting"


def test_a_plan_that_nobody_approves_in_time_is_stale(
    crew: Crew, superuser: psycopg.Connection[Any]
) -> None:
    run = crew.plan("wl-late")
    superuser.execute(
        "UPDATE change_plans SET expires_at = clock_timestamp() WHERE run_id = %s", (run.run_id,)
    )
    with pytest.raises(BadInputError, match="older than 15 minutes"):
        crew.approve(run)
    assert run.run_id in plans.expire(crew.office.pool)
    ended = crew.run(run.run_id)
    assert ended.error is not None
    assert (ended.status, ended.error["code"]) == ("failed", "plan_stale")


def test_a_plan_that_is_approved_and_then_waits_too_long_is_not_begun(
    crew: Crew, superuser: psycopg.Connection[Any]
) -> None:
    run = crew.plan("wl-later")
    crew.approve(run)
    superuser.execute(
        "UPDATE change_plans SET expires_at = clock_timestamp() WHERE run_id = %s", (run.run_id,)
    )
    ended = crew.work(run.run_id)
    assert ended.error is not None
    assert (ended.error["code"], crew.status(run).phase) == ("plan_stale", "absent")


def test_a_program_that_was_exchanged_since_is_not_started(crew: Crew, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o700)
    run = crew.plan("wl-exchanged", argv=[str(program)])
    crew.approve(run)
    program.write_text("#!/bin/sh\nrm -rf nothing\n")

    ended = crew.work(run.run_id)
    assert ended.error is not None
    assert (ended.error["code"], crew.status(run).phase) == ("plan_stale", "absent")


def test_what_was_approved_stays_as_it_was_written(crew: Crew) -> None:
    run = crew.plan("wl-kept")
    crew.approve(run)
    for change in (
        "UPDATE change_plans SET plan_sha256 = repeat('0', 64)",
        "UPDATE change_plans SET expires_at = now() + interval '1 year'",
        "DELETE FROM change_plans",
        "UPDATE change_approvals SET approved_by = 'bob'",
        "DELETE FROM change_approvals",
    ):
        with (
            pytest.raises(FaultError, match="InsufficientPrivilege"),
            transaction(crew.office.pool) as connection,
        ):
            connection.execute(change)


def test_a_second_approval_takes_a_sign_in_of_its_own(pool: Pool) -> None:
    run_id, sha = new_id(SystemClock().now()), "a" * 64
    plans.put(pool, run_id=run_id, kind="workload", plan_sha256=sha, plan={}, approvals=2)

    def approve(jti: str) -> plans.Row:
        by = replace(ANNA, jti=jti)
        return plans.approve(pool, run_id, plan_sha256=sha, name="wl", by=by, allow_destroy=True)

    assert not approve("one").approved
    with pytest.raises(RefusedError, match="approved the plan before"):
        approve("one")
    with pytest.raises(BadInputError, match="does not wait any more"):
        approve("two")  # approved, and there is no run that could go on


def test_secrets_reach_the_program_and_nothing_else(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret-value-of-the-vendor")
    key.chmod(0o600)
    topology = crew.office.topology
    credentials = {"vendor": {"from": f"file:{key}"}, "ledger": {"from": f"file:{key}"}}
    body = {**topology.model_dump(mode="json", by_alias=True), "credentials": credentials}
    body["workload"]["credentials"] = ["vendor"]
    allowed = type(topology).model_validate_json(json.dumps(body))
    crew.workshop = replace(crew.workshop, topology=allowed)
    monkeypatch.setenv("SOMETHING_ELSE", "leaks")
    code = (
        "import os, time; names = sorted(set(os.environ) - {'LC_CTYPE'});"
        "print(names, len(os.environ['KEY']), flush=True); time.sleep(600)"
    )

    run = crew.start("wl-secret", code, credentials={"KEY": "vendor"})
    names = ["ALPHASWARM_RUN", "HOME", "KEY", "LANG", "PATH"]
    crew.looked_after(lambda: crew.provider.logs(run.run_id, lines=1))
    assert crew.provider.logs(run.run_id, lines=1) == [f"{names} 26"]
    frames = [frame.model_dump_json() for frame in frames_of(crew.office.pool, run.task_id)]
    assert "s3cret" not in "".join([*frames, json.dumps(crew.run(run.run_id).statistics)])

    refused = crew.plan("wl-secret-other", credentials={"KEY": "ledger"})
    assert refused.error is not None
    assert refused.error["code"] == "access_denied"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        pytest.param({"argv": None}, "argv", id="a process without a program"),
        pytest.param({"image": "web@sha256:" + "0" * 64}, "image", id="a process with an image"),
        pytest.param({"provider": "docker", "image": "web:latest"}, "image", id="a tag"),
        pytest.param({"provider": "docker"}, "image", id="a container without an image"),
        pytest.param({"credentials": {"PATH": "vendor"}}, "credentials", id="our own variable"),
        pytest.param({"ports": [80, 80]}, "ports", id="a port twice"),
        pytest.param({"health": {"kind": "udp"}}, "health.kind", id="no such probe"),
        pytest.param({"restarts": {}}, "restarts", id="an unknown key"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_with_its_path(
    crew: Crew, body: dict[str, Any], path: str
) -> None:
    spec = {"kind": "workload", "name": "wl-wrong", "argv": ["/bin/true"], **body}
    with pytest.raises(AlphaSwarmError) as wrong:
        control_changes.plan_change(
            {key: value for key, value in spec.items() if value is not None},
            office=crew.office,
            caller=ANNA,
        )
    assert wrong.value.facts["errors"][0]["path"] == path


def test_a_program_that_is_not_there_is_named(crew: Crew) -> None:
    run = crew.plan("wl-missing", argv=["no-such-program"])
    assert run.error is not None
    assert run.error["code"] == BinaryMissingError.code


def test_a_spec_of_another_kind_is_no_change(crew: Crew) -> None:
    with pytest.raises(InvalidSpecError, match="changes nothing outside"):
        control_changes.plan_change(
            {"kind": "data", "task": "maintain", "name": "wl"}, office=crew.office, caller=ANNA
        )
