"""What runs say (events), what must be sent (outbox) and what they wrote to the lake (appends)."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0002"
down_revision = "r0001"

EVENTS = """
CREATE TABLE run_events (
    task_id text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    frame jsonb NOT NULL,
    fence bigint NOT NULL,
    ticket bigint NOT NULL,
    PRIMARY KEY (task_id, seq)
);
CREATE UNIQUE INDEX run_events_one_end ON run_events (task_id)
    WHERE (frame ->> 'stage') IN ('done', 'failed', 'halted', 'cancelled');
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON run_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON run_events TO alphaswarm_app
"""

OUTBOX = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL UNIQUE,
    kind text NOT NULL,
    queue text NOT NULL,
    actor text NOT NULL,
    sends integer NOT NULL DEFAULT 0,
    next_send_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz
);
CREATE INDEX ON outbox (id) WHERE settled_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON outbox TO alphaswarm_app;

CREATE TABLE queue_marker (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    marker text NOT NULL
);
INSERT INTO queue_marker (marker) VALUES (replace(gen_random_uuid()::text, '-', ''));
GRANT SELECT ON queue_marker TO alphaswarm_app
"""

APPENDS = """
CREATE TABLE lake_appends (
    table_name text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    sha256 text NOT NULL,
    row_count bigint NOT NULL,
    run_id text NOT NULL,
    snapshot_id text,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    PRIMARY KEY (table_name, key)
);
GRANT SELECT, INSERT, UPDATE ON lake_appends TO alphaswarm_app
"""


def upgrade() -> None:
    """Create the tables."""
    run(EVENTS, OUTBOX, APPENDS)
