"""Where the lake is: a catalog in PostgreSQL and a folder of files."""

from __future__ import annotations

from dataclasses import dataclass, field

CATALOG = "alphaswarm"


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
