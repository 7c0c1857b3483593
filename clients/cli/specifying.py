"""``spec``: check a spec file and name its hash, without running it."""

from __future__ import annotations

from typing import Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place
from clients.cli.running import Settings, SpecFile

spec = typer.Typer(help="Check a spec file, or name its hash.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(spec, name="spec", rich_help_panel="Work")


@spec.command()
def validate(file: SpecFile, settings: Settings = None, *, json: Json = False) -> None:
    """Check a spec against its schema and the data, and show it with every default."""
    from json import dumps

    out = output.use(json)
    found = _validated(file, settings)
    out.answer(found, f"{found['spec_hash']} is valid:\n{dumps(found['spec'], indent=2)}")


@spec.command("hash")
def hash_(file: SpecFile, settings: Settings = None, *, json: Json = False) -> None:
    """Print the hash under which a spec would be locked."""
    out = output.use(json)
    found = _validated(file, settings)
    out.answer({"spec_hash": found["spec_hash"]}, found["spec_hash"])


def _validated(file: Any, settings: list[str] | None) -> dict[str, Any]:
    from clients.cli import calls, specs

    text = specs.read(file)
    asked = {"spec": specs.changed(text, settings or [])}
    return calls.call(Place.find(), calls.owner(specs.kind_of(text)), "validate_spec", asked)
