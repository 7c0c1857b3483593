"""``connect``: enter this suite into the settings of an MCP client, or take it out again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json

if TYPE_CHECKING:
    from clients.connect.entries import Wanted
    from clients.connect.files import Change

NEXT = {
    "claude-code": "Start Claude Code in this folder; `/mcp` signs in.",
    "claude-desktop": "Restart Claude Desktop; sign in once with `alphaswarm login`.",
    "vscode": "Open the command palette: MCP: List Servers, then start one; it asks to sign in.",
    "cursor": "Open Cursor's settings, MCP; each server asks to sign in.",
    "theia": "Open Theia's MCP view and start a server; it asks to sign in.",
    "inspector": "npx @modelcontextprotocol/inspector --config mcp-inspector.json --server NAME",
}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Signing in")(connect)


def connect(
    client: Annotated[
        str,
        typer.Argument(help="claude-code, claude-desktop, vscode, cursor, theia or inspector."),
    ],
    only: Annotated[str, typer.Option(help="Servers to enter, for example data,backtest.")] = "",
    scope: Annotated[str | None, typer.Option(help="user or project.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference only.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take our entries out again.")] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Print the entries, write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace foreign entries.")] = False,
    json: Json = False,
) -> None:
    """Enter the servers into a client's settings; everything else in the file stays as it is."""
    from clients.connect import files
    from topology.home import Home

    out = output.use(json)
    home, want = Home.from_environment(), _wanted(client, only, scope)
    if show:
        out.answer({want.place.key: dict(want.entries)}, want.paste)
        return
    change = files.undo(home, want) if undo else files.connect(home, want, force=force)
    difference = _difference(change)
    if not dry_run:
        files.write(home, want, change, undoing=undo)
    body: dict[str, Any] = {
        "client": client,
        "file": str(change.place.file),
        "servers": list(want.entries),
        "changed": change.differs,
        "written": change.differs and not dry_run,
        "difference": difference,
    }
    out.answer(body, _as_text(change, difference, client, dry_run=dry_run, undo=undo))


def _wanted(client: str, only: str, scope: str | None) -> Wanted:
    from clients.cli.place import Place
    from clients.connect import entries, places
    from topology.errors import BadInputError

    if scope not in {None, "user", "project"}:
        raise BadInputError("--scope is user or project.", hint="Or leave it out.", path="--scope")
    chosen: Any = scope
    place = places.place(client, chosen, project=Path.cwd(), environ=os.environ)
    found = Place.find()
    names = [name.strip() for name in only.split(",") if name.strip()]
    faces = [found.face(name) for name in names or found.topology.faces]
    return entries.wanted(place, faces, command=_command(), environ=os.environ)


def _command() -> str:
    """Return the absolute path of this very command: clients start it without our environment."""
    beside = Path(sys.executable).with_name("alphaswarm")
    return str(beside) if beside.exists() else shutil.which("alphaswarm") or "alphaswarm"


def _difference(change: Change) -> str:
    import difflib

    before = (change.before or "").splitlines(keepends=True)
    after = (change.after or "").splitlines(keepends=True)
    name = str(change.place.file)
    return "".join(difflib.unified_diff(before, after, name, name))


def _as_text(change: Change, difference: str, client: str, *, dry_run: bool, undo: bool) -> str:
    if not change.differs:
        said = "has no entry of ours" if undo else "is up to date"
        return f"{change.place.file} {said}; nothing was changed."
    if dry_run:
        return difference.rstrip("\n")
    if undo:
        return f"{change.place.file}: our entries are out."
    return f"{change.place.file} is written.\n{NEXT[client]}"
