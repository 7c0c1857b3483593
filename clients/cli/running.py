"""``run`` and ``runs``: submit a spec, and see, follow or cancel what was submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli import output, record
from clients.cli.output import Json
from clients.cli.place import Place
from clients.cli.signin import Code, NoBrowser

_PANEL = "Work"
SUBMIT = {"backtest": ("submit_backtest", "spec")}
"""Kind of a spec file: the tool that takes it, and as which argument."""
RunId = Annotated[str, typer.Argument(help="26 characters, from a handle or `runs list`.")]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="YAML or JSON.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="Change the spec: data.start=..")
]
Wait = Annotated[bool, typer.Option("--wait/--detach", help="Follow it to its end, or return.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run ends.")]

runs = typer.Typer(help="See, follow and cancel runs of every kind.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(rich_help_panel=_PANEL)(run)
    app.add_typer(runs, name="runs", rich_help_panel=_PANEL)


def run(
    spec: SpecFile,
    settings: Settings = None,
    *,
    wait: Wait = True,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Submit a spec; its kind names the server. Exit 1 when the run fails, 4 when it is halted.

    A spec that brings source asks for your second factor.
    """
    from clients.cli import calls, following, specs

    out, place = output.use(json), Place.find()
    text = specs.read(spec)
    kind = specs.kind_of(text)
    tool, argument = _submit_tool(kind)
    given = {argument: specs.changed(text, settings or [])}
    handle = calls.call_or_step_up(
        place, calls.owner(kind), tool, given, no_browser=no_browser, code=code
    )
    if not wait:
        out.answer(handle, f"{handle['run_id']} {handle['status']}")
        return
    finish(out, following.to_the_end(place, handle, kind=kind, title=spec.stem))


def finish(out: output.Output, run: dict[str, Any]) -> None:
    """Print the record of an ended run and exit with its code."""
    from clients.cli import following

    out.answer(run, record.as_text(run))
    raise typer.Exit(following.exit_code(str(run["status"])))


@runs.command("list")
def list_(
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    status: Annotated[str | None, typer.Option(help="Only this status.")] = None,
    name: Annotated[str | None, typer.Option(help="Only specs of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    after: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    *,
    json: Json = False,
) -> None:
    """List runs, newest first."""
    from clients.cli import calls, listed

    out = output.use(json)
    asked = {"kind": kind, "status": status, "name": name, "limit": limit, "after": after}
    found = calls.call(Place.find(), "control", "list_runs", asked)
    out.answer(found, None if json else listed.as_text(found["runs"], asked))
    if found.get("next"):
        output.note(f"There are more: alphaswarm runs list --after {found['next']}")


@runs.command()
def show(run_id: RunId, *, json: Json = False) -> None:
    """Show everything that the ledger records of a run."""
    from clients.cli import calls

    out = output.use(json)
    found = calls.call(Place.find(), "control", "get_run", {"run_id": run_id})
    out.answer(found, record.as_text(found))


@runs.command()
def logs(
    run_id: RunId,
    *,
    follow: Follow = False,
    after: Annotated[int, typer.Option(min=0, help="Only frames behind this seq.")] = 0,
    json: Json = False,
) -> None:
    """Print the frames of a run; with --json one object per line."""
    from clients.cli import calls

    out, place = output.use(json), Place.find()
    task_id = calls.call(place, "control", "get_run", {"run_id": run_id})["task_id"]
    stream = calls.stream(place, task_id, after=after)
    try:
        for frame in stream.watch():
            if frame is not None:
                out.line(frame) if json else print(_line(frame), flush=True)
            elif not follow:
                break
    except KeyboardInterrupt:
        output.note(f"Return with: alphaswarm runs logs {run_id} -f --after {stream.after}")
        raise typer.Exit(output.DETACHED) from None


@runs.command()
def cancel(run_id: RunId, *, json: Json = False) -> None:
    """Ask for the end of a run; one that has ended stays as it is."""
    from clients.cli import calls

    out, place = output.use(json), Place.find()
    kind = calls.call(place, "control", "get_run", {"run_id": run_id})["kind"]
    found = calls.call(place, calls.owner(kind), "cancel_run", {"run_id": run_id})
    out.answer(found, f"{run_id} {found['status']}")


def _submit_tool(kind: str) -> tuple[str, str]:
    from clients.cli.calls import owner
    from topology.errors import BadInputError

    if kind not in SUBMIT:
        server = owner(kind)
        raise BadInputError(
            f"Specs of kind {kind!r} are not submitted as files.",
            hint=f"See `alphaswarm tools {server}`.",
        )
    return SUBMIT[kind]


def _line(frame: dict[str, Any]) -> str:
    counts = f" {frame['current']}/{frame['total']}" if "total" in frame else ""
    return f"{frame['timestamp']} {frame['seq']:>6} {frame['stage']}{counts}: {frame['message']}"
