"""``stack``: plan a tree of Terraform, approve the plan, and see what became of it."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.running import RunId, Settings, SpecFile
from clients.cli.signin import Code, NoBrowser
from topology.errors import BadInputError, MissingError

KIND = "terraform"
COMMAND = "alphaswarm stack apply"
FILES, BYTES = 500, 262_144
SKIPPED = (".terraform", ".git")
SHOWN = 10
stack = typer.Typer(help="Plan and apply trees of Terraform.", no_args_is_help=True)
Module = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Read the spec's files from there.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(stack, name="stack", rich_help_panel="Work")


@stack.command()
def plan(
    spec: SpecFile,
    module: Module = None,
    settings: Settings = None,
    *,
    destroy: Annotated[bool, typer.Option("--destroy", help="Plan the end of it all.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Show drift alone.")] = False,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Show what a stack would change; changes nothing. Asks for your second factor."""
    from clients.cli import changing, specs

    out = output.use(json)
    if destroy and refresh:
        raise BadInputError("--destroy and --refresh exclude one another.", hint="Leave one out.")
    mode = "destroy" if destroy else "refresh" if refresh else None
    given = [*(settings or []), *([f"mode={mode}"] if mode else [])]
    if module is not None:
        given.append(f"files={json_.dumps(tree(module))}")
    body = specs.changed(specs.read(spec), given)
    changing.planned(out, body, command=COMMAND, no_browser=no_browser, code=code)


@stack.command()
def apply(
    run_id: RunId,
    *,
    plan_sha256: Annotated[
        str | None, typer.Option(help="Of the plan that you looked at; default: the run's.")
    ] = None,
    allow_destroy: Annotated[
        bool, typer.Option("--allow-destroy", help="Let it destroy what the plan names.")
    ] = False,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Approve a plan, and follow its run to the end. Asks for your second factor.

    A plan that destroys a store, such as a bucket or a database, is approved twice.
    """
    from clients.cli import changing

    changing.approved(
        output.use(json),
        run_id,
        allow_destroy=allow_destroy,
        plan_sha256=plan_sha256,
        no_browser=no_browser,
        code=code,
    )


@stack.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the stack's spec.")],
    *,
    json: Json = False,
) -> None:
    """Show the newest runs of a stack, and what the newest one would change or has changed."""
    from clients.cli import calls, changing, listed
    from clients.cli.place import Place

    out, place = output.use(json), Place.find()
    asked = {"kind": KIND, "name": name, "limit": SHOWN}
    found = calls.call(place, "control", "list_runs", asked)["runs"]
    if not found:
        raise MissingError(f"No stack is called {name[:64]!r}.", hint="Plan one: `stack plan`.")
    newest = calls.call(place, "control", "get_run", {"run_id": found[0]["run_id"]})
    text = f"{listed.as_text(found, asked)}\n\n{changing.as_text(newest, command=COMMAND)}"
    out.answer({"runs": found, "newest": newest}, text)


def tree(folder: Path) -> dict[str, str]:
    """Return path to text of every file of a module tree, but state and what was downloaded."""
    if not folder.is_dir():
        raise MissingError(f"{str(folder)!r} is not a folder.", hint="Name the module's folder.")
    found: dict[str, str] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        told = path.relative_to(folder)
        if not path.is_file() or _left_out(told):
            continue
        found[told.as_posix()] = text = _text(path)
        size += len(text)
        if len(found) > FILES or size > BYTES:
            raise BadInputError(
                f"{str(folder)!r} holds more than {FILES} files or {BYTES} bytes.",
                hint="Name the folder of the module itself; a spec holds all of it.",
            )
    return found


def _left_out(path: Path) -> bool:
    made = ".tfstate" in path.name or path.name.endswith(".tfplan")
    return made or any(part in SKIPPED for part in path.parts)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInputError(
            f"{str(path)!r} is not text.", hint="A stack holds text only: fetch the rest elsewhere."
        ) from None
    except OSError as error:
        raise MissingError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
