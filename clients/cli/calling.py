"""``call`` and ``tools``: any tool of any server, by its own names."""

from __future__ import annotations

import json as json_
import sys
from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place
from topology.errors import BadInputError

_PANEL = "Tools"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (call, tools):
        app.command(rich_help_panel=_PANEL)(command)


def call(
    tool: Annotated[
        str, typer.Argument(metavar="SERVER.TOOL", help="For example data.list_tables.")
    ],
    arguments: Annotated[str, typer.Option("--json", metavar="JSON", help="An object.")] = "{}",
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg", metavar="K=V", help="One argument; V is JSON where it parses, else text."
        ),
    ] = None,
) -> None:
    """Call one tool and print its structured result as JSON."""
    from clients.cli import calls
    from clients.cli.progress import reporting

    out = output.use(as_json=True)
    server, dot, name = tool.partition(".")
    if not dot or not name:
        raise BadInputError(
            f"{tool[:80]!r} does not name a tool.",
            hint="Write SERVER.TOOL, for example data.list_tables.",
        )
    given = _object(arguments) | dict(pair(text) for text in arg or ())
    with reporting(name) as report:
        found = calls.call(Place.find(), server, name, given, report=report)
    if sys.stdout.isatty():
        print(json_.dumps(found, indent=2))
    else:
        out.line(found)


def tools(
    server: Annotated[str | None, typer.Argument(help="Only this server's.")] = None,
    *,
    json: Json = False,
) -> None:
    """List the tools of every server, or of one."""
    from clients.cli import calls

    out, place = output.use(json), Place.find()
    names = [server] if server else list(place.topology.faces)
    found = {name: calls.tools(place, name) for name in names}
    rows = [
        (f"{name}.{tool['name']}", tool.get("title", ""), _first_line(tool))
        for name, listed in found.items()
        for tool in listed
    ]
    out.answer({"servers": found}, output.table(("tool", "title", "what it does"), rows))


def pair(text: str) -> tuple[str, Any]:
    """Return ``k=v`` as a key and a value: JSON where it parses, else the text itself."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadInputError(f"{text[:80]!r} is not an argument.", hint="Write NAME=VALUE.")
    try:
        return key, json_.loads(value)
    except ValueError:
        return key, value


def _object(text: str) -> dict[str, Any]:
    try:
        found = json_.loads(text)
    except ValueError as error:
        raise BadInputError(
            f"--json is not JSON: {error}.", hint='Write an object such as \'{"table": ".."}\'.'
        ) from None
    if not isinstance(found, dict):
        raise BadInputError("--json must be an object.", hint="Write '{\"name\": value}'.")
    return found


def _first_line(tool: dict[str, Any]) -> str:
    return str(tool.get("description", "")).partition("\n")[0]
