"""`python -m runtimes.sandbox.cell FD`: the process in which submitted source runs, and its parent.

The parent is warm: it has imported what a strategy may import and runs none. It forks a child for
each. A child makes room for the bars, closes every door behind it, says which doors are closed,
and only then gets the source. It has bars up to the one that is decided and no account: what it
asks for, the keeper's engine judges.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lakehouse import confined
from runtimes.engine.arrays import Market
from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.sandbox import calls, modules, wire
from runtimes.sandbox.remote import Remote, SeenAccount, Telephone
from runtimes.sandbox.source import NAME
from topology.errors import AlphaSwarmError

MEGABYTE = 2**20
LONGEST = 300
"""Characters of what an error says."""


def main() -> int:
    """Fork a child for each line that comes over the socket; end with its other end."""
    modules.load()
    rights = confined.lay_down_rights()
    return confined.attend(int(sys.argv[1]), lambda fd: live(fd, rights))


def live(line: int, rights: list[str]) -> NoReturn:
    """Do one strategy's work and end, whatever happens."""
    try:
        os.dup2(1, 2)
        phone = Telephone(line)
        phone.say({"pid": os.getpid(), "fences": []})
        setup = phone.hear()
        market = _room(setup)
        bound(setup)
        phone.say({"fences": rights + calls.bind()})
        serve(phone, setup, market)
    except EOFError:
        pass
    finally:
        os._exit(0)


def bound(setup: Mapping[str, Any]) -> None:
    """Bound memory, from what is taken already, and processor time."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    confined.limit(resource.RLIMIT_AS, taken + setup["memory_mb"] * MEGABYTE)
    confined.limit(resource.RLIMIT_CPU, setup["cpu_s"])
    random.seed(setup["seed"])
    np.random.seed(setup["seed"] % 2**32)  # noqa: NPY002, TID251  the source may use it


def serve(phone: Telephone, setup: Mapping[str, Any], market: Market) -> None:
    """Make the strategy, then call it as often as the keeper says; the first error is the last."""
    desk = Remote(phone, market, first=setup["first"])
    account = SeenAccount(desk, setup["symbols"])
    try:
        script = made(phone.hear())
        phone.say(["done"])
        while True:
            asked = phone.hear(market)
            desk.now = asked["now"]
            called(script, account, asked)
            phone.say(["done"])
    except EOFError:
        raise
    except BaseException as error:  # noqa: BLE001  whatever it was, it is told and we are done
        phone.say(["raised", described(error, again=error is desk.refused)])


def made(run: Mapping[str, Any]) -> Script:
    """Return the strategy of the source that came."""
    module = types.ModuleType("strategy")
    module.__file__ = NAME
    sys.modules["strategy"] = module
    known = {"Script": Script, "Strategy": Script, "Account": Account, "OrderEvent": OrderEvent}
    module.__dict__.update(known, np=np)
    exec(compile(run["code"], NAME, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    script: Script = module.__dict__[run["name"]](**run["params"])
    return script


def called(script: Script, account: Account, asked: Mapping[str, Any]) -> None:
    """Call one method of the strategy, where it has it."""
    method = getattr(script, asked["do"], None)
    if method is None:
        return
    if "event" in asked:
        method(account, OrderEvent(**asked["event"]))
    else:
        method(account)


def described(error: BaseException, *, again: bool) -> dict[str, Any]:
    """Return what the author reads of an error, with the last line of the source it came from."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    body = {"kind": type(error).__name__, "text": _text(error), "line": line, "again": again}
    if isinstance(error, AlphaSwarmError):
        symbol = error.facts.get("symbol")
        body |= {"hint": error.hint[:LONGEST], "symbol": symbol}
    return body


def _text(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST]
    except Exception:  # noqa: BLE001  an error that cannot say what it is
        return ""


def _room(setup: Mapping[str, Any]) -> Market:
    shape = (setup["bars"], len(setup["symbols"]))
    columns = (np.full(shape, np.nan) for _ in wire.FIELDS)
    return Market(np.zeros(shape[0], np.int64), *columns)


def _json(payload: bytes) -> Any:
    return json.loads(payload)


if __name__ == "__main__":
    sys.exit(main())
