"""``data export``, ``features`` and ``maintain``: runs that make something of the lake."""

from __future__ import annotations

import json as json_
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.bringing import mapping
from clients.cli.output import Json
from clients.cli.place import Place, python
from topology.errors import BadInputError, FaultError
from topology.ids import is_id

Wait = Annotated[bool, typer.Option("--wait/--detach", help="Follow it to its end, or return.")]
Symbol = Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")]
Start = Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")]
End = Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")]
AsOf = Annotated[str | None, typer.Option(help="Snapshot id or RFC 3339 time.")]
Adjust = Annotated[str | None, typer.Option(help="none, split or total.")]
Name = Annotated[str | None, typer.Option(help="Spec name.")]


def export(
    table: Annotated[str, typer.Argument(metavar="TABLE|RUN_ID", help="A table, or an export.")],
    out: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    symbol: Symbol = None,
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    adjust: Adjust = None,
    revisions: Annotated[str | None, typer.Option(help="latest or first.")] = None,
    name: Name = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Write a table to one Parquet file; a run id fetches, or goes on fetching, its export."""
    from clients.cli import calls, following, running

    to, place = output.use(json), Place.find()
    if out is not None:
        refuse_taken(out, force=force)
    run_id = table
    if not is_id(table):
        asked = {
            "table": table,
            "columns": column or None,
            "symbols": symbol or None,
            "start": start,
            "end": end,
            "as_of": as_of,
            "adjust": adjust,
            "revisions": revisions,
            "name": name,
        }
        handle = calls.call(place, "data", "export_table", asked)
        if not wait:
            to.answer(handle, f"{handle['run_id']} {handle['status']}")
            return
        run = following.to_the_end(place, handle, kind="data", title="export")
        if run["status"] != "succeeded":
            running.finish(to, run)
        run_id = str(run["run_id"])
    found = json_.loads(calls.read(place, "data", f"data://exports/{run_id}"))
    target = out or Path(f"{found['table'].partition('.')[2]}-{run_id[-8:]}.parquet")
    if out is None:
        refuse_taken(target, force=force)
    _fetch(place, found, target)
    to.answer({**found, "path": str(target.resolve())}, _told(found, target, run_id))


def features(
    start: Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")],
    end: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD.")],
    symbol: Symbol = None,
    universe: Annotated[str | None, typer.Option(help="A point-in-time universe.")] = None,
    expr: Annotated[
        list[str] | None, typer.Option(metavar="NAME=EXPR", help="Mean($close,5)/$close")
    ] = None,
    feature_set: Annotated[
        str | None, typer.Option("--set", help="A named set: alpha158, alpha360.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=EXPR", help="May look ahead.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Silver table of bars.")] = None,
    adjust: Adjust = None,
    as_of: AsOf = None,
    name: Name = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check.")] = False,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Compute expressions or a named set to a gold table; a wrong expression is refused at once."""
    from clients.cli import calls, following, running

    to, place = output.use(json), Place.find()
    asked = {
        "symbols": symbol or None,
        "universe": universe,
        "start": start,
        "end": end,
        "expressions": dict(mapping(text) for text in expr or ()) or None,
        "labels": dict(mapping(text) for text in label or ()) or None,
        "feature_set": feature_set,
        "table": table,
        "adjust": adjust,
        "as_of": as_of,
        "name": name,
        "dry_run": dry_run or None,
    }
    handle = calls.call(place, "data", "compute_features", asked)
    if dry_run:
        to.answer(handle, f"The spec is valid: {handle['spec_hash']}")
    elif not wait:
        to.answer(handle, f"{handle['run_id']} {handle['status']}")
    else:
        running.finish(to, following.to_the_end(place, handle, kind="data", title="features"))


def maintain(
    table: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    *,
    due: Annotated[bool, typer.Option("--due", help="Only tables that need it.")] = False,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Tidy the lake: join small files, expire old snapshots, sweep orphans."""
    from clients.cli import following, running

    to, place = output.use(json), Place.find()
    words = [word for one in table or () for word in ("--table", one)]
    handle = _as_operator(place, "maintain", *words, *(["--due"] if due else []))
    if not wait:
        to.answer(handle, f"{handle['run_id']} {handle['status']}")
        return
    running.finish(to, following.to_the_end(place, handle, kind="data", title="maintain"))


def _as_operator(place: Place, *arguments: str) -> dict[str, Any]:
    """Run what only who may read the home may do, in a process of its own."""
    from clients.errors import from_body

    done = subprocess.run(
        python("runtimes.data", *arguments),
        env=place.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        said = json_.loads(done.stdout)
    except ValueError:
        raise FaultError(
            "The pass could not be submitted.",
            hint="Start the suite with `alphaswarm up`, or look with `alphaswarm doctor`.",
        ) from None
    if done.returncode or "code" in said:
        raise from_body(said)
    return dict(said)


def _fetch(place: Place, found: dict[str, Any], target: Path) -> None:
    from clients.cli import calls
    from clients.cli.progress import Gauge
    from clients.downloads import Download

    tokens = calls.token(place, "data")
    download = Download(found["url"], found["sha256"], found["bytes"], tokens)
    with Gauge("download", "bytes") as gauge, writing(target):
        download.to(target, lambda here, whole: gauge.move(here, whole, target.name))


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the operating system says against ``target`` into one sentence."""
    try:
        yield
    except OSError as error:
        raise BadInputError(
            f"{str(target)!r} cannot be written: {error.strerror or type(error).__name__}.",
            hint="Choose another place with --out.",
        ) from error


def refuse_taken(target: Path, *, force: bool) -> None:
    """Raise unless a file may be made at ``target``; ``force`` lets it replace another."""
    if target.is_dir():
        raise BadInputError(f"{str(target)!r} is a folder.", hint="Name a file in it.")
    if target.exists() and not force:
        raise BadInputError(f"{str(target)!r} is there already.", hint="Add --force to replace it.")
    if not target.parent.is_dir():
        raise BadInputError(
            f"There is no folder {str(target.parent)!r}.", hint="Create it, or choose another."
        )


def _told(found: dict[str, Any], target: Path, run_id: str) -> str:
    return "\n".join(
        (
            f"file     {target}",
            f"rows     {found['rows']}",
            f"bytes    {found['bytes']}",
            f"sha256   {found['sha256']}",
            f"again    alphaswarm data export {run_id}, until {found['expires_at']}",
        )
    )
