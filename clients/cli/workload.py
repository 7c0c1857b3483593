"""``workload``: plan a process or a container, approve the plan, see it, read its log, stop it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.running import RunId, Settings, SpecFile
from clients.cli.signin import Code, NoBrowser

KIND = "workload"
COMMAND = "alphaswarm workload apply"
LIVES = "health"
"""The stage at which a started workload is well and its run waits."""
COLUMNS = ("run_id", "name", "version", "provider", "phase", "well", "restarts", "status")
workload = typer.Typer(help="Plan, start, see and stop workloads.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(workload, name="workload", rich_help_panel="Work")


@workload.command()
def plan(
    spec: SpecFile,
    settings: Settings = None,
    *,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Show what a workload's spec would change; starts nothing. Asks for your second factor."""
    from clients.cli import changing, specs

    out, body = output.use(json), specs.changed(specs.read(spec), settings or [])
    changing.planned(out, body, command=COMMAND, no_browser=no_browser, code=code)


@workload.command()
def apply(
    run_id: RunId,
    *,
    plan_sha256: Annotated[
        str | None, typer.Option(help="Of the plan that you looked at; default: the run's.")
    ] = None,
    allow_destroy: Annotated[
        bool, typer.Option("--allow-destroy", help="Let it replace what runs under the name.")
    ] = False,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Approve a plan and wait until the workload is well. Asks for your second factor."""
    from clients.cli import changing

    changing.approved(
        output.use(json),
        run_id,
        allow_destroy=allow_destroy,
        plan_sha256=plan_sha256,
        no_browser=no_browser,
        code=code,
        until=LIVES,
    )


@workload.command("ls")
def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    json: Json = False,
) -> None:
    """List the workloads, the newest first."""
    from clients.cli import calls
    from clients.cli.place import Place

    out, place = output.use(json), Place.find()
    asked = {"kind": KIND, "status": None if every else "waiting", "limit": 200}
    rows = calls.call(place, "control", "list_runs", asked)["runs"]
    found = [{**row, **_state(row["run_id"])} for row in rows]
    lines = [[row.get(name) for name in COLUMNS] for row in found]
    out.answer({"workloads": found}, output.table(COLUMNS, lines) if lines else "No workloads.")


@workload.command()
def logs(
    run_id: RunId,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=2_000)] = 200,
    *,
    json: Json = False,
) -> None:
    """Print the end of a workload's log, also after its end; secrets are hidden."""
    found = _resource(f"control://workloads/{run_id}/log")["lines"][-lines:]
    output.use(json).answer({"run_id": run_id, "lines": found}, "\n".join(found))


@workload.command()
def stop(
    run_id: RunId,
    *,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Stop a workload and wait until it is gone. Asks for your second factor."""
    from clients import tokens
    from clients.cli import calls, following, signin
    from clients.cli.place import Place

    out, place = output.use(json), Place.find()
    grant = signin.step_up(
        place, place.face("control"), frozenset({"control:halt"}), no_browser=no_browser, code=code
    )
    try:
        asked = {"run_id": run_id}
        found = calls.call_with(place, "control", grant.access_token, "cancel_run", asked)
    finally:
        tokens.revoke(grant)
    following.watch(place, str(found["task_id"]), title="stop")
    ended = calls.call(place, "control", "get_run", {"run_id": run_id})
    out.answer(ended, f"{run_id} {ended['status']}")


def _state(run_id: str) -> dict[str, Any]:
    """Return how a workload is; what cannot be asked is shown as such."""
    from topology.errors import AlphaSwarmError

    try:
        found = _resource(f"control://workloads/{run_id}")
    except AlphaSwarmError as error:
        return {"phase": error.wire_code}
    return {key: found[key] for key in ("provider", "phase", "well", "restarts")}


def _resource(uri: str) -> dict[str, Any]:
    import json

    from clients.cli import calls
    from clients.cli.place import Place

    return dict(json.loads(calls.read(Place.find(), "control", uri)))
