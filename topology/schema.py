"""``python -m topology.schema [--check]``: the JSON Schema of ``topology.yaml``, for editors."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from topology.services import Topology

FILE = Path(__file__).with_name("topology.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def text() -> str:
    """Return the schema of the model, the same bytes each time."""
    schema = Topology.model_json_schema(by_alias=True)
    schema["$schema"] = DIALECT
    schema["title"] = "AlphaSwarm topology"
    schema["description"] = "Generated from topology.sections by python -m topology.schema."
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with ``--check`` only compare it; 1 means stale."""
    parser = argparse.ArgumentParser(prog="python -m topology.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    wanted, found = text(), FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    if not parser.parse_args(arguments).check:
        FILE.write_text(wanted, encoding="utf-8")
        return 0
    if wanted == found:
        return 0
    sys.stderr.write(f"{FILE.name} is stale: run python -m topology.schema\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
