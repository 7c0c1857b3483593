"""Changes of the world at the command line: planned, shown, approved by the hash of the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from clients.cli import output, record
from clients.cli.place import Place

SCOPE = "control:apply"
ASKED = "approval.required"
_SERVER = "control"


def planned(
    out: output.Output,
    spec: str | dict[str, Any],
    *,
    command: str,
    no_browser: bool,
    code: str | None,
) -> None:
    """Submit a spec, follow its run until it waits or ends, and print what it would change.

    ``command`` is what approves it, for the person to type.
    """
    place = Place.find()
    given = {"spec": spec}
    handle = _stepped_up(place, "plan_change", given, None, no_browser=no_browser, code=code)
    _follow(place, str(handle["task_id"]), title="plan", until=ASKED)
    run = _run(place, str(handle["run_id"]))
    _finish(out, run, as_text(run, command=command))


def approved(
    out: output.Output,
    run_id: str,
    *,
    allow_destroy: bool,
    plan_sha256: str | None,
    no_browser: bool,
    code: str | None,
    until: str = "",
) -> None:
    """Approve the plan of a run, by its hash, and follow the run to its end or a stage ``until``.

    Where another approval is missing nothing is done yet, and that is said.
    """
    place = Place.find()
    given: dict[str, Any] = {"run_id": run_id, "plan_sha256": plan_sha256 or _hash(place, run_id)}
    if allow_destroy:
        given |= {"allow_destroy": True, "confirm": given["plan_sha256"]}
    action = ("apply_change", given) if allow_destroy else None
    found = _stepped_up(place, "apply_change", given, action, no_browser=no_browser, code=code)
    if found["missing"]:
        text = f"Approved; {found['missing']} more is needed until {found['expires_at']}."
        out.answer(found, f"{text} Run the same command again, with another second factor.")
        return
    task_id = str(_run(place, run_id)["task_id"])
    _follow(place, task_id, title="apply", since=ASKED, until=until)
    run = _run(place, run_id)
    _finish(out, run, record.as_text(run))


def as_text(run: Mapping[str, Any], *, command: str) -> str:
    """Return a planned run as a person reads it: what would change, and how to let it."""
    plan = (run.get("statistics") or {}).get("plan")
    if plan is None:
        return record.as_text(run)
    return "\n".join(_lines(run, plan, command))


def _lines(run: Mapping[str, Any], plan: Mapping[str, Any], command: str) -> Iterator[str]:
    for drifted in plan.get("facts", {}).get("drift", ()):
        yield f"drift  {drifted['address']}: {drifted['detail']}"
    if not plan["changes"]:
        yield "Nothing would change."
        return
    columns = ("action", "address", "detail")
    yield output.table(columns, [[one[c] for c in columns] for one in plan["changes"]])
    yield f"plan   {plan['sha256']}"
    if run["status"] != "waiting":
        return
    destroys = " --allow-destroy" if plan["destroys"] else ""
    twice = ", twice" if plan["approvals"] > 1 else ""
    yield f"Approve it until {plan['expires_at']}{twice}: {command} {run['run_id']}{destroys}"


def _hash(place: Place, run_id: str) -> str:
    from topology.errors import BadInputError

    plan = (_run(place, run_id).get("statistics") or {}).get("plan") or {}
    if "expires_at" not in plan:
        raise BadInputError(
            f"The run {run_id} has no plan that waits for an approval.",
            hint="Plan first; `alphaswarm runs show` says what became of this one.",
            code="plan_stale",
        )
    return str(plan["sha256"])


def _run(place: Place, run_id: str) -> dict[str, Any]:
    from clients.cli import calls

    return calls.call(place, _SERVER, "get_run", {"run_id": run_id})


def _stepped_up(
    place: Place,
    tool: str,
    arguments: dict[str, Any],
    action: tuple[str, dict[str, Any]] | None,
    *,
    no_browser: bool,
    code: str | None,
) -> dict[str, Any]:
    """Call a tool with a sign-in by second factor, which is ended afterwards."""
    from clients import tokens
    from clients.cli import calls, signin

    face = place.face(_SERVER)
    grant = signin.step_up(
        place, face, frozenset({SCOPE}), no_browser=no_browser, action=action, code=code
    )
    try:
        return calls.call_with(place, _SERVER, grant.access_token, tool, arguments)
    finally:
        tokens.revoke(grant)


def _follow(place: Place, task_id: str, *, title: str, until: str = "", since: str = "") -> None:
    """Show frames behind the stage ``since`` and up to ``until``, or the last one."""
    from clients.cli import calls
    from clients.cli.progress import Gauge

    shown = not since
    with Gauge(title) as gauge:
        for frame in calls.stream(place, task_id).frames():
            if shown:
                gauge.show(frame)
            if shown and until and frame["stage"] == until:
                return
            shown = shown or frame["stage"] == since


def _finish(out: output.Output, run: dict[str, Any], text: str) -> None:
    from clients.cli import following

    out.answer(run, text)
    if run["status"] != "waiting":
        raise typer.Exit(following.exit_code(str(run["status"])))
