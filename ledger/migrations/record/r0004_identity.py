"""What the issuer remembers; secrets only as their SHA-256, times as seconds since the epoch."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0004"
down_revision = "r0003"

TABLES = """
CREATE TABLE identity_users (
    username text PRIMARY KEY,
    password_hash text,
    created_at bigint NOT NULL
);
CREATE TABLE identity_failures (
    key text PRIMARY KEY,
    count integer NOT NULL,
    last_at bigint NOT NULL,
    locked_until bigint NOT NULL
);
CREATE TABLE identity_clients (
    client_id text PRIMARY KEY,
    metadata text NOT NULL,
    created_at bigint NOT NULL,
    used_at bigint
);
CREATE INDEX ON identity_clients (created_at);
CREATE TABLE identity_logins (
    id_hash text PRIMARY KEY,
    username text NOT NULL,
    acr text NOT NULL,
    auth_time bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX ON identity_logins (username);
CREATE TABLE identity_consents (
    username text NOT NULL,
    client_id text NOT NULL,
    resource text NOT NULL,
    redirect_uri text NOT NULL,
    scope text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (username, client_id, resource, redirect_uri, scope)
);
CREATE INDEX ON identity_consents (client_id);
CREATE TABLE identity_families (
    sid text PRIMARY KEY,
    username text NOT NULL,
    client_id text NOT NULL,
    resource text NOT NULL,
    scope text NOT NULL,
    acr text NOT NULL,
    auth_time bigint NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint
);
CREATE INDEX ON identity_families (username) WHERE revoked_at IS NULL;
CREATE INDEX ON identity_families (expires_at);
CREATE TABLE identity_codes (
    code_hash text PRIMARY KEY,
    sid text NOT NULL REFERENCES identity_families ON DELETE CASCADE,
    redirect_uri text NOT NULL,
    code_challenge text NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint
);
CREATE INDEX ON identity_codes (sid);
CREATE TABLE identity_refresh (
    token_hash text PRIMARY KEY,
    sid text NOT NULL REFERENCES identity_families ON DELETE CASCADE,
    expires_at bigint NOT NULL,
    used_at bigint
);
CREATE INDEX ON identity_refresh (sid);
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_users, identity_failures, identity_clients,
    identity_logins, identity_consents, identity_families, identity_codes, identity_refresh
    TO alphaswarm_app
"""


def upgrade() -> None:
    """Create the tables."""
    run(TABLES)
