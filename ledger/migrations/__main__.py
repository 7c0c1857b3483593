"""``python -m ledger.migrations``: bring both databases of this home to their newest revision."""

from __future__ import annotations

import sys

from ledger.migrations.upgrade import upgrade
from topology.errors import AlphaSwarmError
from topology.home import Home
from topology.services import Topology, load
from topology.stores import postgres_dsn

OWNER = "alphaswarm_owner"


def migrate(topology: Topology, home: Home) -> dict[str, str]:
    """Upgrade the ledger and the catalog; return the revision that each database stands at."""
    return {
        "ledger": upgrade(postgres_dsn(topology, home, OWNER, "ledger"), "record"),
        "lake": upgrade(postgres_dsn(topology, home, OWNER, "lake"), "lake"),
    }


def main() -> int:
    """Migrate what the environment names; exit 5 when the store does not answer."""
    try:
        revisions = migrate(load(), Home.from_environment())
    except AlphaSwarmError as error:
        sys.stderr.write(f"{error.message} {error.hint}\n")
        return 5
    sys.stdout.write("".join(f"{name} is at {at}\n" for name, at in revisions.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
