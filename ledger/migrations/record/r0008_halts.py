"""What a halt does to orders, how a run stopped for it, and the meters that triggers watch."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0008"
down_revision = "r0007"

HALTS = """
ALTER TABLE halts ADD COLUMN orders text NOT NULL DEFAULT 'cancel'
    CHECK (orders IN ('keep', 'cancel', 'flatten'));
CREATE OR REPLACE VIEW active_halts AS
    SELECT DISTINCT ON (scope) scope, epoch, actor, acr, auth_time, reason, at, orders FROM halts h
    WHERE action = 'halt' AND NOT EXISTS (SELECT FROM halts r
        WHERE r.scope = h.scope AND r.action = 'resume' AND r.epoch >= h.epoch)
    ORDER BY scope, epoch DESC;
ALTER TABLE halt_acks ADD COLUMN how text NOT NULL DEFAULT 'stopped'
    CHECK (how IN ('stopped', 'killed'))
"""

METERS = """
CREATE TABLE meters (
    meter text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    run_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    value double precision NOT NULL
);
CREATE INDEX ON meters (meter, at);
GRANT SELECT, INSERT, DELETE ON meters TO alphaswarm_app
"""


def upgrade() -> None:
    """Add the columns and the table."""
    run(HALTS, METERS)
