"""``python -m topology.latch halt SCOPE --reason TEXT | status``: the halt that needs nothing.

No server, no database, no sign-in: the file permission of the latch is the authority. Every halt
stands in ``run/halt.spool``, first as intended, then as done, until the ledger takes it into the
audit. If even the spool cannot be written the halt goes on: safety first, and it says so.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any

from topology.errors import AlphaSwarmError, FaultError, LatchUnreadableError
from topology.home import Home
from topology.latch import ORDERS, Latch, Orders, parse_scope

ACR = "urn:alphaswarm:acr:os"
LONGEST_REASON = 500
USAGE, HALTED, UNREACHABLE = 2, 4, 5


def halt(home: Home, scope: str, *, reason: str, orders: Orders = ORDERS[0]) -> dict[str, Any]:
    """Press ``scope`` and return {scope, epoch, orders, recorded}.

    A missing latch is made, pressed, with the time in milliseconds as its epoch: above any epoch
    that the record can hold, which only counts up.
    """
    parse_scope(scope)
    told = (scope, reason, orders)
    recorded = _spool(home.spool, *told, epoch=None)
    beginning = {scope: time.time_ns() // 1_000_000}
    with Latch.open(home.latch, create=True, halted=beginning) as latch:
        epoch = latch.press(scope, orders=orders)
    recorded = _spool(home.spool, *told, epoch=epoch) and recorded
    return {"scope": scope, "epoch": epoch, "orders": orders, "recorded": recorded}


def status(home: Home) -> dict[str, Any]:
    """Return {halted, epoch, changes, in_force: [{scope, scope_sha256, epoch, at_ns, orders}]}."""
    with Latch.open(home.latch) as latch:
        held = latch.in_force()
        return {
            "halted": bool(held),
            "epoch": latch.epoch(),
            "changes": latch.changes(),
            "in_force": [
                {
                    "scope": halt.scope or None,
                    "scope_sha256": sha256,
                    "epoch": halt.epoch,
                    "at_ns": halt.at_ns,
                    "orders": halt.orders,
                }
                for sha256, halt in held
            ],
        }


def main(arguments: list[str] | None = None) -> int:
    """Run one command, print JSON; 0 done, 2 usage, 4 status found a halt, 5 unreadable."""
    parser = argparse.ArgumentParser(prog="python -m topology.latch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    pressing = commands.add_parser("halt", help="stop what the scope covers, now")
    pressing.add_argument("scope", help="all, kind:KIND, spec:KIND/NAME or run:RUN_ID")
    pressing.add_argument("--reason", required=True, help="a sentence for the audit")
    pressing.add_argument("--orders", choices=ORDERS, default=ORDERS[0], help="open orders")
    commands.add_parser("status", help="what is halted on this machine")
    chosen = parser.parse_args(arguments)
    home = Home.from_environment()
    try:
        if chosen.command == "status":
            result = status(home)
        else:
            home.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # parents get no mode
            home.run.mkdir(mode=0o700, exist_ok=True)
            reason = chosen.reason[:LONGEST_REASON]
            result = halt(home, chosen.scope, reason=reason, orders=chosen.orders)
    except AlphaSwarmError as error:
        sys.stderr.write(json.dumps(error.body()) + "\n")
        return UNREACHABLE if isinstance(error, FaultError) else USAGE
    except OSError as error:
        unreadable = LatchUnreadableError(
            f"The home's run folder cannot be used: {error.strerror}.",
            hint="Whatever mutates is halted while the latch cannot be read.",
        )
        sys.stderr.write(json.dumps(unreadable.body()) + "\n")
        return UNREACHABLE
    sys.stdout.write(json.dumps(result) + "\n")
    return HALTED if chosen.command == "status" and result["halted"] else 0


def _spool(file: Path, scope: str, reason: str, orders: Orders, *, epoch: int | None) -> bool:
    """Append one synced line; False when that fails."""
    line = {
        "at_ns": time.time_ns(),
        "action": "halt",
        "decision": "intended" if epoch is None else "done",
        "scope": scope,
        "epoch": epoch,
        "actor": _user(),
        "uid": os.getuid(),
        "acr": ACR,
        "auth_time": int(time.time()),
        "reason": reason,
        "orders": orders,
    }
    try:
        descriptor = _locked(file)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _locked(file: Path) -> int:
    """Open the spool and lock it; whoever drains it may have taken the file away meanwhile."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(file, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if file.exists() and file.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


if __name__ == "__main__":
    sys.exit(main())
