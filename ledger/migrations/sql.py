"""How a revision speaks plain SQL: text as written, no placeholders, no dialect."""

from __future__ import annotations

from alembic import op


def run(*statements: str) -> None:
    """Execute each text as it stands; ``%`` and ``:`` mean nothing special."""
    for statement in statements:
        op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
