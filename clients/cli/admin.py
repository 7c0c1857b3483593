"""``user`` and ``audit``: accounts of this machine, and the record of who did what."""

from __future__ import annotations

import getpass
import subprocess
from typing import Annotated

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place, python

_PANEL = "Administration"
user = typer.Typer(help="Accounts, on this machine only.", no_args_is_help=True)
audit = typer.Typer(help="Who intended what, and what came of it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(user, name="user", rich_help_panel=_PANEL)
    app.add_typer(audit, name="audit", rich_help_panel=_PANEL)


@user.command()
def add(name: Annotated[str, typer.Argument(help="What they sign in as.")]) -> None:
    """Create an account; asks for its password (or reads one line of standard input)."""
    _identity("add-user", name)


@user.command()
def passwd(
    name: Annotated[str | None, typer.Argument(help="Default: this operating-system user.")] = None,
) -> None:
    """Set a password for the sign-in page; a replaced one ends the account's sessions."""
    _identity("passwd", name or getpass.getuser())


@user.command()
def enrol(
    factor: Annotated[str, typer.Argument(help="totp or passkey.")],
    name: Annotated[str | None, typer.Argument(help="Default: this operating-system user.")] = None,
    *,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address.")] = False,
) -> None:
    """Enrol a second factor: one-time codes of an app, or a passkey in the browser."""
    options = ["--no-browser"] if no_browser else []
    _identity("enrol", factor, name or getpass.getuser(), *options)


@user.command("remove-factor")
def remove_factor(
    factor: Annotated[str, typer.Argument(help="totp, or the name of a passkey.")],
    name: Annotated[str | None, typer.Argument(help="Default: this operating-system user.")] = None,
) -> None:
    """Remove a lost second factor; every session of the account ends."""
    _identity("remove-factor", name or getpass.getuser(), factor)


@user.command("recovery-codes")
def recovery_codes(
    name: Annotated[str | None, typer.Argument(help="Default: this operating-system user.")] = None,
) -> None:
    """Replace the recovery codes by ten fresh ones, shown once."""
    _identity("recovery-codes", name or getpass.getuser())


@audit.command()
def tail(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=200)] = 20,
    after: Annotated[int | None, typer.Option(min=0, help="`next` of the page before.")] = None,
    *,
    json: Json = False,
) -> None:
    """Show the newest rows of the audit ledger."""
    from clients.cli import calls

    out = output.use(json)
    found = calls.call(Place.find(), "control", "audit_log", {"limit": limit, "after": after})
    columns = ("seq", "at", "actor", "action", "target", "decision")
    rows = [[row.get(column) for column in columns] for row in found["rows"]]
    out.answer(found, output.table(columns, rows))


@audit.command()
def verify(
    head: Annotated[str | None, typer.Option(help="SEQ:HASH that you noted earlier.")] = None,
    *,
    json: Json = False,
) -> None:
    """Recompute the hash chain and compare it with published heads; exit 1 where it breaks."""
    from clients.cli import calls

    out = output.use(json)
    arguments = {} if head is None else {"head": head}
    found = calls.call(Place.find(), "control", "verify_audit", arguments)
    good = (
        f"The chain of {found['rows']} rows is whole and agrees with {found['heads']} published "
        f"heads; its tip is {found['tip']}."
    )
    broken = {
        "row": f"The chain is broken at row {found['broken_seq']}.",
        "head": (
            f"The rows fit one another, but from row {found['broken_seq']} on they are not those "
            "whose head was published: the chain was written anew or cut."
        ),
    }
    out.answer(found, good if found["ok"] else broken[found["problem"]])
    raise typer.Exit(output.OK if found["ok"] else output.FAILED)


@audit.command()
def head(*, json: Json = False) -> None:
    """Print the chain's newest head; note it elsewhere, and `audit verify --head` checks it."""
    from clients.cli import calls

    out = output.use(json)
    found = calls.call(Place.find(), "control", "audit_log", {"limit": 1})
    newest = found["rows"][0] if found["rows"] else {"seq": 0, "hash": "0" * 64}
    text = f"{newest['seq']}:{newest['hash']}"
    out.answer({"head": text, "seq": newest["seq"], "hash": newest["hash"]}, text)


def _identity(*arguments: str) -> None:
    """Run the issuer's own program with this terminal: a password never passes through us."""
    argv = python("servers.identity", *arguments)
    done = subprocess.run(argv, env=Place.find().environ(), check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
