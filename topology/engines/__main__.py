"""``python -m topology.engines up|down|status``: act on ``$ALPHASWARM_HOME``, print JSON."""

from __future__ import annotations

import argparse
import json
import sys

from topology import services
from topology.engines import supervisor
from topology.errors import AlphaSwarmError, FaultError
from topology.home import Home

USAGE, UNREACHABLE = 2, 5


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 2 something to correct, 5 an engine's fault."""
    parser = argparse.ArgumentParser(prog="python -m topology.engines", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    chosen = parser.parse_args(arguments)
    home = Home.from_environment()
    try:
        if chosen.command == "down":
            result = supervisor.down(home)
        elif chosen.command == "up":
            result = supervisor.up(home, services.load())
        else:
            result = supervisor.status(home, services.load())
    except AlphaSwarmError as error:
        sys.stderr.write(json.dumps(error.body(), indent=2) + "\n")
        return UNREACHABLE if isinstance(error, FaultError) else USAGE
    sys.stdout.write(json.dumps(result.body(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
