"""``data``: bring data in, see the tables, ask with SQL."""

from __future__ import annotations

import filecmp
import hashlib
import json as json_
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place
from topology.errors import BadInputError, MissingError
from topology.home import Home, explaining

data = typer.Typer(help="Bring data in, see the tables, ask with SQL.", no_args_is_help=True)
Table = Annotated[str, typer.Argument(help="NAMESPACE.TABLE, as `data ls` names it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(data, name="data", rich_help_panel="Work")


@data.command()
def ingest(
    source: Annotated[str, typer.Argument(metavar="PATH|PROVIDER", help="A file, or `sample`.")],
    table: Annotated[str | None, typer.Option(help="Silver table of bars.")] = None,
    name: Annotated[str | None, typer.Option(help="Spec name.")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="How the file names a column.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of timestamps without one.")] = None,
    close: Annotated[str | None, typer.Option(help="HH:MM at which a day's bar ends.")] = None,
    vt_symbol: Annotated[str | None, typer.Option(help="For a file without symbols.")] = None,
    currency: Annotated[str | None, typer.Option(help="For a file without one.")] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait/--detach")] = True,
    json: Json = False,
) -> None:
    """Bring a provider's data, or a file (copied into the inbox), into the lake."""
    from clients.cli import calls, following, running

    out, place = output.use(json), Place.find()
    reading = {
        "columns": dict(_mapping(text) for text in column or ()) or None,
        "timezone": timezone,
        "close": close,
        "vt_symbol": vt_symbol,
        "currency": currency,
    }
    asked = {
        "source": located(place.home, source),
        "table": table,
        "name": name,
        "symbols": symbol or None,
        "reading": {key: value for key, value in reading.items() if value is not None} or None,
    }
    handle = calls.call(place, "data", "ingest", asked)
    if not wait:
        out.answer(handle, f"{handle['run_id']} {handle['status']}")
        return
    running.finish(out, following.to_the_end(place, handle, kind="data", title="ingest"))


@data.command()
def ls(*, json: Json = False) -> None:
    """List the tables of the lake."""
    from clients.cli import calls

    out, place = output.use(json), Place.find()
    rows: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": None}
    while not rows or page.get("next"):
        page = calls.call(place, "data", "list_tables", {"limit": 200, "after": page.get("next")})
        rows += page["tables"]
        if not page["tables"]:
            break
    columns = list(rows[0]) if rows else []
    text = output.table(columns, [[row.get(c) for c in columns] for row in rows])
    out.answer(
        {"tables": rows}, text if rows else "The lake is empty: alphaswarm data ingest sample"
    )


@data.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; - reads it from standard input.")],
    as_of: Annotated[str | None, typer.Option(help="Snapshot id or RFC 3339 time.")] = None,
    max_rows: Annotated[int, typer.Option(min=1, max=10_000)] = 1000,
    *,
    json: Json = False,
) -> None:
    """Ask the lake with one SELECT."""
    from clients.cli import calls

    out = output.use(json)
    text = sys.stdin.read() if query == "-" else query
    asked = {"sql": text, "as_of": as_of, "max_rows": max_rows}
    found = calls.call(Place.find(), "data", "query_sql", asked)
    out.answer(found, output.table(found["columns"], found["rows"]))
    if found.get("truncated"):
        output.note(f"Only the first {found['row_count']} rows are shown.")


@data.command()
def snapshots(table: Table, *, json: Json = False) -> None:
    """List the snapshots of a table, newest first."""
    from clients.cli import calls

    out = output.use(json)
    found = calls.call(Place.find(), "data", "list_snapshots", {"table": table})
    rows = found["snapshots"]
    columns = list(rows[0]) if rows else []
    out.answer(found, output.table(columns, [[_flat(row.get(c)) for c in columns] for row in rows]))


def located(home: Home, source: str) -> str:
    """Return what the server is told: a provider's name, or the path of the copy in the inbox.

    Files already in the inbox stay where they are; the same content keeps its name, other content
    under a name that is taken gets its digest into it.
    """
    path = Path(source).expanduser()
    if not path.exists():
        if path.name == source and not path.suffix:
            return source
        raise MissingError(f"There is no file {source[:200]!r}.", hint="Check the path.")
    if not path.is_file():
        raise BadInputError(
            f"{source[:200]!r} is not a file.", hint="Name one CSV or Parquet file."
        )
    path = path.resolve()
    if path.is_relative_to(home.inbox.resolve()):
        return str(path)
    home.ensure()
    with explaining(home.inbox):
        target = home.inbox / path.name
        if target.exists() and not filecmp.cmp(path, target, shallow=False):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
            target = home.inbox / f"{digest}-{path.name}"
        if not target.exists():
            aside = target.with_name(f".{target.name}.part")
            shutil.copyfile(path, aside)
            aside.chmod(0o600)
            aside.replace(target)
    return str(target)


def _mapping(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not equals:
        raise BadInputError(f"{text[:80]!r} is not a mapping.", hint="Write OURS=THEIRS.")
    return ours, theirs


def _flat(value: Any) -> Any:
    return json_.dumps(value) if isinstance(value, dict | list) else value
