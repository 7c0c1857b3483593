"""Administer the issuer of this home: accounts, signing keys, revocation.

``python -m servers.identity add-user NAME | passwd NAME | enrol totp|passkey NAME | remove-factor
NAME FACTOR | recovery-codes NAME | revoke NAME | rotate-keys``. A password is asked for twice at a
terminal, or is the first line of standard input; so is the code that confirms an enrolment.
"""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import logging
import sys
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import closing

from auth import store as rows
from auth.accounts import Accounts
from auth.audit import KEYS, Sink
from auth.factors.passkeys import Passkeys
from auth.factors.seal import Seal
from auth.factors.totp import Enrolment
from auth.keys import KeyRing
from ledger.identity import IdentityStore
from ledger.pool import open_pool
from servers.identity.compose import ledger_sink
from topology import services
from topology.clock import Clock, SystemClock, rfc3339
from topology.errors import AlphaSwarmError, BadInputError, FaultError, StoreUnreachableError
from topology.home import Home
from topology.stores import postgres_dsn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is done, 2 bad input, 5 a store that does not answer, 1 anything else."""
    options = _parser().parse_args(arguments)
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # our error says it once
    try:
        _say(_run(options))
    except AlphaSwarmError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return _exit_code(error)
    return 0


def _run(options: argparse.Namespace) -> str:
    home, topology, clock = Home.from_environment(), services.load(), SystemClock()
    with closing(
        open_pool(postgres_dsn(topology, home, "alphaswarm_app"), name="identity", max_size=1)
    ) as pool:
        sink = ledger_sink(pool)
        if options.command == "rotate-keys":
            return rotate_keys(home, sink, clock)
        accounts = Accounts(IdentityStore(pool, rows), sink, clock)
        seal = Seal.open(home.keys)
        if options.command == "enrol" and options.factor == "passkey":
            address = passkey_address(accounts, seal, topology.issuer_url(), options.name)
            return show(address, browser=not options.no_browser)
        if options.command == "enrol":
            return enrol_totp(accounts, seal, options.name)
        if options.command == "remove-factor":
            accounts.remove_factor(options.name, options.factor)
            return f"{options.factor} of {options.name} is removed, and every session ended."
        if options.command == "recovery-codes":
            return _listed(accounts.new_recovery_codes(options.name))
        return change(accounts, options.command, options.name, read_password)


def change(accounts: Accounts, command: str, name: str, password: Callable[[], str]) -> str:
    """Carry out a command on one account and return what to tell the person."""
    if command == "add-user":
        accounts.add(name, password())
        return f"{name} can sign in."
    accounts.find(name)
    if command == "passwd":
        accounts.set_password(name, password())
        return f"{name} has a new password."
    return f"{accounts.revoke(name)} grants of {name} ended."


def enrol_totp(accounts: Accounts, seal: Seal, name: str) -> str:
    """Show a new secret, take the code that an app makes of it, and return the recovery codes."""
    accounts.find(name)
    enrolment = Enrolment.begin(name)
    sys.stdout.write(f"Secret for your app: {enrolment.secret}\n{enrolment.uri}\n")
    sys.stdout.flush()
    codes = accounts.enrol_totp(name, seal, enrolment, read_code())
    return f"{name} has a second factor.\n{_listed(codes)}"


def passkey_address(accounts: Accounts, seal: Seal, issuer: str, name: str) -> str:
    """Return the address of the page that enrols one passkey of a person, good for 5 minutes."""
    if Passkeys.of(issuer, seal) is None:
        raise BadInputError(
            f"A passkey belongs to a host name, and the issuer is {issuer}.",
            hint="Set base_url of the topology to a host name, or enrol totp.",
        )
    return f"{issuer}/passkeys?ticket={accounts.ticket(name, seal)}"


def show(address: str, *, browser: bool) -> str:
    """Open an address on this machine where that is wanted and possible; return what to say."""
    if browser and webbrowser.open(address):
        return f"Continue in the browser within 5 minutes. If none has opened:\n{address}"
    return f"Open this address in a browser on this machine within 5 minutes:\n{address}"


def read_code() -> str:
    """Return the code of the app, from the terminal or from standard input."""
    if sys.stdin.isatty():
        return input("Code that the app shows now: ").strip()
    return sys.stdin.readline().strip()


def _listed(codes: Sequence[str]) -> str:
    lines = "\n".join(f"  {code}" for code in codes)
    return f"Recovery codes, each good once. Keep them on paper; they are not shown again.\n{lines}"


def rotate_keys(home: Home, sink: Sink, clock: Clock) -> str:
    """Publish the next signing key and return from when it signs; recorded before and after."""
    facts = {"reason": "rotation"}
    sink(actor="system", action=KEYS, target="next", decision="intended", facts=facts)
    key = KeyRing(home.keys).rotate(clock.now().timestamp())
    start = rfc3339(dt.datetime.fromtimestamp(key.active_from, tz=dt.UTC))
    facts = {"reason": f"signs from {start}"}
    sink(actor="system", action=KEYS, target=key.kid, decision="done", facts=facts)
    return f"Key {key.kid} is published and signs from {start}."


def read_password() -> str:
    """Return a new password from the terminal, asked twice, or from standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != first:
        raise BadInputError("The two passwords differ.", hint="Try again; nothing was changed.")
    return first


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m servers.identity", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (
        ("add-user", "create an account with a password"),
        ("passwd", "set the password of an account; a replaced one ends all its sessions"),
        ("revoke", "end every session and token of an account"),
    ):
        commands.add_parser(command, help=text).add_argument("name")
    enrol = commands.add_parser("enrol", help="enrol a second factor")
    enrol.add_argument("factor", choices=["totp", "passkey"])
    enrol.add_argument("name")
    enrol.add_argument("--no-browser", action="store_true", help="print the address only")
    remove = commands.add_parser("remove-factor", help="remove a second factor")
    remove.add_argument("name")
    remove.add_argument("factor", help="totp, or the name of a passkey")
    codes = commands.add_parser("recovery-codes", help="replace the recovery codes")
    codes.add_argument("name")
    commands.add_parser("rotate-keys", help="publish the next signing key")
    return parser


def _exit_code(error: AlphaSwarmError) -> int:
    if isinstance(error, StoreUnreachableError):
        return 5
    return 1 if isinstance(error, FaultError) else 2


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
