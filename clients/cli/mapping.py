"""``topology``: check the map, show what follows from it, and write deployments from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.cli import output
from clients.cli.output import Json

if TYPE_CHECKING:
    from topology.services import Topology

topology = typer.Typer(help="Check the map of the suite, show or render it.", no_args_is_help=True)
Profile = Annotated[str | None, typer.Option(help="Overlay to apply.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(topology, name="topology", rich_help_panel="Administration")


@topology.command()
def validate(
    file: Annotated[Path | None, typer.Argument(help="Default: the one in force.")] = None,
    profile: Profile = None,
    rendered: Annotated[
        Path | None, typer.Option(help="Folder of rendered files to compare with the map.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Check a topology file; every problem is named with file, line and column."""
    from topology.services import load

    out = output.use(json)
    found = load(path=file, profile=profile)
    if rendered is not None:
        _refuse_drift(found, rendered, profile)
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


@topology.command()
def render(
    target: Annotated[str, typer.Argument(help="compose, kubernetes, clients, prm or schema.")],
    out: Annotated[Path | None, typer.Option(help="Write the files into this folder.")] = None,
    profile: Profile = None,
    *,
    json: Json = False,
) -> None:
    """Print the files of a deployment, or write them: pure text from the map, no secret in it."""
    from clients.cli.place import Place
    from topology.render import targets

    said = output.use(json)
    found = Place.find(profile=profile).topology
    files = targets.render(found, target, profile=_named(profile))
    if out is None:
        said.answer({"files": files}, "\n".join(text.rstrip("\n") for text in files.values()))
        return
    _write(out, files)
    listed = "\n".join(f"{out / name}" for name in files)
    said.answer({"written": [str(out / name) for name in files]}, listed)


def _named(profile: str | None) -> str:
    import os

    return profile or os.environ.get("ALPHASWARM_PROFILE") or "embedded"


def _refuse_drift(found: Topology, folder: Path, profile: str | None) -> None:
    from topology.errors import BadInputError
    from topology.render import targets

    stale = targets.drift(found, folder, profile=_named(profile))
    if stale:
        raise BadInputError(
            f"Not what the map gives now: {', '.join(stale)}.",
            hint="Render again: `alphaswarm topology render TARGET --out FOLDER`.",
            code="rendered_stale",
            files=stale,
            folder=str(folder),
        )


def _write(folder: Path, files: dict[str, str]) -> None:
    from topology.errors import BadInputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"{folder}: {error.strerror}.", hint="Name a folder that you may write.", path="--out"
        ) from error
