"""Passwords: what they cost, and that a name nobody has costs as much."""

from __future__ import annotations

import time

import pytest
from argon2 import PasswordHasher

from auth.factors.passwords import LockedError, Passwords
from auth.store import Store, User
from tests.kit.identity import CHEAP, PASSWORD
from tests.kit.identity_store import MemoryStore

NOW = 1_800_000_000


@pytest.fixture
def store() -> Store:
    store = MemoryStore()
    store.add_user(User("ada", CHEAP.make(PASSWORD), NOW))
    store.add_user(User("owner", None, NOW))
    return store


def test_the_right_password_returns_its_user(store: Store) -> None:
    user = CHEAP.check(store, "ada", PASSWORD, NOW)
    assert user is not None
    assert user.username == "ada"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        pytest.param("ada", "wrong", id="wrong"),
        pytest.param("ada", "", id="empty"),
        pytest.param("ada", PASSWORD + "x" * 2000, id="too long"),
        pytest.param("Ada", PASSWORD, id="another case"),
        pytest.param("nobody", PASSWORD, id="no such name"),
        pytest.param("owner", "", id="no password set"),
        pytest.param("owner", "None", id="no password set, guessed"),
        pytest.param("\x00", "\udcff", id="odd bytes"),
    ],
)
def test_nobody_else_gets_in(store: Store, name: str, password: str) -> None:
    if "\udcff" in password:
        password = password.encode("utf-8", "replace").decode()
    assert CHEAP.check(store, name, password, NOW) is None


def test_an_overlong_password_is_not_its_beginning(store: Store) -> None:
    long = "a" * 1024
    store.set_password("ada", CHEAP.make(long))
    assert CHEAP.check(store, "ada", long, NOW) is not None
    assert CHEAP.check(store, "ada", long + "a", NOW) is None


def test_a_damaged_hash_lets_nobody_in(store: Store) -> None:
    store.set_password("ada", "$argon2id$broken")
    assert CHEAP.check(store, "ada", PASSWORD, NOW) is None


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_the_sixth_try_is_refused_unseen_even_when_right(store: Store, name: str) -> None:
    for _ in range(4):
        assert CHEAP.check(store, name, "wrong", NOW) is None
    with pytest.raises(LockedError):
        CHEAP.check(store, name, "wrong", NOW)
    with pytest.raises(LockedError) as caught:
        CHEAP.check(store, name, PASSWORD, NOW + 59)
    assert caught.value.seconds == 1
    assert (CHEAP.check(store, name, PASSWORD, NOW + 60) is not None) == (name == "ada")


def test_a_hash_is_argon2id_and_salted() -> None:
    one, two = Passwords().make(PASSWORD), Passwords().make(PASSWORD)
    assert one != two
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_an_unknown_name_costs_as_much_as_a_wrong_password(store: Store) -> None:
    passwords = Passwords(PasswordHasher(time_cost=3, memory_cost=16_384, parallelism=1))
    store.set_password("ada", passwords.make(PASSWORD))

    def cost(name: str) -> float:
        store.clear_failures(name)
        start = time.process_time()
        passwords.check(MemoryStore() if name == "nobody" else store, name, "wrong", NOW)
        return time.process_time() - start

    known = min(cost("ada") for _ in range(3))
    unknown = min(cost("nobody") for _ in range(3))
    assert unknown == pytest.approx(known, rel=0.7)
