"""The tools of ``control``, called as a server calls them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from auth.policy import Rule
from ledger import audit, runs
from ledger.progress.events import pending
from tests.kit.ledger import Desk
from tests.kit.office import ANNA
from tools import control, control_audit
from tools.audited import audited
from tools.registry import Office, served
from topology.clock import SystemClock
from topology.errors import AlphaSwarmError, BadInputError, MissingError


async def silent(value: float, total: float | None, message: str) -> None:
    """Take a progress report and do nothing with it."""


def test_the_server_offers_exactly_the_tools_of_the_contract() -> None:
    assert set(served("control").tools) == {
        "halt",
        "halt_status",
        "resume",
        "list_specs",
        "get_spec",
        "audit_log",
        "verify_audit",
        "plan_change",
        "apply_change",
        "get_run",
        "list_runs",
        "cancel_run",
    }


@pytest.mark.parametrize(
    ("name", "scope", "step_up"),
    [
        pytest.param("halt", "control:halt", "mfa", id="stopping: a second factor"),
        pytest.param("resume", "control:resume", "bound", id="going on: for exactly this"),
    ],
)
def test_what_changes_anything_takes_a_person_with_a_second_factor(
    name: str, scope: str, step_up: str
) -> None:
    tool = served("control").tools[name]

    assert not tool.read_only
    assert tool.destructive
    own = name == "halt"  # an agent may stop itself
    assert tool.auth == Rule(scopes=(scope,), step_up=step_up, actor="human", own_run=own)  # type: ignore[arg-type]


def test_specs_are_listed_page_by_page_each_name_once(office: Office, desk: Desk) -> None:
    for name in ("page-a", "page-b", "page-c"):
        desk.submit("rl", name, n=1)
        desk.submit("rl", name, n=2)

    names, after = [], None
    while True:
        page = control.list_specs("rl", after, 2, office=office, caller=ANNA)
        names += [(row.name, row.version) for row in page.specs]
        if (after := page.next) is None:
            break

    assert names == [("page-a", 2), ("page-b", 2), ("page-c", 2)]


def test_a_spec_is_found_by_hash_and_by_name_and_compared(office: Office, desk: Desk) -> None:
    first = desk.submit("rl", "compared", lookback=10, top=3)
    desk.submit("rl", "compared", lookback=20, top=3)

    newest = control.get_spec("rl/compared", None, first.spec_sha256, office=office, caller=ANNA)
    oldest = control.get_spec(first.spec_sha256, office=office, caller=ANNA)

    assert (oldest.version, newest.version) == (1, 2)
    assert newest.changes is not None
    assert [change.model_dump() for change in newest.changes] == [
        {"path": "lookback", "how": "changed", "before": 10, "after": 20}
    ]
    assert oldest.changes is None


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        pytest.param("rl/never", MissingError, id="a name that nobody used"),
        pytest.param("0" * 64, MissingError, id="a hash of nothing"),
        pytest.param("0" * 63, BadInputError, id="too short for a hash"),
        pytest.param("Z" * 64, BadInputError, id="not hex"),
        pytest.param("rll/x", BadInputError, id="a kind that is none"),
    ],
)
def test_a_spec_that_is_not_there_is_an_error_that_helps(
    office: Office, spec: str, error: type[AlphaSwarmError]
) -> None:
    with pytest.raises(error) as refused:
        control.get_spec(spec, office=office, caller=ANNA)

    assert refused.value.hint


def test_what_changes_something_is_audited_before_and_after(office: Office) -> None:
    with audited(office, ANNA, action="drill", target="run:x", args={"n": 1}, reason="why not"):
        inside = audit.tail(office.pool, limit=1, newest_first=True)[0]

    newest = control_audit.audit_log(limit=2, office=office, caller=ANNA)
    done, intended = newest.rows
    assert (inside.seq, inside.decision) == (intended.seq, "intended")
    assert (done.actor, done.action, done.target, done.decision) == (
        "anna",
        "drill",
        "run:x",
        "done",
    )
    assert done.facts["reason"] == "why not"
    assert len(done.args_sha256) == 64
    assert control_audit.verify_audit(office=office, caller=ANNA).ok


@pytest.mark.parametrize(
    ("error", "decision", "code"),
    [
        pytest.param(BadInputError("No."), "failed", "invalid_arguments", id="refused input"),
        pytest.param(ZeroDivisionError(), "unknown", "internal", id="a bug: who knows"),
    ],
)
def test_an_effect_that_fails_leaves_its_decision_too(
    office: Office, error: Exception, decision: str, code: str
) -> None:
    with (
        pytest.raises(type(error)),
        audited(office, ANNA, action="drill", target="run:x", args={}),
    ):
        raise error

    last = control_audit.audit_log(limit=1, office=office, caller=ANNA).rows[0]
    assert (last.decision, last.facts["code"]) == (decision, code)


def test_the_audit_ledger_is_read_in_pages_in_either_order(office: Office) -> None:
    for _ in range(3):
        with audited(office, ANNA, action="drill", target="all", args={}):
            pass

    newest = control_audit.audit_log(limit=2, office=office, caller=ANNA)
    older = control_audit.audit_log(newest.next, 2, office=office, caller=ANNA)
    oldest = control_audit.audit_log(limit=1, order="oldest", office=office, caller=ANNA)

    sequence = [row.seq for row in (*newest.rows, *older.rows)]
    assert sequence == sorted(sequence, reverse=True)
    assert len(set(sequence)) == 4
    assert oldest.rows[0].seq == 1


async def test_get_run_answers_for_every_kind_and_waits_for_the_end(
    office: Office, desk: Desk
) -> None:
    claim = desk.claimed(kind="workflow", name="waited")
    said: list[tuple[float, float | None, str]] = []

    async def report(value: float, total: float | None, message: str) -> None:
        said.append((value, total, message))

    async def end_it() -> None:
        await anyio.sleep(0.3)
        frame = pending(SystemClock(), "bar.processed", "Half.", {"current": 1, "total": 2})
        await anyio.to_thread.run_sync(
            lambda: runs.finish(
                office.pool,
                claim,
                status="succeeded",
                stage="done",
                message="Done.",
                frames=[frame],
                statistics={"bars": 2},
                bus=office.bus,
            )
        )

    async with anyio.create_task_group() as group:
        group.start_soon(end_it)
        with anyio.fail_after(10):
            view = await control.get_run(
                claim.run_id, 10, office=office, caller=ANNA, report=report
            )

    assert (view.kind, view.status, view.statistics) == ("workflow", "succeeded", {"bars": 2})
    assert [message for _, _, message in said] == ["bar.processed: Half.", "done: Done."]
    assert said[0][:2] == (1.0, 2.0)


async def test_waiting_ends_when_the_time_is_up(office: Office, desk: Desk) -> None:
    claim = desk.claimed(kind="workflow", name="endless")

    with anyio.fail_after(5):
        view = await control.get_run(claim.run_id, 0.3, office=office, caller=ANNA, report=silent)

    assert view.status == "running"


@pytest.mark.parametrize(
    ("run_id", "error"),
    [
        pytest.param("0" * 26, MissingError, id="no such run"),
        pytest.param("x", BadInputError, id="no id at all"),
        pytest.param("../../etc/passwd", BadInputError, id="a path"),
    ],
)
async def test_a_run_that_is_not_there(office: Office, run_id: str, error: type[Any]) -> None:
    with pytest.raises(error):
        await control.get_run(run_id, office=office, caller=ANNA, report=silent)


def test_runs_are_listed_newest_first_and_filtered(office: Office, desk: Desk) -> None:
    ids = [desk.submit("bot", "listed").run_id for _ in range(3)]

    first = control.list_runs("bot", name="listed", limit=2, office=office, caller=ANNA)
    second = control.list_runs(
        "bot", name="listed", after=first.next, limit=2, office=office, caller=ANNA
    )
    none = control.list_runs("bot", "succeeded", "listed", office=office, caller=ANNA)

    assert [row.run_id for row in (*first.runs, *second.runs)] == ids[::-1]
    assert (second.next, none.runs) == (None, [])


def test_a_cursor_that_is_none_is_refused(office: Office) -> None:
    with pytest.raises(BadInputError):
        control.list_runs(after="yesterday", office=office, caller=ANNA)
