"""``halt`` by second factor or file permission, and ``resume``, by second factor only."""

from __future__ import annotations

import json as json_
import subprocess
import sys
from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place, python
from clients.cli.signin import Code
from topology.errors import AlphaSwarmError, BadInputError, LatchUnreadableError

_PANEL = "Kill switch"
HALT_S = 30.0
CHECKLIST = ("open_orders_0", "positions_known")
"""What a resume says that a person has made sure of."""
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
    keep_orders: Annotated[bool, typer.Option("--keep-orders", help="Cancel none.")] = False,
    flatten: Annotated[bool, typer.Option("--flatten", help="Close positions too.")] = False,
    local: Annotated[bool, typer.Option("--local", help="By file permission.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address.")] = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Halt a scope at once: everywhere with a second factor, here with --local and nothing else.

    New work stops and open orders are cancelled, unless you say otherwise.
    """
    if context.invoked_subcommand is not None:
        return
    out = output.use(json)
    scope = _scope(everything=everything, kind=kind, spec=spec, run=run)
    orders = _orders(keep_orders=keep_orders, flatten=flatten)
    _check_reason(reason)
    if local:
        found = _latch("halt", scope, "--reason", reason, "--orders", orders)
        if not found["recorded"]:
            output.note("The halt holds, but its audit line could not be written: free some space.")
        epoch = found["epoch"]
    else:
        asked = {"scope": scope, "reason": reason, "orders": orders}
        if flatten:
            asked["confirm"] = scope  # who types --flatten has said so
        found = _asked("halt", asked, "control:halt", no_browser=no_browser, code=code)
        epoch = next(row["epoch"] for row in found["scopes"] if row["scope"] == scope)
    text = f"Halted {scope} (epoch {epoch}).{_acknowledged(found, scope)}"
    out.answer(found, f"{text} Lift it with: alphaswarm resume {scope} --reason ..")


@halt.command()
def status(*, json: Json = False) -> None:
    """Show what is halted: on this machine, by whom and why, and which runs have stopped."""
    out = output.use(json)
    local, record = _latch("status"), _record()
    body = {**local, "scopes": record}
    out.answer(body, _status_text(local, record))
    raise typer.Exit(output.HALTED if local["halted"] else output.OK)


@halt.command()
def drill(*, json: Json = False) -> None:
    """Halt a probe run of its own on the workers, and measure: press, visible, stopped."""
    out = output.use(json)
    found = _program("runtimes.drill")
    steps = ("visible_ms", "acknowledged_ms", "ended_ms")
    out.answer(found, output.table(("after the press", "ms"), [(n[:-3], found[n]) for n in steps]))


def resume(
    scope: Annotated[str, typer.Argument(help="all, kind:K, spec:KIND/NAME or run:ID.")],
    reason: Reason,
    epoch: Annotated[int | None, typer.Option(min=1, help="Of the halt you looked at.")] = None,
    *,
    checked: Annotated[
        bool, typer.Option("--checked", help="Open orders are none, positions are known.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address.")] = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Lift a halt; asks for your second factor, for exactly this, whatever is signed in."""
    from topology.latch import parse_scope

    out = output.use(json)
    parse_scope(scope)
    _check_reason(reason)
    _check_list(scope, checked=checked)
    named = _epoch(scope) if epoch is None else epoch
    asked = {"scope": scope, "epoch": named, "reason": reason, "checked": list(CHECKLIST)}
    found = _asked("resume", asked, "control:resume", no_browser=no_browser, code=code)
    still = f" Still halted: {_names(found['scopes'])}." if found["scopes"] else ""
    out.answer(found, f"Resumed {scope} (epoch {named}).{still}")


def _asked(
    tool: str, arguments: dict[str, Any], scope: str, *, no_browser: bool, code: str | None
) -> dict[str, Any]:
    """Call a tool with a sign-in for this one action, which is ended afterwards."""
    from clients import tokens
    from clients.cli import calls, signin

    place = Place.find()
    grant = signin.step_up(
        place,
        place.face("control"),
        frozenset({scope}),
        no_browser=no_browser,
        action=(tool, arguments),
        code=code,
    )
    try:
        return calls.call_with(place, "control", grant.access_token, tool, arguments)
    finally:
        tokens.revoke(grant)


def _orders(*, keep_orders: bool, flatten: bool) -> str:
    if keep_orders and flatten:
        raise BadInputError(
            "--keep-orders and --flatten exclude one another.", hint="Leave one of them out."
        )
    return "keep" if keep_orders else "flatten" if flatten else "cancel"


def _check_list(scope: str, *, checked: bool) -> None:
    """Ask for what nobody but a person can know, unless it was said."""
    if not checked and sys.stdin.isatty():
        output.note(f"Before {scope} goes on: 1. open orders are none; 2. positions are known.")
        checked = typer.confirm("Have you made sure of both?", err=True)
    if not checked:
        raise BadInputError(
            "Make sure first that open orders are none and that positions are known.",
            hint="Then say so with --checked.",
            path="checked",
        )


def _epoch(scope: str) -> int:
    """Return the epoch of the halt in force, as the record or this machine's latch shows it."""
    import hashlib

    sha256 = hashlib.sha256(scope.encode()).hexdigest()
    record = _record() or []
    here = _latch("status")["in_force"]
    epochs = [row["epoch"] for row in record if row["scope"] == scope]
    epochs += [row["epoch"] for row in here if row["scope_sha256"] == sha256 and not record]
    epochs += [row["epoch"] for row in here if scope == "all" == row["scope"] and not record]
    if not epochs:
        raise BadInputError(
            f"{scope!r} is not halted.",
            hint="`alphaswarm halt status` shows what is.",
            path="scope",
        )
    return int(max(epochs))


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
    return _program("topology.latch", *arguments)


def _program(module: str, *arguments: str) -> dict[str, Any]:
    """Run a program of ours on this home and return the object that it prints."""
    import os

    from topology.home import Home

    environ = {**os.environ, "ALPHASWARM_HOME": str(Home.from_environment().root)}
    done = subprocess.run(
        python(module, *arguments),
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
    columns = ("scope", "epoch", "actor", "reason", "at", "orders")
    rows = [
        [*(row.get(c) for c in columns), f"{row['stopped']} of {row['covered']}"] for row in record
    ]
    silent = [f"{one['run_id']} on {one['worker']}" for row in record for one in row["silent"]]
    killed = [run for row in record for run in row["killed"]]
    lines = ["HALTED", output.table((*columns, "stopped"), rows)]
    lines += [f"Silent: {', '.join(silent)}"] if silent else []
    return "\n".join(lines + ([f"Killed: {', '.join(killed)}"] if killed else []))


def _acknowledged(found: dict[str, Any], scope: str) -> str:
    row = next((row for row in found.get("scopes", ()) if row["scope"] == scope), None)
    return f" {row['stopped']} of {row['covered']} runs have stopped." if row else ""


def _names(scopes: list[dict[str, Any]]) -> str:
    return ", ".join(str(row["scope"]) for row in scopes)
