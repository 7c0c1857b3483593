"""Second factors, the actions that wait for one, and tokens that were used up."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0007"
down_revision = "r0006"

COLUMNS = """
ALTER TABLE identity_logins ADD COLUMN factor text NOT NULL DEFAULT '',
    ADD COLUMN factor_time bigint NOT NULL DEFAULT 0;
ALTER TABLE identity_families ADD COLUMN amr text NOT NULL DEFAULT '',
    ADD COLUMN action text NOT NULL DEFAULT ''
"""

TABLES = """
CREATE TABLE identity_factors (
    id text PRIMARY KEY,
    username text NOT NULL REFERENCES identity_users,
    kind text NOT NULL CHECK (kind IN ('totp', 'passkey', 'recovery')),
    secret text NOT NULL,
    created_at bigint NOT NULL,
    used bigint NOT NULL DEFAULT 0,
    name text NOT NULL DEFAULT ''
);
CREATE INDEX ON identity_factors (username, kind);
CREATE TABLE identity_refused (
    username text NOT NULL,
    client_id text NOT NULL,
    tool text NOT NULL,
    text text NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (username, client_id)
);
CREATE TABLE identity_once (
    jti text PRIMARY KEY,
    until bigint NOT NULL
);
CREATE INDEX ON identity_once (until);
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_factors, identity_refused, identity_once
    TO alphaswarm_app
"""


def upgrade() -> None:
    """Create columns and tables."""
    run(COLUMNS, TABLES)
