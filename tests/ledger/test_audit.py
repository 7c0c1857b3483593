"""The audit chain: appended by everybody, changed by nobody unseen."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import audit
from ledger.pool import Pool
from topology.errors import BadInputError, FaultError


def say(pool: Pool, **more: Any) -> int:
    row = {
        "actor": "ann",
        "action": "resume",
        "target": "all",
        "decision": "done",
        "facts": {"acr": "urn:alphaswarm:acr:pwd", "auth_time": 1767322800},
    }
    return audit.append(pool, **{**row, **more})


@contextmanager
def tampered(connection: psycopg.Connection[Any], do: str, undo: str) -> Iterator[None]:
    """Change the table behind the triggers' back, and put it right again."""
    for statement in ("SET session_replication_role = replica", do):
        connection.execute(statement)
    try:
        yield
    finally:
        connection.execute(undo)


def test_rows_come_back_in_order_with_their_facts(pool: Pool) -> None:
    first = say(pool, actor="bob", decision="intended", args_sha256="ab")
    second = say(pool, actor="bob", facts={"reason": 'a "quoted" reason, ünï, \n, \x1f'})
    assert second == first + 1
    rows = audit.tail(pool, after=first - 1)
    assert [(row.seq, row.decision) for row in rows] == [(first, "intended"), (second, "done")]
    assert rows[0].args_sha256 == "ab"
    assert rows[1].facts == {"reason": 'a "quoted" reason, ünï, \n, \x1f'}
    assert rows[1].prev_hash == rows[0].hash
    assert audit.tip(pool) == rows[1].hash
    newest = audit.tail(pool, limit=1, newest_first=True)
    assert newest == rows[1:]
    assert audit.tail(pool, after=second, limit=1, newest_first=True) == rows[:1]


def test_the_hash_is_what_the_page_says_by_hand(pool: Pool) -> None:
    seq = say(pool)
    (row,) = audit.tail(pool, after=seq - 1, limit=1)
    micros = round(row.at.timestamp() * 1_000_000)
    facts = b'{"acr":"urn:alphaswarm:acr:pwd","auth_time":1767322800}'
    parts = (b"ann", b"resume", b"all", b"", b"done", facts)
    expected = hashlib.sha256(
        row.prev_hash.encode()
        + seq.to_bytes(8, "big")
        + micros.to_bytes(8, "big")
        + b"".join(hashlib.sha256(part).digest() for part in parts)
    ).hexdigest()
    assert row.hash == expected


@settings(max_examples=60, deadline=None)
@given(
    actor=st.text(max_size=20),
    facts=st.dictionaries(
        st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True).filter(lambda key: key != "spool"),
        st.text(max_size=30) | st.integers(-(2**53) + 1, 2**53 - 1),
        max_size=5,
    ),
)
def test_whatever_is_said_the_chain_holds(
    pool: Pool, actor: str, facts: dict[str, str | int]
) -> None:
    seq = say(pool, actor=actor, facts=facts)
    (row,) = audit.tail(pool, after=seq - 1, limit=1)
    assert row.hash == audit.chained(row, row.prev_hash)


def test_many_writers_make_one_chain(pool: Pool) -> None:
    before = audit.verify(pool)
    crowd = [
        threading.Thread(target=lambda: [say(pool, actor="crowd") for _ in range(10)])
        for _ in range(6)
    ]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    after = audit.verify(pool)
    assert before.ok
    assert after.ok
    assert after.rows == before.rows + 60
    assert after.broken_seq is None


@pytest.mark.parametrize(
    ("do", "undo"),
    [
        pytest.param(
            "UPDATE audit SET actor = 'eve' WHERE seq = {seq}",
            "UPDATE audit SET actor = 'ann' WHERE seq = {seq}",
            id="an edited actor",
        ),
        pytest.param(
            "UPDATE audit SET facts = facts || '{{\"auth_time\": 1}}' WHERE seq = {seq}",
            "UPDATE audit SET facts = facts || '{{\"auth_time\": 1767322800}}' WHERE seq = {seq}",
            id="an edited fact",
        ),
        pytest.param(
            "UPDATE audit SET at = at + interval '1 us' WHERE seq = {seq}",
            "UPDATE audit SET at = at - interval '1 us' WHERE seq = {seq}",
            id="a later time",
        ),
        pytest.param(
            "CREATE TABLE kept AS WITH gone AS (DELETE FROM audit WHERE seq = {seq} RETURNING *)"
            " SELECT * FROM gone",
            "INSERT INTO audit SELECT * FROM kept; DROP TABLE kept",
            id="a removed row",
        ),
        pytest.param(
            "UPDATE audit SET seq = -seq WHERE seq = {seq}",
            "UPDATE audit SET seq = -seq WHERE seq = -{seq}",
            id="a renumbered row",
        ),
    ],
)
@pytest.mark.parametrize("rows_after", [0, 3])
def test_a_superusers_change_is_named(
    pool: Pool,
    superuser: psycopg.Connection[Any],
    do: str,
    undo: str,
    rows_after: int,
) -> None:
    seq = say(pool)
    for _ in range(rows_after):
        say(pool)
    with tampered(superuser, do.format(seq=seq), undo.format(seq=seq)):
        verdict = audit.verify(pool)
    assert not verdict.ok
    assert verdict.broken_seq == (1 if "SET seq" in do else seq)
    assert audit.verify(pool).ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor = 'eve'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "INSERT INTO audit SELECT * FROM audit LIMIT 0",
        "UPDATE audit_tip SET seq = 0",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "CREATE OR REPLACE FUNCTION audit_facts(jsonb) RETURNS text LANGUAGE sql RETURN 'x'",
        "CREATE TABLE mine ()",
    ],
)
def test_the_application_can_only_append(app_dsn: str, pool: Pool, change: str) -> None:
    say(pool)
    with (
        psycopg.connect(app_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(change)


def test_the_owner_cannot_change_a_row_either(dsn: Callable[..., str], pool: Pool) -> None:
    say(pool)
    for change in ("UPDATE audit SET actor = 'eve'", "DELETE FROM audit", "TRUNCATE audit"):
        with (
            psycopg.connect(dsn("alphaswarm_owner")) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(change)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"facts": {"share": 0.5}}, id="a fraction"),
        pytest.param({"facts": {"sure": True}}, id="a truth value"),
        pytest.param({"facts": {"list": [1]}}, id="a list"),
        pytest.param({"decision": "maybe"}, id="an unknown decision"),
    ],
)
def test_what_cannot_be_chained_is_refused(pool: Pool, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInputError):
        say(pool, **wrong)


@pytest.mark.parametrize("facts", ['{"a": 0.5}', '{"A b": 1}', '{"a": null}', '{"a": {}}'])
def test_the_database_refuses_them_too(app_dsn: str, pool: Pool, facts: str) -> None:
    with psycopg.connect(app_dsn) as connection, pytest.raises(psycopg.DataError):
        connection.execute("SELECT audit_append('a', 'b', 'c', '', 'done', %s)", (facts,))
    with pytest.raises(FaultError) as refused:
        say(pool, facts={"Not Plain": 1})
    assert "audit_append" not in str(refused.value.body())
