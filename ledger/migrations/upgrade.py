"""Bring a database to its newest revision, and tell which one that is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ledger.pool import reaching

Database = Literal["record", "lake"]

_HERE = Path(__file__).parent


def upgrade(dsn: str, database: Database) -> str:
    """Run every pending revision of ``database`` as the role of ``dsn``; return the newest id.

    All pending revisions are one transaction; of several processes one migrates, the others wait
    and find nothing to do.
    """
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool
    )
    try:
        with reaching(), engine.begin() as connection:
            config = _config(database)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        with reaching():
            raise error.orig or error from None
    return head(database)


def head(database: Database) -> str:
    """Return the id of the newest revision in this checkout."""
    return ScriptDirectory.from_config(_config(database)).get_current_head() or ""


def _config(database: Database) -> Config:
    config = Config()
    for key, value in {
        "script_location": str(_HERE),
        "version_locations": str(_HERE / database),
        "path_separator": "newline",
    }.items():
        config.set_main_option(key, value.replace("%", "%%"))
    return config
