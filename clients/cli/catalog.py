"""The environment in which ``load_catalog("alphaswarm")`` works, as the role that only reads."""

from __future__ import annotations

import json

from clients.cli.place import Place
from topology import stores
from topology.home import explaining, write_private

ROLE = "alphaswarm_reader"
FILE = ".pyiceberg.yaml"


def environment(place: Place) -> dict[str, str]:
    """Return the variables to set before pyiceberg is imported: it reads its file once, then."""
    return {"PYICEBERG_HOME": str(place.home.root)}


def write(place: Place) -> None:
    """Write pyiceberg's file into the home, 0600, where it changed.

    A file, because two of its options cannot come from the environment.
    """
    settings = {
        "type": "sql",
        "uri": stores.catalog_uri(place.topology, place.home, ROLE),
        "warehouse": stores.warehouse(place.topology, place.home).as_uri(),
        "pool_pre_ping": "true",
        "init_catalog_tables": "false",
    }
    # pyiceberg reads a strict YAML of blocks; JSON quotes what a path may hold.
    lines = [f"    {name}: {json.dumps(value)}" for name, value in settings.items()]
    text = "\n".join(["catalog:", "  alphaswarm:", *lines, ""])
    path = place.home.root / FILE
    with explaining(path):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_private(path, text)
