"""Halts with their acknowledgements, and the audit chain that only `audit_append` can extend."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "r0003"
down_revision = "r0002"

HALTS = """
CREATE TABLE halts (
    epoch bigint NOT NULL CHECK (epoch > 0),
    scope text NOT NULL CHECK (scope ~ '^(all|kind:.+|spec:.+/.+|run:.+)$'),
    action text NOT NULL CHECK (action IN ('halt', 'resume')),
    actor text NOT NULL,
    acr text NOT NULL,
    auth_time bigint NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, epoch, action)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON halts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE VIEW active_halts AS
    SELECT DISTINCT ON (scope) scope, epoch, actor, acr, auth_time, reason, at FROM halts h
    WHERE action = 'halt' AND NOT EXISTS (SELECT FROM halts r
        WHERE r.scope = h.scope AND r.action = 'resume' AND r.epoch >= h.epoch)
    ORDER BY scope, epoch DESC;
CREATE TABLE halt_acks (
    epoch bigint NOT NULL,
    run_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (epoch, run_id)
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON halt_acks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON halts, halt_acks TO alphaswarm_app;
GRANT SELECT ON active_halts TO alphaswarm_app
"""

AUDIT = """
CREATE TABLE audit (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    args_sha256 text NOT NULL,
    decision text NOT NULL
        CHECK (decision IN ('intended', 'done', 'failed', 'unknown', 'refused')),
    facts jsonb NOT NULL CHECK (jsonb_typeof(facts) = 'object'),
    prev_hash text NOT NULL,
    hash text NOT NULL UNIQUE
);
CREATE UNIQUE INDEX audit_spooled_once ON audit ((facts ->> 'spool')) WHERE facts ? 'spool';
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TABLE audit_tip (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_tip (seq, hash) VALUES (0, repeat('0', 64))
"""

# The facts are a flat object of text and whole numbers with plain keys: their RFC 8785 text is
# built here, from what is stored, so that no caller can hand in a text that does not match it.
FACTS = """
CREATE FUNCTION audit_facts(facts jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    text_of_facts text;
BEGIN
    IF EXISTS (SELECT FROM jsonb_each(facts) AS f(key, value) WHERE key !~ '^[a-z0-9_]{1,64}$'
        OR NOT (jsonb_typeof(value) = 'string' OR (jsonb_typeof(value) = 'number'
            AND value::numeric = trunc(value::numeric)
            AND abs(value::numeric) <= 9007199254740992))) THEN
        RAISE EXCEPTION 'facts are text and whole numbers under plain keys'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' ||
        CASE jsonb_typeof(value) WHEN 'number' THEN trunc(value::numeric)::text
            ELSE value::text END, ',' ORDER BY key COLLATE "C"), '') || '}'
        INTO text_of_facts FROM jsonb_each(facts) AS f(key, value);
    RETURN text_of_facts;
END $$;
REVOKE ALL ON FUNCTION audit_facts(jsonb) FROM PUBLIC
"""

APPEND = """
CREATE FUNCTION audit_append(actor text, action text, target text, args_sha256 text,
    decision text, facts jsonb, OUT seq bigint, OUT hash text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    tip public.audit_tip%ROWTYPE;
    moment timestamptz;
BEGIN
    SELECT * INTO STRICT tip FROM public.audit_tip FOR UPDATE;
    moment := clock_timestamp();
    seq := tip.seq + 1;
    hash := encode(sha256(
        convert_to(tip.hash, 'UTF8') || int8send(seq)
        || int8send((extract(epoch FROM moment) * 1000000)::bigint)
        || sha256(convert_to(actor, 'UTF8')) || sha256(convert_to(action, 'UTF8'))
        || sha256(convert_to(target, 'UTF8')) || sha256(convert_to(args_sha256, 'UTF8'))
        || sha256(convert_to(decision, 'UTF8'))
        || sha256(convert_to(public.audit_facts(facts), 'UTF8'))), 'hex');
    INSERT INTO public.audit VALUES
        (seq, moment, actor, action, target, args_sha256, decision, facts, tip.hash, hash);
    UPDATE public.audit_tip t SET seq = audit_append.seq, hash = audit_append.hash;
END $$;
REVOKE ALL ON FUNCTION audit_append(text, text, text, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append(text, text, text, text, text, jsonb) TO alphaswarm_app;
GRANT SELECT ON audit, audit_tip TO alphaswarm_app
"""


def upgrade() -> None:
    """Create the tables, the view and the functions."""
    run(HALTS, AUDIT, FACTS, APPEND)
