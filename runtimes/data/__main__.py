"""`python -m runtimes.data maintain [--table NAME]...`: submit a pass, as who may read this home.

Prints the run's handle as one line of JSON, or the error object and exits with 1. There is no tool
for it: tidying is the operator's, not an agent's.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from contextlib import closing
from typing import Any

from ledger import audit
from ledger.pool import Pool, open_pool
from runtimes.data import schedule
from runtimes.specs.base import Spec, parse
from topology import stores
from topology.canonical import sha256
from topology.clock import SystemClock
from topology.errors import AlphaSwarmError
from topology.home import Home
from topology.principal import Principal
from topology.services import load


def main(arguments: list[str]) -> int:
    """Submit what the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m runtimes.data", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    tidy = tasks.add_parser("maintain", help="Tidy tables: files, snapshots, orphans.")
    tidy.add_argument("--table", action="append", metavar="NAME", help="Only this; repeatable.")
    tidy.add_argument("--due", action="store_true", help="Only tables that need it.")
    asked = parser.parse_args(arguments)
    try:
        answer, status = _maintain(asked.table, due=asked.due), 0
    except AlphaSwarmError as error:
        answer, status = error.body(), 1
    sys.stdout.write(f"{json.dumps(answer)}\n")
    return status


def _maintain(tables: list[str] | None, *, due: bool) -> dict[str, Any]:
    topology, home = load(), Home.from_environment()
    asked = {"task": schedule.TASK, "name": schedule.NAME, "tables": tables, "due": due}
    spec = parse(schedule.KIND, asked)
    dsn = stores.postgres_dsn(topology, home, "alphaswarm_app")
    with closing(open_pool(dsn, name="maintain", max_size=2)) as pool:
        return _submitted(pool, spec)


def _submitted(pool: Pool, spec: Spec) -> dict[str, Any]:
    """Submit and record who asked: whoever may read the home's secrets is its operator."""
    operator = Principal(subject=getpass.getuser(), client_id="local")
    facts = {**operator.facts(), "on_behalf_of": operator.subject}
    handle = schedule.submit(pool, spec, SystemClock(), by=operator)
    audit.append(
        pool,
        actor=operator.subject,
        action=schedule.TASK,
        target=f"run:{handle.run_id}",
        args_sha256=sha256(spec.body()),
        decision="done",
        facts=facts,
    )
    return dict(handle.body())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
