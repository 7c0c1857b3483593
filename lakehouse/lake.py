"""Where the lake is: a catalog in PostgreSQL and a folder of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from topology.home import write_private

CATALOG = "alphaswarm"
SETTINGS = ".pyiceberg.yaml"


@dataclass(frozen=True, slots=True)
class Lake:
    """A catalog's address with the role that opens it, and the warehouse.

    The role decides what may be done: the reader's cannot commit. Nothing is opened before the
    first use. One lake may be shared by threads, not with forked processes.
    """

    uri: str = field(repr=False)
    warehouse: str

    def properties(self) -> dict[str, str]:
        """Return what pyiceberg's ``load_catalog`` needs; the tables are made by migrations."""
        return {
            "type": "sql",
            "uri": self.uri,
            "warehouse": self.warehouse,
            "pool_pre_ping": "true",
            "init_catalog_tables": "false",
        }


def open_lake(uri: str, warehouse: str) -> Lake:
    """Return the lake at ``uri`` (``postgresql+psycopg://``); ``warehouse`` is a path or a URI."""
    return Lake(uri, warehouse if "://" in warehouse else f"file://{warehouse}")


def write_client_settings(home_root: Path, uri: str, warehouse: str) -> Path:
    """Write ``.pyiceberg.yaml`` (0600): ``load_catalog("alphaswarm")`` works where it is found.

    ``uri`` should be the reader's. pyiceberg reads the file once, at import, from the folder that
    ``PYICEBERG_HOME`` names; two of the options cannot come from the environment, where their
    underscores turn into dashes. Returns the file's path.
    """
    path = home_root / SETTINGS
    settings = {"catalog": {CATALOG: open_lake(uri, warehouse).properties()}}
    text = yaml.safe_dump(settings, sort_keys=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_private(path, text)
    return path
