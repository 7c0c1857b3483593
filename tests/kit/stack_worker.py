"""`python -m tests.kit.stack_worker NAME PROGRAM RUN_ID`: a worker of one run, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from runtimes.base import perform
from runtimes.terraform.runtime import TerraformRuntime
from runtimes.worker import open_workshop
from tests.kit.stacks import stacks_of
from tests.kit.work import with_lease
from topology.home import Home
from topology.services import load

LEASE_S = 1.0


def main(name: str, program: str, run_id: str) -> None:
    """Perform the run under a short lease, in the home of the environment."""
    workshop = open_workshop(load({}), Home.from_environment())
    stacks = stacks_of(with_lease(workshop, LEASE_S), name, Path(program))
    perform(stacks.workshop, "terraform", run_id, TerraformRuntime)


if __name__ == "__main__":
    main(*sys.argv[1:])
