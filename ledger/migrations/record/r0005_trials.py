"""How often somebody looked: the trials of a run as a column, and what data each run looked at."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0005"
down_revision = "r0004"

COLUMN = """
ALTER TABLE backtest_runs ADD COLUMN trials integer GENERATED ALWAYS AS (
    CASE WHEN statistics IS NULL THEN NULL
         WHEN jsonb_typeof(statistics -> 'trials') = 'number'
            THEN greatest((statistics ->> 'trials')::numeric::integer, 1)
         ELSE 1 END) STORED;
CREATE INDEX backtest_runs_counted ON backtest_runs (spec_sha256)
    INCLUDE (run_id, run_sha, status, trials, sharpe);
CREATE INDEX backtest_runs_looked ON backtest_runs (run_id)
    INCLUDE (run_sha, status, trials, sharpe);
CREATE INDEX backtest_runs_several ON backtest_runs (run_id) WHERE trials > 1
"""

TABLES = """
CREATE TABLE symbol_sets (
    sha256 text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    symbols text[] NOT NULL
);
CREATE INDEX ON symbol_sets USING gin (symbols);
CREATE TABLE looks (
    run_id text NOT NULL REFERENCES backtest_runs,
    person text NOT NULL,
    symbols text NOT NULL REFERENCES symbol_sets,
    first date NOT NULL,
    last date NOT NULL CHECK (last >= first),
    trials integer NOT NULL CHECK (trials > 0),
    PRIMARY KEY (run_id, symbols)
);
CREATE INDEX ON looks (person, symbols) INCLUDE (first, last, run_id);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON symbol_sets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON looks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON symbol_sets, looks TO alphaswarm_app
"""

EARLIER = """
WITH seen AS (
    SELECT s.sha256 AS spec, (body #>> '{data,start}')::date AS first,
        (body #>> '{data,end}')::date AS last,
        array_agg(v ORDER BY v COLLATE "C") AS symbols,
        encode(sha256(convert_to(
            string_agg(v, E'\\n' ORDER BY v COLLATE "C"), 'UTF8')), 'hex') AS digest
    FROM backtest_spec_versions s, jsonb_array_elements_text(body #> '{universe,symbols}') v
    WHERE jsonb_typeof(body #> '{universe,symbols}') = 'array'
        AND body #>> '{data,start}' IS NOT NULL AND body #>> '{data,end}' IS NOT NULL
    GROUP BY s.sha256, body
), sets AS (
    INSERT INTO symbol_sets SELECT DISTINCT digest, symbols FROM seen
)
INSERT INTO looks SELECT r.run_id, r.requested_by, digest, first, last, 1
FROM seen JOIN backtest_runs r ON r.spec_sha256 = seen.spec
"""
"""Runs of earlier revisions count too: their universe was always a list."""


def upgrade() -> None:
    """Add the column, create the tables, and enter the runs that there are."""
    run(COLUMN, TABLES, EARLIER)
