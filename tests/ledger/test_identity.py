"""The issuer's memory: what may be used once is used once, in PostgreSQL and by many at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from auth import store as rows
from auth.store import ClientRecord, Code, Consent, Family, Login, Refresh, Store, User
from ledger.identity import IdentityStore
from ledger.pool import Pool

NOW = 1_800_000_000
DAY = 86_400


@pytest.fixture
def memory(pool: Pool) -> Store:
    """Return the store, which has the shape that the issuer asks for."""
    return IdentityStore(pool, rows)


@pytest.fixture
def family() -> Family:
    """Return a family of a person that no other test knows."""
    return Family(
        sid=secrets.token_hex(8),
        username=f"user-{secrets.token_hex(4)}",
        client_id="alphaswarm-cli",
        resource="r",
        scope="data:read",
        acr="urn:alphaswarm:acr:pwd",
        auth_time=NOW,
        created_at=NOW,
        expires_at=NOW + 90 * DAY,
    )


def refresh_of(family: Family) -> Refresh:
    return Refresh(secrets.token_hex(32), family.sid, NOW + 14 * DAY)


def code_of(family: Family) -> Code:
    return Code(secrets.token_hex(32), family.sid, "http", "challenge", NOW + 60)


def race(attempt: Callable[[], bool]) -> int:
    """Return how many of eight simultaneous attempts say that they won."""
    won: list[bool] = []
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        won.append(attempt())

    crowd = [threading.Thread(target=run) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(won) == 8
    return sum(won)


def test_a_name_belongs_to_one_person(memory: Store, family: Family) -> None:
    person = User(family.username, None, NOW)
    assert memory.find_user(person.username) is None
    assert race(lambda: memory.add_user(person)) == 1
    assert memory.find_user(person.username) == person
    assert memory.find_user(person.username.upper()) is None
    assert memory.set_password(person.username, "argon2")
    assert memory.find_user(person.username) == replace(person, password_hash="argon2")
    assert not memory.set_password("nobody", "argon2")


def test_a_code_is_used_once_by_one(memory: Store, family: Family) -> None:
    code = code_of(family)
    memory.add_code(code, family)
    assert memory.find_code(code.code_hash) == (code, family)
    assert race(lambda: memory.consume_code(code.code_hash, refresh_of(family), now=NOW)) == 1
    found = memory.find_code(code.code_hash)
    assert found is not None
    assert found[0].used_at == NOW
    assert not memory.consume_code("unknown", None, now=NOW)


def test_a_refresh_token_is_rotated_once_by_one(memory: Store, family: Family) -> None:
    token = refresh_of(family)
    memory.add_family(family, token)
    assert memory.find_refresh(token.token_hash) == (token, family)
    successors = [refresh_of(family) for _ in range(8)]
    turn = iter(successors)
    assert race(lambda: memory.rotate_refresh(token.token_hash, next(turn), now=NOW)) == 1
    assert len([s for s in successors if memory.find_refresh(s.token_hash)]) == 1


def test_nothing_of_a_revoked_family_can_be_used(memory: Store, family: Family) -> None:
    code, token = code_of(family), refresh_of(family)
    memory.add_code(code, family)
    assert memory.consume_code(code.code_hash, token, now=NOW)
    assert memory.family_alive(family.sid)
    assert memory.revoke_family(family.sid, now=NOW + 5)
    assert not memory.revoke_family(family.sid, now=NOW + 6)
    assert not memory.family_alive(family.sid)
    assert memory.find_family(family.sid) == replace(family, revoked_at=NOW + 5)
    assert not memory.rotate_refresh(token.token_hash, refresh_of(family), now=NOW)
    other = replace(family, sid=secrets.token_hex(8))
    late = code_of(other)
    memory.add_code(late, other)
    memory.revoke_family(other.sid, now=NOW)
    assert not memory.consume_code(late.code_hash, refresh_of(other), now=NOW)


def test_all_families_of_a_person_die_together(memory: Store, family: Family) -> None:
    other = replace(family, sid=secrets.token_hex(8))
    memory.add_family(family, None)
    memory.add_family(other, None)
    assert memory.revoke_families(username=family.username, now=NOW) == 2
    assert memory.revoke_families(username=family.username, now=NOW) == 0


def test_failures_lock_a_key_for_a_while(memory: Store, family: Family) -> None:
    key, rule = f"login:{family.username}", {"limit": 3, "lock_s": 60}
    assert memory.locked_until(key, now=NOW) == 0
    assert [memory.count_failure(key, now=NOW + n, **rule) for n in range(3)] == [0, 0, NOW + 62]
    assert memory.locked_until(key, now=NOW + 61) == NOW + 62
    assert memory.locked_until(key, now=NOW + 62) == 0
    assert memory.count_failure(key, now=NOW + 62, **rule) == 0
    memory.clear_failures(key)
    assert [memory.count_failure(key, now=NOW + 100 * n, **rule) for n in range(4)] == [0, 0, 0, 0]


def test_failures_of_many_at_a_time_are_all_counted(memory: Store, family: Family) -> None:
    key = f"crowd:{family.username}"
    assert race(lambda: memory.count_failure(key, now=NOW, limit=8, lock_s=60) > 0) == 1


def test_registration_stops_at_its_limit(memory: Store) -> None:
    late = NOW + 400 * DAY

    def register() -> bool:
        client = ClientRecord(secrets.token_hex(8), '{"a": 1}', late)
        return memory.add_client(client, since=late - 60, at_most=5)

    assert race(register) == 5


def test_a_client_comes_back_as_it_registered(memory: Store) -> None:
    client = ClientRecord(secrets.token_hex(8), '{"redirect_uris": ["x"]}', NOW)
    assert memory.add_client(client, since=NOW + 900 * DAY, at_most=1)
    assert memory.find_client(client.client_id) == client
    memory.touch_client(client.client_id, now=NOW + 9)
    assert memory.find_client(client.client_id) == replace(client, used_at=NOW + 9)
    memory.touch_client("unknown", now=NOW)
    assert memory.find_client("unknown") is None


def test_a_browser_stays_signed_in_until_its_time_or_its_end(memory: Store, family: Family) -> None:
    logins = [
        Login(secrets.token_hex(32), family.username, family.acr, NOW, NOW + 60) for _ in range(3)
    ]
    for login in logins:
        memory.add_login(login)
    assert memory.find_login(logins[0].id_hash, now=NOW + 59) == logins[0]
    assert memory.find_login(logins[0].id_hash, now=NOW + 60) is None
    memory.end_login(logins[0].id_hash)
    assert memory.find_login(logins[0].id_hash, now=NOW) is None
    assert memory.end_logins(family.username) == 2


def test_a_consent_counts_for_exactly_what_was_shown(memory: Store, family: Family) -> None:
    consent = Consent(family.username, "client", "resource", "redirect", "data:read")
    assert not memory.has_consent(consent)
    memory.add_consent(consent, now=NOW)
    memory.add_consent(consent, now=NOW + 1)
    assert memory.has_consent(consent)
    for field in ("username", "client_id", "resource", "redirect_uri", "scope"):
        assert not memory.has_consent(replace(consent, **{field: "else"}))


def test_what_can_no_longer_matter_is_forgotten(memory: Store, family: Family) -> None:
    code, token = code_of(family), refresh_of(family)
    memory.add_code(code, family)
    memory.consume_code(code.code_hash, token, now=NOW)
    login = Login(secrets.token_hex(32), family.username, family.acr, NOW, NOW + 60)
    memory.add_login(login)
    clients = [
        ClientRecord(secrets.token_hex(8), "{}", NOW),
        ClientRecord(secrets.token_hex(8), "{}", NOW, used_at=NOW),
    ]
    for client in clients:
        memory.add_client(client, since=NOW + 900 * DAY, at_most=1)
    consents = [Consent(family.username, client.client_id, "r", "u", "s") for client in clients]
    for consent in consents:
        memory.add_consent(consent, now=NOW)
    assert memory.purge(now=NOW + DAY + 1) >= 3
    assert memory.find_login(login.id_hash, now=NOW) is None
    assert [memory.find_client(client.client_id) for client in clients] == [None, clients[1]]
    assert [memory.has_consent(consent) for consent in consents] == [False, True]
    assert memory.find_refresh(token.token_hash) is not None
    memory.purge(now=NOW + 91 * DAY)
    assert memory.find_family(family.sid) is None
    assert memory.find_code(code.code_hash) is None
    assert memory.find_refresh(token.token_hash) is None
    assert memory.find_client(clients[1].client_id) is None
