"""The promises of a store, kept by the one in memory and by PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from auth.store import (
    ClientRecord,
    Code,
    Consent,
    Factor,
    Family,
    Login,
    Refresh,
    Refused,
    Store,
    User,
    digest,
)

NOW = 1_800_000_000
DAY_S = 86_400
FAMILY = Family(
    sid="f1",
    username="ada",
    client_id="cli",
    resource="r",
    scope="data:read data:write",
    acr="pwd",
    auth_time=NOW,
    created_at=NOW,
    expires_at=NOW + 90 * DAY_S,
)
CODE = Code(digest("code"), "f1", "http-callback", "challenge", NOW + 60)
REFRESH = Refresh(digest("one"), "f1", NOW + 14 * DAY_S)
NEXT = Refresh(digest("two"), "f1", NOW + 14 * DAY_S)


def test_a_name_is_taken_once(any_store: Store) -> None:
    assert any_store.add_user(User("ada", None, NOW))
    assert not any_store.add_user(User("ada", "other", NOW))
    assert any_store.find_user("ada") == User("ada", None, NOW)
    assert any_store.find_user("Ada") is None


def test_a_password_can_be_replaced(any_store: Store) -> None:
    any_store.add_user(User("ada", None, NOW))
    assert any_store.set_password("ada", "hash")
    assert any_store.find_user("ada") == User("ada", "hash", NOW)
    assert not any_store.set_password("nobody", "hash")


def test_the_fifth_failure_locks_for_a_minute(any_store: Store) -> None:
    counts = [any_store.count_failure("k", now=NOW + i, limit=5, lock_s=60) for i in range(5)]
    assert counts == [0, 0, 0, 0, NOW + 64]
    assert any_store.locked_until("k", now=NOW + 63) == NOW + 64
    assert any_store.locked_until("k", now=NOW + 64) == 0
    assert any_store.count_failure("k", now=NOW + 65, limit=5, lock_s=60) == 0


def test_slow_failures_never_lock(any_store: Store) -> None:
    assert not any(
        any_store.count_failure("k", now=NOW + 61 * i, limit=5, lock_s=60) for i in range(20)
    )


def test_a_success_forgets_failures(any_store: Store) -> None:
    for _ in range(4):
        any_store.count_failure("k", now=NOW, limit=5, lock_s=60)
    any_store.clear_failures("k")
    assert any_store.count_failure("k", now=NOW, limit=5, lock_s=60) == 0
    assert any_store.locked_until("other", now=NOW) == 0


def test_registrations_are_counted_over_a_window(any_store: Store) -> None:
    def add(name: str, at: int) -> bool:
        return any_store.add_client(ClientRecord(name, "{}", at), since=at - 60, at_most=2)

    assert [add("a", NOW), add("b", NOW + 1), add("c", NOW + 2)] == [True, True, False]
    assert any_store.find_client("c") is None
    assert add("d", NOW + 61)
    assert any_store.find_client("a") == ClientRecord("a", "{}", NOW)


def test_a_client_remembers_its_last_use(any_store: Store) -> None:
    any_store.add_client(ClientRecord("a", "{}", NOW), since=0, at_most=9)
    any_store.touch_client("a", now=NOW + 5)
    any_store.touch_client("unknown", now=NOW + 5)
    assert any_store.find_client("a") == ClientRecord("a", "{}", NOW, NOW + 5)


def test_a_login_ends_at_its_time_or_when_told(any_store: Store) -> None:
    one = Login("1", "a", "pwd", NOW, NOW + 10)
    two, other = replace(one, id_hash="2"), replace(one, id_hash="3", username="b")
    for login in (one, two, other):
        any_store.add_login(login)
    assert any_store.find_login("1", now=NOW + 9) == one
    assert any_store.find_login("1", now=NOW + 10) is None
    any_store.end_login("1")
    assert any_store.find_login("1", now=NOW) is None
    assert any_store.end_logins("a") == 1
    assert any_store.find_login("3", now=NOW) == other


def test_a_consent_is_for_exactly_what_was_allowed(any_store: Store) -> None:
    given = Consent("ada", "cli", "r", "cb", "data:read")
    any_store.add_consent(given, now=NOW)
    any_store.add_consent(given, now=NOW + 1)
    assert any_store.has_consent(given)
    for change in ("username", "client_id", "resource", "redirect_uri", "scope"):
        assert not any_store.has_consent(replace(given, **{change: "other"}))


def test_a_code_and_its_family_are_found_together(any_store: Store) -> None:
    any_store.add_code(CODE, FAMILY)
    assert any_store.find_code(CODE.code_hash) == (CODE, FAMILY)
    assert any_store.find_code("unknown") is None
    assert any_store.find_family("f1") == FAMILY
    assert any_store.family_alive("f1")


def test_a_code_is_used_once_and_kept(any_store: Store) -> None:
    any_store.add_code(CODE, FAMILY)
    assert any_store.consume_code(CODE.code_hash, REFRESH, now=NOW + 1)
    assert not any_store.consume_code(CODE.code_hash, NEXT, now=NOW + 2)
    assert any_store.find_code(CODE.code_hash) == (replace(CODE, used_at=NOW + 1), FAMILY)
    assert any_store.find_refresh(REFRESH.token_hash) == (REFRESH, FAMILY)
    assert any_store.find_refresh(NEXT.token_hash) is None
    assert not any_store.consume_code("unknown", None, now=NOW)


def test_a_code_of_a_revoked_family_is_dead(any_store: Store) -> None:
    any_store.add_code(CODE, FAMILY)
    assert any_store.revoke_family("f1", now=NOW)
    assert not any_store.consume_code(CODE.code_hash, REFRESH, now=NOW)


def test_a_refresh_token_is_used_once_and_kept(any_store: Store) -> None:
    any_store.add_family(FAMILY, REFRESH)
    assert any_store.rotate_refresh(REFRESH.token_hash, NEXT, now=NOW + 1)
    third = replace(NEXT, token_hash=digest("three"))
    assert not any_store.rotate_refresh(REFRESH.token_hash, third, now=NOW + 2)
    assert any_store.find_refresh(third.token_hash) is None
    assert any_store.find_refresh(REFRESH.token_hash) == (replace(REFRESH, used_at=NOW + 1), FAMILY)
    assert any_store.rotate_refresh(NEXT.token_hash, third, now=NOW + 3)


def test_nothing_rotates_in_a_revoked_family(any_store: Store) -> None:
    any_store.add_family(FAMILY, REFRESH)
    any_store.revoke_family("f1", now=NOW)
    assert not any_store.rotate_refresh(REFRESH.token_hash, NEXT, now=NOW)


def test_a_family_is_revoked_once(any_store: Store) -> None:
    any_store.add_family(FAMILY, None)
    assert any_store.revoke_family("f1", now=NOW + 7)
    assert not any_store.revoke_family("f1", now=NOW + 8)
    assert not any_store.revoke_family("unknown", now=NOW)
    assert not any_store.family_alive("f1")
    assert not any_store.family_alive("unknown")
    assert any_store.find_family("f1") == replace(FAMILY, revoked_at=NOW + 7)


def test_every_family_of_a_user_is_revoked(any_store: Store) -> None:
    for sid, who in (("1", "ada"), ("2", "ada"), ("3", "bob")):
        any_store.add_family(replace(FAMILY, sid=sid, username=who), None)
    any_store.revoke_family("1", now=NOW)
    assert any_store.revoke_families(username="ada", now=NOW) == 1
    assert [any_store.family_alive(sid) for sid in "123"] == [False, False, True]


@pytest.mark.parametrize("kind", ["code", "refresh"])
def test_of_eight_parallel_uses_one_wins(any_store: Store, kind: str) -> None:
    if kind == "code":
        any_store.add_code(CODE, FAMILY)
    else:
        any_store.add_family(FAMILY, REFRESH)
    use = any_store.consume_code if kind == "code" else any_store.rotate_refresh
    secret = CODE.code_hash if kind == "code" else REFRESH.token_hash

    def attempt(number: int) -> bool:
        successor = Refresh(digest(f"successor {number}"), "f1", NOW + DAY_S)
        return use(secret, successor, now=NOW)

    with ThreadPoolExecutor(8) as threads:
        wins = list(threads.map(attempt, range(8)))
    assert wins.count(True) == 1
    found = [any_store.find_refresh(digest(f"successor {n}")) is not None for n in range(8)]
    assert found == wins


def test_a_race_between_use_and_revocation_leaves_nothing_usable(any_store: Store) -> None:
    for turn in range(20):
        sid = f"f{turn}"
        code = replace(CODE, code_hash=digest(sid), sid=sid)
        first = replace(REFRESH, token_hash=digest(f"r{sid}"), sid=sid)
        any_store.add_code(code, replace(FAMILY, sid=sid))
        with ThreadPoolExecutor(2) as threads:
            threads.submit(any_store.consume_code, code.code_hash, first, now=NOW)
            threads.submit(any_store.revoke_family, sid, now=NOW)
        assert not any_store.rotate_refresh(first.token_hash, NEXT, now=NOW)


def test_purge_forgets_what_can_no_longer_matter(any_store: Store) -> None:
    later = NOW + 100 * DAY_S
    any_store.add_code(CODE, FAMILY)
    any_store.consume_code(CODE.code_hash, REFRESH, now=NOW)
    any_store.add_family(replace(FAMILY, sid="young", expires_at=later + 1), None)
    any_store.add_login(Login("old", "ada", "pwd", NOW, NOW + 10))
    any_store.add_login(Login("young", "ada", "pwd", NOW, later + 1))
    any_store.count_failure("k", now=NOW, limit=5, lock_s=60)
    for name, used in (("unused", None), ("resting", NOW), ("busy", later - DAY_S)):
        any_store.add_client(ClientRecord(name, "{}", NOW, used), since=0, at_most=9)
        any_store.add_consent(Consent("ada", name, "r", "cb", "s"), now=NOW)
    assert any_store.purge(now=later) == 7
    assert any_store.find_code(CODE.code_hash) is None
    assert any_store.find_refresh(REFRESH.token_hash) is None
    assert any_store.family_alive("young")
    assert any_store.find_login("young", now=later) is not None
    assert any_store.find_client("busy") is not None
    assert any_store.find_client("resting") is None
    assert any_store.has_consent(Consent("ada", "busy", "r", "cb", "s"))
    assert not any_store.has_consent(Consent("ada", "unused", "r", "cb", "s"))
    assert any_store.purge(now=later) == 0


def test_factors_are_kept_replaced_by_kind_and_found_by_their_id(any_store: Store) -> None:
    any_store.add_user(User("ada", None, NOW))
    any_store.add_user(User("bob", None, NOW))
    assert any_store.factor_owners() == []
    key = Factor("k1", "ada", "passkey", "{}", NOW, 3, "laptop")
    any_store.add_factors([key, Factor("t1", "ada", "totp", "sealed", NOW)])
    any_store.add_factors([Factor("t2", "ada", "totp", "sealed", NOW + 1)], replace="totp")
    any_store.add_factors([Factor("b1", "bob", "totp", "sealed", NOW)], replace="totp")
    assert [one.id for one in any_store.factors("ada")] == ["k1", "t2"]
    assert any_store.factors("ada", kind="passkey") == [key]
    assert any_store.find_factor("k1") == key
    assert any_store.find_factor("t1") is None
    assert any_store.factor_owners() == ["ada", "bob"]
    assert [any_store.remove_factor("k1") for _ in range(2)] == [True, False]


@pytest.mark.parametrize("kind", ["step", "once"])
def test_of_eight_parallel_codes_one_wins(any_store: Store, kind: str) -> None:
    any_store.add_user(User("ada", None, NOW))
    any_store.add_factors([Factor("t1", "ada", "totp", "sealed", NOW, used=6)])

    def attempt(_: int) -> bool:
        if kind == "step":
            return any_store.use_step("t1", 7)
        return any_store.use_once("jti", until=NOW + 9)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(attempt, range(8))).count(True) == 1
    assert not any_store.use_step("t1", 6 if kind == "once" else 7)


def test_the_newest_refused_action_waits_for_its_time(any_store: Store) -> None:
    for tool in ("resume", "apply"):
        any_store.note_refused(Refused("ada", "cli", tool, "{}", NOW + 300))
    found = any_store.find_refused("ada", "cli", now=NOW + 299)
    assert found is not None
    assert found.tool == "apply"
    assert any_store.find_refused("ada", "other", now=NOW) is None
    assert any_store.find_refused("ada", "cli", now=NOW + 300) is None
    assert any_store.use_once("jti", until=NOW + 300)
    assert any_store.purge(now=NOW + 300) == 2
