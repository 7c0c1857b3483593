"""``data``: see the tables, ask with SQL, look at what is covered and what is wrong."""

from __future__ import annotations

import json as json_
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli import bringing, making, output
from clients.cli.output import Json
from clients.cli.place import Place
from topology.ids import is_id

data = typer.Typer(
    help="Bring data in and out, see the tables, ask with SQL.", no_args_is_help=True
)
Table = Annotated[str, typer.Argument(help="NAMESPACE.TABLE, as `data ls` names it.")]
Out = Annotated[Path | None, typer.Option(help="Write the picture (SVG) to this file.")]
Open = Annotated[bool, typer.Option("--open", help="Show the picture in the browser.")]
BARS = "alphaswarm_silver_market.bars_1d"
_LISTS = {
    "rules": ("severity", "rule", "found", "symbols", "because"),
    "examples": ("severity", "rule", "vt_symbol", "timestamp", "value", "detail"),
}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(data, name="data", rich_help_panel="Work")


data.command()(bringing.ingest)


@data.command()
def ls(*, json: Json = False) -> None:
    """List the tables of the lake."""
    out, place = output.use(json), Place.find()
    rows = _pages(place, "list_tables", "tables")
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
    out = output.use(json)
    rows = _pages(Place.find(), "list_snapshots", "snapshots", table=table)
    columns = list(rows[0]) if rows else []
    text = output.table(columns, [[_flat(row.get(c)) for c in columns] for row in rows])
    out.answer({"snapshots": rows, "next": None}, text)


@data.command()
def coverage(
    table: Table = BARS, out: Out = None, *, show: Open = False, json: Json = False
) -> None:
    """Show what a table holds of each symbol, as a list or as a calendar (SVG)."""
    from clients.cli import calls

    to, place = output.use(json), Place.find()
    uri = f"data://tables/{table}/coverage"
    found = json_.loads(calls.read(place, "data", uri))
    drawn = _picture(place, f"{uri}/picture", f"coverage-{table}", out, show=show)
    columns = ("vt_symbol", "first", "last", "rows")
    rows = [[row.get(column) for column in columns] for row in found["symbols"]]
    to.answer(found | drawn, drawn.get("path") or output.table(columns, rows))


@data.command()
def lineage(
    what: Annotated[str, typer.Argument(metavar="TABLE|RUN_ID", help="A table, or a run.")],
    out: Out = None,
    *,
    show: Open = False,
    json: Json = False,
) -> None:
    """Show where a table's rows, or what a run read, came from: bronze, silver, gold, runs."""
    from clients.cli import calls

    to, place = output.use(json), Place.find()
    uri = f"data://runs/{what}/lineage" if is_id(what) else f"data://tables/{what}/lineage"
    found = json_.loads(calls.read(place, "data", uri))
    drawn = _picture(place, f"{uri}/picture", f"lineage-{what}", out, show=show)
    to.answer(found | drawn, drawn.get("path") or _told(found))


@data.command()
def quality(
    table: Table = BARS,
    symbol: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    start: Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Snapshot id or RFC 3339 time.")] = None,
    run: Annotated[str | None, typer.Option(help="What this ingest found, as stored.")] = None,
    examples: Annotated[int, typer.Option(min=0, max=200)] = 20,
    *,
    json: Json = False,
) -> None:
    """Check bars by rule, the worst first; exit 1 where something is an error."""
    from clients.cli import calls

    out = output.use(json)
    asked = {
        "table": table,
        "symbols": symbol or None,
        "start": start,
        "end": end,
        "as_of": as_of,
        "run_id": run,
        "examples": examples,
    }
    found = calls.call(Place.find(), "data", "quality_report", asked)
    out.answer(found, _report(found))
    if found["by_severity"].get("error"):
        raise typer.Exit(output.FAILED)


for _command in (making.export, making.features, making.maintain):
    data.command()(_command)


def _pages(place: Place, tool: str, key: str, **asked: Any) -> list[dict[str, Any]]:
    """Return the rows of every page of a list."""
    from clients.cli import calls

    rows: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = calls.call(place, "data", tool, {**asked, "limit": 200, "after": after})
        rows += page[key]
        after = page.get("next")
        if not after:
            return rows


def _picture(place: Place, uri: str, name: str, out: Path | None, *, show: bool) -> dict[str, str]:
    """Write a picture where it is wanted, and open it; return its path."""
    from clients.cli import calls

    if out is None and not show:
        return {}
    target = out or place.home.artifacts / "pictures" / f"{name}.svg"
    with making.writing(target):
        if out is None:
            target.parent.mkdir(mode=0o700, exist_ok=True)
        making.refuse_taken(target, force=True)
        drawn = calls.read(place, "data", uri)
        target.write_bytes(drawn if isinstance(drawn, bytes) else drawn.encode())
    if show:
        typer.launch(target.resolve().as_uri())
    return {"path": str(target.resolve())}


def _report(found: dict[str, Any]) -> str:
    counts = ", ".join(f"{number} {name}" for name, number in found["by_severity"].items())
    lines = [f"{found['table']}: {counts}"]
    for name, columns in _LISTS.items():
        if found[name]:
            rows = [[row.get(column) for column in columns] for row in found[name]]
            lines += ["", output.table(columns, rows)]
    if found["clean"]:
        lines += ["", f"nothing found by: {', '.join(found['clean'])}"]
    return "\n".join([*lines, *(f"not checked: {one}" for one in found["not_checked"])])


def _told(found: dict[str, Any]) -> str:
    """Return each table and run, what it comes from below it."""
    names = {node["key"]: _node(node) for node in found["nodes"]}
    lines = []
    for key, name in names.items():
        lines.append(name)
        lines += [f"  from {names[source]}" for source, made in found["edges"] if made == key]
    return "\n".join(lines)


def _node(node: dict[str, Any]) -> str:
    if node["kind"] == "run":
        return f"run {node['run_id']} ({node['place']}/{node['name']}, {node['state']})"
    rows = "" if node["rows"] is None else f", {node['rows']} rows"
    state = f", {node['state']}" if node["state"] else ""
    return f"{node['place']}.{node['name']} at snapshot {node['snapshot_id']}{rows}{state}"


def _flat(value: Any) -> Any:
    return json_.dumps(value) if isinstance(value, dict | list) else value
