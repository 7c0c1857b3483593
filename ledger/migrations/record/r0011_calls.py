"""What agents asked of models and tools, what they may still use, and what they learnt."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0011"
down_revision = "r0010"

TABLES = """
CREATE TABLE budgets (
    run_id text PRIMARY KEY,
    parent text REFERENCES budgets,
    limits jsonb NOT NULL,
    llm_calls bigint NOT NULL CHECK (llm_calls >= 0),
    tool_calls bigint NOT NULL CHECK (tool_calls >= 0),
    prompt_tokens bigint NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
    cost_usd numeric(20, 9) NOT NULL CHECK (cost_usd >= 0),
    settled bigint NOT NULL DEFAULT 0,
    head text NOT NULL DEFAULT ''
);
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON budgets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT,
    UPDATE (llm_calls, tool_calls, prompt_tokens, completion_tokens, cost_usd, settled, head)
    ON budgets TO alphaswarm_app;

CREATE TABLE llm_calls (
    run_id text NOT NULL REFERENCES budgets,
    node text NOT NULL,
    step integer NOT NULL,
    occurrence integer NOT NULL,
    attempt integer NOT NULL,
    status text NOT NULL CHECK (status IN ('started', 'done', 'failed', 'replayed')),
    alias text NOT NULL,
    origin text NOT NULL,
    request bytea NOT NULL,
    request_sha256 text NOT NULL,
    reserved jsonb NOT NULL,
    response text,
    prompt_tokens bigint,
    completion_tokens bigint,
    usage_estimated boolean,
    cost_usd numeric(20, 9),
    latency_ms double precision,
    error text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled bigint,
    hash text,
    PRIMARY KEY (run_id, node, step, occurrence, attempt)
);
CREATE TABLE tool_calls (
    run_id text NOT NULL REFERENCES budgets,
    node text NOT NULL,
    step integer NOT NULL,
    occurrence integer NOT NULL,
    attempt integer NOT NULL,
    status text NOT NULL CHECK (status IN ('started', 'done', 'failed', 'unknown', 'replayed')),
    idempotency_key text NOT NULL,
    server text NOT NULL,
    tool text NOT NULL,
    schema_sha256 text NOT NULL,
    effect text NOT NULL CHECK (effect IN ('read', 'write', 'destructive')),
    args text NOT NULL,
    args_sha256 text NOT NULL,
    result text,
    result_sha256 text,
    snapshot_ids jsonb,
    approval text,
    latency_ms double precision,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled bigint,
    hash text,
    PRIMARY KEY (run_id, node, step, occurrence, attempt)
);
CREATE INDEX ON tool_calls (idempotency_key);

CREATE FUNCTION refuse_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.settled IS NOT NULL THEN
        RAISE EXCEPTION 'a settled call never changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER settled BEFORE UPDATE ON llm_calls
    FOR EACH ROW EXECUTE FUNCTION refuse_settled();
CREATE TRIGGER settled BEFORE UPDATE ON tool_calls
    FOR EACH ROW EXECUTE FUNCTION refuse_settled();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON llm_calls
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON tool_calls
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT, UPDATE ON llm_calls, tool_calls TO alphaswarm_app;

CREATE TABLE call_approvals (
    run_id text NOT NULL REFERENCES budgets,
    node text NOT NULL,
    step integer NOT NULL,
    occurrence integer NOT NULL,
    args_sha256 text NOT NULL CHECK (args_sha256 ~ '^[0-9a-f]{64}$'),
    decision text NOT NULL CHECK (decision IN ('approve', 'decline')),
    decided_by text NOT NULL,
    client_id text NOT NULL,
    jti text NOT NULL UNIQUE,
    acr text NOT NULL,
    auth_time bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, node, step, occurrence)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON call_approvals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON call_approvals TO alphaswarm_app;

CREATE TABLE memories (
    memory_id text PRIMARY KEY,
    scope text NOT NULL,
    subject text NOT NULL,
    run_id text NOT NULL,
    known_at timestamptz NOT NULL,
    text text NOT NULL,
    text_sha256 text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON memories (subject, scope, known_at);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON memories
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON memories TO alphaswarm_app;

CREATE INDEX ON identity_grants (run_id)
"""


def upgrade() -> None:
    """Create the tables."""
    run(TABLES)
