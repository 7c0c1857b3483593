"""Heads of the chain outside the database: whoever writes the chain anew is still found."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger import audit, heads
from ledger.heads import Head
from ledger.pool import Pool
from topology.clock import FrozenClock
from topology.errors import BadInputError

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def say(pool: Pool, actor: str = "ann") -> int:
    return audit.append(pool, actor=actor, action="x", target="all", decision="done", facts={})


def publish(pool: Pool, *files: Path) -> Head | None:
    return heads.publish(pool, files, FrozenClock(NOW))


def verdict(pool: Pool, *files: Path) -> audit.Verdict:
    return audit.verify(pool, ((head.seq, head.hash) for head in heads.read(files)))


@contextmanager
def rewritten(connection: psycopg.Connection[Any], since: int) -> Iterator[None]:
    """Do what an owner could: edit a row and compute every hash after it anew, tip included."""
    connection.execute("SET session_replication_role = replica")
    connection.execute("CREATE TABLE kept AS SELECT * FROM audit")
    connection.execute("CREATE TABLE kept_tip AS SELECT * FROM audit_tip")
    rows = connection.execute(
        "SELECT seq, at, actor, action, target, args_sha256, decision, facts, prev_hash, hash"
        " FROM audit ORDER BY seq"
    ).fetchall()
    previous = audit.GENESIS
    for row in rows:
        entry = audit.Entry(*row)
        actor = "eve" if entry.seq == since else entry.actor
        changed = dataclasses.replace(entry, actor=actor, prev_hash=previous)
        text = audit.chained(changed, previous)
        connection.execute(
            "UPDATE audit SET actor = %s, prev_hash = %s, hash = %s WHERE seq = %s",
            (actor, previous, text, entry.seq),
        )
        previous = text
    connection.execute("UPDATE audit_tip SET hash = %s", (previous,))
    try:
        yield
    finally:
        connection.execute("DELETE FROM audit")
        connection.execute("INSERT INTO audit SELECT * FROM kept")
        connection.execute("UPDATE audit_tip SET seq = k.seq, hash = k.hash FROM kept_tip k")
        connection.execute("DROP TABLE kept, kept_tip")


def test_a_head_is_published_once_and_the_chain_agrees_with_it(pool: Pool, tmp_path: Path) -> None:
    file, copy = tmp_path / "audit.heads", tmp_path / "copy"
    seq = say(pool)
    assert publish(pool, file, copy) == Head(seq, audit.tip(pool))
    assert publish(pool, file, copy) is None
    assert file.read_text() == f"{seq} {audit.tip(pool)} 2026-01-02T00:00:00Z\n"
    assert file.stat().st_mode & 0o777 == 0o600
    say(pool)
    assert publish(pool, file) is not None
    assert len(heads.read([file, copy])) == 2
    assert verdict(pool, file, copy) == audit.Verdict(
        ok=True, rows=seq + 1, broken_seq=None, tip=audit.tip(pool), heads=2
    )


def test_a_chain_that_was_written_anew_fits_itself_but_no_head(
    pool: Pool, superuser: psycopg.Connection[Any], tmp_path: Path
) -> None:
    file = tmp_path / "audit.heads"
    first = say(pool)
    publish(pool, file)
    second = say(pool)
    noted = Head(second, audit.tip(pool))
    with rewritten(superuser, first):
        assert audit.verify(pool).ok, "its hashes fit one another"
        found = verdict(pool, file)
        assert (found.ok, found.problem, found.broken_seq) == (False, "head", first)
    with rewritten(superuser, second):
        assert verdict(pool, file).ok, "what was published before is untouched"
        told = audit.verify(pool, [(noted.seq, noted.hash)])
        assert (told.ok, told.problem, told.broken_seq) == (False, "head", second)
    assert verdict(pool, file).ok


def test_rows_cut_off_with_their_tip_are_missed(
    pool: Pool, superuser: psycopg.Connection[Any], tmp_path: Path
) -> None:
    before = say(pool), audit.tip(pool)
    last = say(pool)
    file = tmp_path / "audit.heads"
    publish(pool, file)
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("CREATE TABLE cut AS SELECT * FROM audit WHERE seq = %s", (last,))
    superuser.execute("DELETE FROM audit WHERE seq = %s", (last,))
    superuser.execute("UPDATE audit_tip SET seq = %s, hash = %s", before)
    try:
        assert audit.verify(pool).ok
        found = verdict(pool, file)
        assert (found.problem, found.broken_seq, found.rows) == ("head", last, last - 1)
    finally:
        superuser.execute("INSERT INTO audit SELECT * FROM cut")
        superuser.execute("UPDATE audit_tip SET seq = c.seq, hash = c.hash FROM cut c")
        superuser.execute("DROP TABLE cut")
    assert verdict(pool, file).ok


def test_the_torn_line_of_a_crash_is_passed_over(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "audit.heads"
    seq = say(pool)
    publish(pool, file)
    with file.open("a") as stream:
        stream.write(f"{seq + 1} abc")
    assert [head.seq for head in heads.read([file])] == [seq]
    later = say(pool)
    publish(pool, file)
    assert [head.seq for head in heads.read([file])] == [seq, later]
    assert verdict(pool, file).heads == 2


def test_a_copy_that_cannot_be_written_does_not_stop_the_others(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "audit.heads"
    say(pool)
    with pytest.raises(OSError, match="directory"):
        publish(pool, tmp_path, file)
    assert len(heads.read([file])) == 1


@pytest.mark.parametrize("text", ["", "1", "1:abc", f"x:{'0' * 64}", f"-1:{'0' * 64}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="not a head"):
        heads.parse(text)
