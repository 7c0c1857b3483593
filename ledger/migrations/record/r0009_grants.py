"""Device codes, what machines may exchange for tokens, and challenges that wait for a sign-in."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0009"
down_revision = "r0008"

TABLES = """
CREATE TABLE identity_devices (
    device_hash text NOT NULL,
    resource text NOT NULL,
    user_hash text NOT NULL,
    client_id text NOT NULL,
    scope text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    interval_s bigint NOT NULL,
    spec text NOT NULL DEFAULT '',
    hours bigint NOT NULL DEFAULT 0,
    polled_at bigint NOT NULL DEFAULT 0,
    decision text NOT NULL DEFAULT '' CHECK (decision IN ('', 'allow', 'deny')),
    sid text NOT NULL DEFAULT '',
    used_at bigint,
    PRIMARY KEY (device_hash, resource)
);
CREATE INDEX ON identity_devices (user_hash);
CREATE INDEX ON identity_devices (expires_at);
CREATE TABLE identity_grants (
    sid text PRIMARY KEY REFERENCES identity_families ON DELETE CASCADE,
    spec text NOT NULL DEFAULT '',
    task_id text NOT NULL DEFAULT '',
    run_id text NOT NULL DEFAULT ''
);
CREATE TABLE identity_challenges (
    username text NOT NULL,
    client_id text NOT NULL,
    resource text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (username, client_id, resource)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_devices, identity_grants, identity_challenges
    TO alphaswarm_app
"""


def upgrade() -> None:
    """Create the tables."""
    run(TABLES)
