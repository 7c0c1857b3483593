"""Maintenance as a run: what it names, what it says, and how an operator asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from lakehouse import catalog, query
from lakehouse.maintain.expiry import PIN
from ledger import audit, runs
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data import schedule
from runtimes.data.runtime import DataRuntime
from runtimes.specs.base import parse
from runtimes.specs.maintain import MaintainSpec
from tests.kit.lake import Depot
from tests.kit.upkeep import closes, folder_of, parquet, small
from tests.kit.work import frames_of
from topology.errors import InvalidSpecError
from topology.latch import Latch
from topology.principal import Principal

ANNA = Principal(subject="anna", client_id="tests")


@pytest.fixture
def lake(workshop: Workshop) -> Depot:
    """Return the lake of the worker, to append to."""
    return Depot(workshop.lake, workshop.lake, workshop.log, "")


def table(name: str) -> str:
    return f"alphaswarm_silver_{name}.bars_1d"


def maintain(workshop: Workshop, **asked: Any) -> runs.Run:
    """Submit a pass, do it in this thread, and return the run's row."""
    spec = parse("data", {"task": "maintain", "name": "upkeep", **asked})
    handle = schedule.submit(workshop.pool, spec, workshop.clock, by=ANNA)
    perform(workshop, "data", handle.run_id, DataRuntime)
    return runs.get(workshop.pool, handle.run_id)


def test_a_run_tidies_a_table_and_says_so(workshop: Workshop, lake: Depot) -> None:
    name = table("upkeepone")
    small(lake, name, 6)

    run = maintain(workshop, tables=[name])

    assert run.status == "succeeded", run.error
    assert run.snapshot_ids == {}
    assert run.statistics is not None
    assert (run.statistics["files_before"], run.statistics["files_after"]) == (6, 1)
    (told,) = [f.extras for f in frames_of(workshop.pool, run.task_id) if f.stage == "layer.done"]
    assert told["table"] == name
    assert (told["before"]["files"], told["after"]["files"]) == (6, 1)
    assert (told["before"]["snapshots"], told["after"]["snapshots"]) == (6, 7)
    assert closes(query.read(workshop.lake, name)) == [float(n) for n in range(6)]
    assert not list(workshop.home.run.glob("*-" + run.run_id)), "nothing is left in the home"


def test_what_any_run_names_is_tagged(workshop: Workshop, lake: Depot) -> None:
    name = table("upkeeptwo")
    small(lake, name, 2)
    at = catalog.load(workshop.lake, name).current_snapshot()
    assert at is not None
    claim = _claimed(workshop)
    runs.pin(workshop.pool, claim, snapshot_ids={name: str(at.snapshot_id)}, engine={}, run_sha="x")
    small(lake, name, 2, first=2)

    run = maintain(workshop, tables=[name])

    assert run.statistics is not None
    assert run.statistics["snapshots_tagged"] == 1
    assert f"{PIN}{at.snapshot_id}" in catalog.load(workshop.lake, name).metadata.refs


def _claimed(workshop: Workshop) -> runs.Claim:
    spec = parse("data", {"task": "maintain", "name": "naming"})
    handle = schedule.submit(workshop.pool, spec, workshop.clock, by=ANNA)
    claim = runs.claim(workshop.pool, "data", handle.run_id, worker="tests")
    assert claim is not None
    return claim


def test_only_due_tables_are_passed_over_if_so_asked(workshop: Workshop, lake: Depot) -> None:
    crowded, calm = table("upkeepthree"), table("upkeepfour")
    small(lake, crowded, 6)
    small(lake, calm, 2)

    run = maintain(workshop, tables=[crowded, calm], due=True, small_files=6)

    assert run.statistics is not None
    assert run.statistics["tables"] == 1
    assert len(parquet(workshop.lake, calm)) == 2


