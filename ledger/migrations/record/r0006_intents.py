"""Find intents whose outcome nobody wrote, without reading the whole chain."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0006"
down_revision = "r0005"

INDEXES = """
CREATE INDEX audit_intents ON audit (seq) WHERE decision = 'intended' AND facts ? 'process';
CREATE INDEX audit_outcomes ON audit (((facts ->> 'intent')::bigint)) WHERE facts ? 'intent'
"""


def upgrade() -> None:
    """Create the indexes."""
    run(INDEXES)
