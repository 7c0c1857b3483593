"""``python -m topology.engines up|down|status|check|run``: act on ``$ALPHASWARM_HOME``, print JSON.

``check`` exits 5 unless both engines take connections; ``run`` stays in the foreground, as
containers want it, starts an engine again that died and stops both when it is told to end.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from topology import services
from topology.engines import supervisor
from topology.errors import AlphaSwarmError, FaultError
from topology.home import Home

USAGE, UNREACHABLE = 2, 5
LOOK_S = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 2 something to correct, 5 an engine's fault."""
    parser = argparse.ArgumentParser(prog="python -m topology.engines", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "check", "run"])
    chosen = parser.parse_args(arguments)
    home = Home.from_environment()
    try:
        if chosen.command == "run":
            result = _run(home)
        elif chosen.command == "down":
            result = supervisor.down(home)
        elif chosen.command == "up":
            result = supervisor.up(home, services.load())
        else:
            result = supervisor.status(home, services.load())
    except AlphaSwarmError as error:
        sys.stderr.write(json.dumps(error.body(), indent=2) + "\n")
        return UNREACHABLE if isinstance(error, FaultError) else USAGE
    sys.stdout.write(json.dumps(result.body(), indent=2) + "\n")
    return 0 if chosen.command != "check" or _usable(result) else UNREACHABLE


def _usable(found: supervisor.EngineStatus) -> bool:
    return all(one.ready or one.state == "remote" for one in (found.postgres, found.valkey))


def _run(home: Home) -> supervisor.EngineStatus:
    """Keep the engines up until SIGTERM or SIGINT, then stop them."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        while True:
            found = supervisor.up(home, services.load())
            if found.changed:
                sys.stdout.write(json.dumps(found.body()) + "\n")
                sys.stdout.flush()
            if ended.wait(LOOK_S):
                break
    finally:
        stopped = supervisor.down(home)
    return stopped


if __name__ == "__main__":
    sys.exit(main())
