"""``halt`` and ``resume``: the kill switch by file permission, and the way back by password."""

from __future__ import annotations

import json as json_
import subprocess
from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place, python
from clients.cli.signin import Code
from topology.errors import AlphaSwarmError, BadInputError, LatchUnreadableError

_PANEL = "Kill switch"
HALT_S = 30.0
halt = typer.Typer(help="Stop work on this machine, or see what is stopped.")
Reason = Annotated[str, typer.Option(help="A sentence for the audit.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(halt, name="halt", rich_help_panel=_PANEL)
    app.command(rich_help_panel=_PANEL)(resume)


@halt.callback(invoke_without_command=True)
def press(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    kind: Annotated[str | None, typer.Option(help="Every run of a kind.")] = None,
    spec: Annotated[str | None, typer.Option(metavar="KIND/NAME", help="Runs of a spec.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN_ID", help="One run.")] = None,
    reason: Reason = "",
    local: Annotated[bool, typer.Option("--local", help="By file permission.")] = False,
    json: Json = False,
) -> None:
    """Halt a scope at once; needs no server, no database and no sign-in."""
    if context.invoked_subcommand is not None:
        return
    out = output.use(json)
    scope = _scope(everything=everything, kind=kind, spec=spec, run=run)
    if not local:
        raise BadInputError(
            "A halt over the network needs a second factor, which this version does not have.",
            hint="On this machine: alphaswarm halt --local, with the same scope and reason.",
        )
    _check_reason(reason)
    found = _latch("halt", scope, "--reason", reason)
    text = f"Halted {found['scope']} (epoch {found['epoch']})."
    if not found["recorded"]:
        output.note("The halt holds, but its audit line could not be written: free some space.")
    out.answer(found, f"{text} Lift it with: alphaswarm resume {found['scope']} --reason ..")


@halt.command()
def status(*, json: Json = False) -> None:
    """Show what is halted: on this machine, and by whom and why where the servers answer."""
    out = output.use(json)
    local, record = _latch("status"), _record()
    body = {**local, "scopes": record}
    out.answer(body, _status_text(local, record))
    raise typer.Exit(output.HALTED if local["halted"] else output.OK)


def resume(
    scope: Annotated[str, typer.Argument(help="all, kind:K, spec:KIND/NAME or run:ID.")],
    reason: Reason,
    epoch: Annotated[int | None, typer.Option(min=1, help="Of the halt you looked at.")] = None,
    *,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address.")] = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Lift a halt; asks for your second factor, for exactly this, whatever is signed in."""
    from clients import tokens
    from clients.cli import calls, signin
    from topology.latch import parse_scope

    out, place = output.use(json), Place.find()
    parse_scope(scope)
    _check_reason(reason)
    asked: dict[str, Any] = {"scope": scope, "reason": reason}
    asked |= {"epoch": epoch} if epoch else {}
    grant = signin.step_up(
        place,
        place.face("control"),
        frozenset({"control:resume"}),
        no_browser=no_browser,
        action=("resume", asked),
        code=code,
    )
    try:
        found = calls.call_with(place, "control", grant.access_token, "resume", asked)
    finally:
        tokens.revoke(grant)  # this sign-in was for this one action
    still = f" Still halted: {_names(found['scopes'])}." if found["scopes"] else ""
    out.answer(found, f"Resumed {scope}.{still}")


def _scope(*, everything: bool, kind: str | None, spec: str | None, run: str | None) -> str:
    from topology.latch import parse_scope

    named = {"kind": kind, "spec": spec, "run": run}
    scopes = [f"{word}:{value}" for word, value in named.items() if value is not None]
    if everything:
        scopes.append("all")
    if len(scopes) != 1:
        raise BadInputError(
            "Name exactly one scope to halt.", hint="--all, --kind K, --spec KIND/NAME or --run ID."
        )
    return parse_scope(scopes[0])


def _check_reason(reason: str) -> None:
    if not 3 <= len(reason.strip()) <= 500:
        raise BadInputError(
            "A reason of 3 to 500 characters is needed.", hint='Add --reason "why".', path="reason"
        )


def _latch(*arguments: str) -> dict[str, Any]:
    """Run the break-glass program: the standard library only, so that it always starts."""
    import os

    from topology.home import Home

    environ = {**os.environ, "ALPHASWARM_HOME": str(Home.from_environment().root)}
    done = subprocess.run(
        python("topology.latch", *arguments),
        env={**environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HALT_S,
    )
    try:
        found = json_.loads(done.stdout if done.returncode in (0, output.HALTED) else done.stderr)
    except ValueError:
        raise LatchUnreadableError(
            "The halt program did not answer.", hint="Whatever mutates counts as halted."
        ) from None
    if done.returncode in (0, output.HALTED):
        return dict(found)
    from clients.errors import from_body

    raise from_body(found)


def _record() -> list[dict[str, Any]] | None:
    """Return the halts of the record, or None where the servers or a sign-in are missing."""
    from clients.cli import calls

    try:
        found = calls.call(Place.find(), "control", "halt_status")
    except AlphaSwarmError as error:
        output.note(f"Only this machine's latch was read: {error.message}")
        return None
    return list(found["scopes"])


def _status_text(local: dict[str, Any], record: list[dict[str, Any]] | None) -> str:
    if not local["halted"]:
        return "Nothing is halted on this machine."
    if record is None:
        scopes = [h["scope"] or f"scope {h['scope_sha256'][:12]}" for h in local["in_force"]]
        return f"HALTED: {', '.join(scopes)}"
    columns = ("scope", "epoch", "actor", "reason", "at")
    return "HALTED\n" + output.table(columns, [[row.get(c) for c in columns] for row in record])


def _names(scopes: list[dict[str, Any]]) -> str:
    return ", ".join(str(row["scope"]) for row in scopes)
