"""Locking specs: one content, one row; versions without a gap, whoever locks."""

from __future__ import annotations

import json
import multiprocessing
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import specs
from ledger.pool import Pool, transaction
from tests.kit.crowd import lock_many
from tests.kit.ledger import Desk
from topology.canonical import sha256
from topology.errors import InvalidSpecError, MissingError, UnknownNameError

TEXT = st.characters(codec="utf-8", exclude_characters="\0")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2.0**52), 2.0**52)
    | st.text(TEXT, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(TEXT, max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def lock(pool: Pool, body: dict[str, Any], kind: str = "backtest") -> specs.SpecVersion:
    with transaction(pool) as connection:
        return specs.lock(connection, kind, body, by="tester")


def test_the_same_content_is_the_same_row_whatever_its_spelling(pool: Pool) -> None:
    one = lock(pool, {"name": "spelling", "seed": 1, "cash": 100000})
    for body in (
        {"cash": 100000, "seed": 1, "name": "spelling"},
        {"cash": 100000.0, "seed": 1.0, "name": "spelling"},
    ):
        assert lock(pool, body) == one
    assert one.version == 1
    assert one.sha256 == sha256({"name": "spelling", "seed": 1, "cash": 100000})
    assert one.canonical == b'{"cash":100000,"name":"spelling","seed":1}'


def test_every_new_content_is_the_next_version_of_its_name(pool: Pool) -> None:
    made = [lock(pool, {"name": "history", "seed": seed}) for seed in (1, 2, 3, 2)]
    assert [version.version for version in made] == [1, 2, 3, 2]
    assert specs.history(pool, "backtest", "history") == made[:3]
    assert specs.find(pool, "backtest", "history") == made[2]
    assert specs.find(pool, "backtest", "history", 1) == made[0]
    assert specs.get(pool, made[1].sha256) == made[1]


def test_names_of_one_kind_do_not_disturb_another(pool: Pool) -> None:
    assert lock(pool, {"name": "shared-name"}, "backtest").version == 1
    assert lock(pool, {"name": "shared-name"}, "data").version == 1


def test_a_rolled_back_lock_leaves_no_gap(pool: Pool) -> None:
    with transaction(pool) as connection:
        lost = specs.lock(connection, "backtest", {"name": "rolled", "seed": 1}, by="tester")
        connection.rollback()
    assert lost.version == 1
    assert lock(pool, {"name": "rolled", "seed": 2}).version == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"name": "bad", "cash": float("nan")}, id="NaN"),
        pytest.param({"name": "bad", "cash": float("inf")}, id="infinity"),
        pytest.param({"name": "bad", "seed": 2**53 + 1}, id="an integer that JSON loses"),
        pytest.param({"name": "bad", "note": "a\0b"}, id="NUL, which jsonb cannot hold"),
        pytest.param({"name": "bad", "note": "\ud800"}, id="half a character"),
        pytest.param({"name": "Bad"}, id="a name with a capital"),
        pytest.param({"name": "b"}, id="a name of one letter"),
        pytest.param({"name": "x" * 65}, id="a name of 65 letters"),
        pytest.param({"name": 7}, id="a name that is a number"),
        pytest.param({}, id="no name"),
    ],
)
def test_what_cannot_be_hashed_or_named_is_refused(pool: Pool, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecError) as refusal:
        lock(pool, body)
    assert refusal.value.body()["code"] == "invalid_spec"
    assert refusal.value.hint
    assert specs.history(pool, "backtest", "bad") == []


def test_an_unknown_kind_is_refused_with_the_nearest_one(pool: Pool) -> None:
    with pytest.raises(UnknownNameError) as refusal:
        lock(pool, {"name": "abc"}, "backtset")
    assert "backtest" in refusal.value.hint


def test_a_missing_spec_is_not_found(pool: Pool) -> None:
    with pytest.raises(MissingError):
        specs.get(pool, "0" * 64)
    for version in (None, 3):
        with pytest.raises(MissingError):
            specs.find(pool, "backtest", "nobody-home", version)
    assert specs.history(pool, "backtest", "nobody-home") == []


@settings(max_examples=40, deadline=None)
@given(value=JSON)
def test_any_json_comes_back_as_it_was_locked(pool: Pool, value: Any) -> None:
    locked = lock(pool, {"name": "any-json", "value": value})
    again = specs.get(pool, locked.sha256)
    assert again.canonical == locked.canonical
    assert sha256(json.loads(locked.canonical)) == locked.sha256
    assert sha256(again.body) == locked.sha256


def test_a_listing_goes_page_by_page_through_the_newest_versions(pool: Pool) -> None:
    for name in ("page-a", "page-b", "page-c"):
        for seed in (1, 2):
            lock(pool, {"name": name, "seed": seed}, "terraform")
    first = specs.listing(pool, kind="terraform", limit=2)
    rest = specs.listing(pool, kind="terraform", after=f"terraform/{first[-1].name}", limit=2)
    assert [(s.name, s.version) for s in first + rest] == [
        ("page-a", 2),
        ("page-b", 2),
        ("page-c", 2),
    ]


def test_eight_processes_leave_no_gap_and_no_double(pool: Pool, app_dsn: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(8)
    crowd = [
        context.Process(target=lock_many, args=(app_dsn, worker, 12, barrier))
        for worker in range(8)
    ]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(timeout=120)
    assert [process.exitcode for process in crowd] == [0] * 8
    versions = specs.history(pool, "backtest", "crowd")
    assert [version.version for version in versions] == list(range(1, 12 + 8 * 12 + 1))


CHANGES = (
    "UPDATE backtest_spec_versions SET created_by = 'somebody'",
    "UPDATE backtest_spec_versions SET created_by = 'somebody' WHERE false",
    "DELETE FROM backtest_spec_versions",
    "TRUNCATE backtest_spec_versions CASCADE",
)
TRICKS = (
    "ALTER TABLE backtest_spec_versions DISABLE TRIGGER ALL",
    "DROP TABLE backtest_spec_versions CASCADE",
    "SET session_replication_role = replica",
)


@pytest.mark.parametrize(
    ("role", "change"),
    [
        *(("alphaswarm_app", change) for change in (*CHANGES, *TRICKS)),
        *(("alphaswarm_owner", change) for change in CHANGES),
    ],
)
def test_nobody_who_works_here_can_change_a_version(
    dsn: Any, desk: Desk, role: str, change: str
) -> None:
    desk.submit(name="immutable")
    with (
        psycopg.connect(dsn(role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(change)


def test_a_row_whose_hash_does_not_fit_is_refused(pool: Pool, app_dsn: str) -> None:
    with psycopg.connect(app_dsn) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO data_spec_versions (sha256, name, version, canonical, body, created_by)"
            " VALUES (%s, 'forged', 1, '{}', '{}', 'me')",
            ("0" * 64,),
        )
