"""What a run would change outside, and who approved it: written once, for ever."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0010"
down_revision = "r0009"

TABLES = """
CREATE TABLE change_plans (
    run_id text PRIMARY KEY,
    kind text NOT NULL,
    plan_sha256 text NOT NULL CHECK (plan_sha256 ~ '^[0-9a-f]{64}$'),
    plan jsonb NOT NULL,
    approvals integer NOT NULL CHECK (approvals BETWEEN 1 AND 2),
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    begun_at timestamptz
);
CREATE INDEX ON change_plans (expires_at) WHERE begun_at IS NULL;
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON change_plans
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT, UPDATE (begun_at) ON change_plans TO alphaswarm_app;

CREATE TABLE change_approvals (
    run_id text NOT NULL REFERENCES change_plans,
    plan_sha256 text NOT NULL,
    approved_by text NOT NULL,
    client_id text NOT NULL,
    jti text NOT NULL,
    acr text NOT NULL,
    auth_time bigint NOT NULL,
    allow_destroy boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, jti)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON change_approvals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON change_approvals TO alphaswarm_app
"""


def upgrade() -> None:
    """Create the tables."""
    run(TABLES)