def test_one_broken_table_does_not_keep_the_others_from_it(workshop: Workshop, lake: Depot) -> None:
    broken, whole = table("upkeepbroken"), table("upkeepwhole")
    small(lake, broken, 1)
    small(lake, whole, 5)
    lost = parquet(workshop.lake, broken)[0]
    aside = lost.rename(lost.with_suffix(".aside"))

    run = maintain(workshop, tables=[broken, whole])

    aside.rename(lost)

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "warehouse_unsafe"
    assert list(run.error["facts"]["tables"]) == [broken]
    assert str(folder_of(workshop.lake, whole)) not in json.dumps(run.error)
    warned = [f.extras for f in frames_of(workshop.pool, run.task_id) if f.stage == "warning"]
    assert [one["code"] for one in warned] == ["warehouse_unsafe"]
    assert len(catalog.load(workshop.lake, whole).snapshots()) == 6


def test_a_table_that_is_not_there_is_said_with_those_like_it(
    workshop: Workshop, lake: Depot
) -> None:
    small(lake, table("upkeepfive"), 1)
    run = maintain(workshop, tables=[table("upkeepfivee")])
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "table_not_found"
    assert table("upkeepfive") in run.error["facts"]["nearest"]


def test_a_halt_ends_a_pass(workshop: Workshop, lake: Depot) -> None:
    small(lake, table("upkeepsix"), 5)
    with Latch.open(workshop.home.latch) as latch:
        epoch = latch.press("kind:data")
        try:
            run = maintain(workshop, tables=[table("upkeepsix")])
        finally:
            latch.lift("kind:data", epoch=epoch)
    assert run.status == "halted"
    assert len(parquet(workshop.lake, table("upkeepsix"))) == 5


def test_without_tables_it_is_the_whole_lake(workshop: Workshop, lake: Depot) -> None:
    small(lake, table("upkeepseven"), 7)
    run = maintain(workshop, due=True, small_files=7)
    told = {
        f.extras["table"] for f in frames_of(workshop.pool, run.task_id) if "before" in f.extras
    }
    assert table("upkeepseven") in told


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        pytest.param({"tables": []}, "tables", id="no table at all"),
        pytest.param({"tables": ["bars_1d"]}, "tables[0]", id="not the whole name"),
        pytest.param({"keep_minutes": 1}, "keep_minutes", id="would pull files from readers"),
        pytest.param({"orphan_hours": 0}, "orphan_hours", id="would delete what is being written"),
        pytest.param({"min_files": 1}, "min_files", id="would never come to an end"),
        pytest.param({"keep": 5}, "keep", id="no such key"),
    ],
)
def test_bounds_that_would_hurt_are_refused(asked: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpecError) as raised:
        parse("data", {"task": "maintain", "name": "upkeep", **asked})
    assert raised.value.facts["errors"][0]["path"] == path


def test_the_defaults_are_those_of_the_documentation() -> None:
    spec = MaintainSpec(name="upkeep")
    assert (spec.small_mb, spec.group_mb, spec.min_files) == (32, 512, 5)
    assert (spec.keep_snapshots, spec.keep_minutes, spec.orphan_hours) == (100, 15, None)


def test_an_operator_submits_from_the_shell_and_it_is_on_record(workshop: Workshop) -> None:
    environ = {**os.environ, "ALPHASWARM_HOME": str(workshop.home.root)}
    call = [sys.executable, "-m", "runtimes.data", "maintain", "--table"]

    good = subprocess.run(
        [*call, table("shell")], env=environ, capture_output=True, text=True, check=True
    )
    bad = subprocess.run([*call, "x"], env=environ, capture_output=True, text=True, check=False)

    handle = json.loads(good.stdout)
    run = runs.get(workshop.pool, handle["run_id"])
    assert (run.kind, run.status, run.name) == ("data", "queued", "maintenance")
    entry = audit.tail(workshop.pool, limit=1, newest_first=True)[0]
    assert (entry.action, entry.target) == ("maintain", f"run:{run.run_id}")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["code"] == "invalid_spec"
    runs.cancel(workshop.pool, run.run_id, by="tests")
