"""Nine kinds of work, each with immutable spec versions and guarded runs; all runs as one view."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0001"
down_revision = None

KINDS = (
    "agent",
    "bot",
    "rl",
    "analysis",
    "workflow",
    "backtest",
    "data",
    "workload",
    "terraform",
)
"""As they were at this revision; a test compares them with ``topology.kinds.KINDS``."""

FUNCTIONS = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO alphaswarm_app;
GRANT SELECT ON alembic_version TO alphaswarm_app;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are for ever', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION guard_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('succeeded', 'failed', 'halted', 'cancelled') THEN
        RAISE EXCEPTION 'run % has ended', OLD.run_id USING ERRCODE = 'check_violation';
    ELSIF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'the fence of run % may not fall', OLD.run_id
            USING ERRCODE = 'check_violation';
    ELSIF (NEW.run_id, NEW.task_id, NEW.spec_sha256, NEW.inputs, NEW.requested_by, NEW.created_at)
        IS DISTINCT FROM
        (OLD.run_id, OLD.task_id, OLD.spec_sha256, OLD.inputs, OLD.requested_by, OLD.created_at)
        OR (OLD.run_sha IS NOT NULL AND (NEW.run_sha, NEW.snapshot_ids, NEW.engine)
            IS DISTINCT FROM (OLD.run_sha, OLD.snapshot_ids, OLD.engine)) THEN
        RAISE EXCEPTION 'what run % was asked to do is fixed', OLD.run_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""

SPECS = """
CREATE TABLE {kind}_spec_versions (
    sha256 text PRIMARY KEY,
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_.-]{{1,63}}$'),
    version integer NOT NULL CHECK (version > 0),
    canonical bytea NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL,
    UNIQUE (name, version),
    CHECK (encode(sha256(canonical), 'hex') = sha256)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {kind}_spec_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON {kind}_spec_versions TO alphaswarm_app
"""

RUNS = """
CREATE TABLE {kind}_runs (
    run_id text PRIMARY KEY CHECK (run_id ~ '^[a-z0-9]{{26}}$'),
    task_id text NOT NULL UNIQUE CHECK (task_id ~ '^[a-z0-9]{{26}}$'),
    spec_sha256 text NOT NULL REFERENCES {kind}_spec_versions,
    run_sha text,
    result_sha text,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN
        ('queued', 'running', 'waiting', 'succeeded', 'failed', 'halted', 'cancelled')),
    fence bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    worker text,
    dispatch_key text UNIQUE,
    lease_until timestamptz,
    cancel_requested_at timestamptz,
    cancel_requested_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    snapshot_ids jsonb,
    inputs jsonb NOT NULL DEFAULT '{{}}',
    engine jsonb,
    statistics jsonb,
    result_tables jsonb,
    error jsonb,
    requested_by text NOT NULL,
    CHECK ((status = 'running') = (lease_until IS NOT NULL)),
    CHECK ((status IN ('succeeded', 'failed', 'halted', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX ON {kind}_runs (lease_until) WHERE status = 'running';
CREATE INDEX ON {kind}_runs (spec_sha256);
CREATE INDEX ON {kind}_runs (run_sha) WHERE status = 'succeeded';
CREATE TRIGGER guarded BEFORE UPDATE ON {kind}_runs
    FOR EACH ROW EXECUTE FUNCTION guard_run();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON {kind}_runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT, UPDATE ON {kind}_runs TO alphaswarm_app
"""

BACKTEST = """
ALTER TABLE backtest_runs
    ADD COLUMN sharpe double precision,
    ADD COLUMN total_return double precision,
    ADD COLUMN max_drawdown double precision
"""

SPEC_OF_KIND = "SELECT '{kind}' AS kind, * FROM {kind}_spec_versions"

RUN_OF_KIND = """
SELECT '{kind}' AS kind, s.name, s.version, r.run_id, r.task_id, r.spec_sha256, r.run_sha,
    r.result_sha, r.status, r.fence, r.attempts, r.worker, r.lease_until, r.cancel_requested_at,
    r.created_at, r.started_at, r.finished_at, r.snapshot_ids, r.inputs, r.engine, r.statistics,
    r.result_tables, r.error, r.requested_by
FROM {kind}_runs r JOIN {kind}_spec_versions s ON s.sha256 = r.spec_sha256
"""


def union(select: str) -> str:
    """Return ``select`` of every kind as one query."""
    return "\nUNION ALL\n".join(select.format(kind=kind) for kind in KINDS)


def upgrade() -> None:
    """Create the tables of every kind, then the views over all of them."""
    run(FUNCTIONS)
    for kind in KINDS:
        run(SPECS.format(kind=kind), RUNS.format(kind=kind))
    run(
        BACKTEST,
        f"CREATE VIEW all_spec_versions AS {union(SPEC_OF_KIND)}",
        f"CREATE VIEW all_runs AS {union(RUN_OF_KIND)}",
        "GRANT SELECT ON all_spec_versions, all_runs TO alphaswarm_app",
    )
