"""``topology``: check the map and show what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.cli import output
from clients.cli.output import Json

topology = typer.Typer(help="Check the map of the suite, or show it.", no_args_is_help=True)
Profile = Annotated[str | None, typer.Option(help="Overlay to apply.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(topology, name="topology", rich_help_panel="Administration")


@topology.command()
def validate(
    file: Annotated[Path | None, typer.Argument(help="Default: the one in force.")] = None,
    profile: Profile = None,
    *,
    json: Json = False,
) -> None:
    """Check a topology file; every problem is named with file, line and column."""
    from topology.services import load

    out = output.use(json)
    found = load(path=file, profile=profile)
    out.answer({"ok": True, "sha256": found.sha256}, f"The topology is valid ({found.sha256}).")


@topology.command()
def show(profile: Profile = None, *, json: Json = False) -> None:
    """Show the map in force, its overlay and port applied."""
    from clients.cli.place import Place

    out = output.use(json)
    found = Place.find(profile=profile).topology
    body = found.model_dump(mode="json", by_alias=True)
    faces = {name: face.model_dump(mode="json") for name, face in found.faces.items()}
    rows = [(f.name, f.audience, " ".join(f.scopes)) for f in found.faces.values()]
    text = f"issuer {found.issuer_url()}\n\n{output.table(('server', 'audience', 'scopes'), rows)}"
    out.answer({"topology": body, "faces": faces, "sha256": found.sha256}, text)
