"""What alembic runs for either database: one transaction, one migrating process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

_ONE_AT_A_TIME = 7_202_611_210_001
"""Any number that no other advisory lock of ours uses."""


def migrate(connection: Connection) -> None:
    """Run the pending revisions on ``connection`` in one transaction."""
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        context.run_migrations()


migrate(context.config.attributes["connection"])
