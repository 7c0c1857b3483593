"""What a browser answers, with any bytes in it: refused in a known way, and never believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from auth.factors.passkeys import Passkeys, RefusedKeyError
from auth.factors.seal import Seal
from auth.store import Factor
from tests.kit.authenticator import Authenticator, raw, text
from tests.kit.identity_store import MemoryStore

NOW = 1_800_000_000
FUZZ = settings(max_examples=150, deadline=None)
ODD = st.none() | st.integers() | st.text(max_size=30) | st.lists(st.integers(), max_size=3)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4)


def passkeys() -> Passkeys:
    found = Passkeys.of("http://localhost:8000/as", Seal(bytes(32)))
    assert found is not None
    return found


def made(keys: Passkeys, store: MemoryStore, device: Authenticator) -> str:
    """Return the answer of a device that makes a key for ada."""
    return device.create(json.loads(keys.creation(store, "ada", "here", NOW)))


def register(keys: Passkeys, store: MemoryStore, sent: str) -> Factor:
    return keys.registered(store, "ada", sent, name="", about="here", now=NOW)


def bent(encoded: str, changes: list[tuple[float, int]]) -> str:
    """Return the same bytes but for some, each at a share of the length."""
    data = bytearray(raw(encoded))
    for share, mask in changes:
        data[min(int(share * len(data)), len(data) - 1)] ^= mask
    return text(bytes(data))


def outcome(ceremony: Callable[[], Factor]) -> str:
    """Return the kind of the key, or why it was refused; anything else is raised."""
    try:
        return ceremony().kind
    except RefusedKeyError as error:
        return error.reason


@given(changes=CHANGES, cut=st.integers(0, 40))
@FUZZ
def test_a_bent_attestation_is_refused_or_makes_some_other_key(changes: Any, cut: int) -> None:
    keys, store = passkeys(), MemoryStore()
    sent = json.loads(made(keys, store, Authenticator()))
    whole = sent["response"]["attestationObject"]
    sent["response"]["attestationObject"] = bent(whole[: len(whole) // 4 * 4 - 4 * cut], changes)
    assert outcome(lambda: register(keys, store, json.dumps(sent))) in {"passkey", "unknown"}


@given(
    part=st.sampled_from(["authenticatorData", "signature", "clientDataJSON", "userHandle"]),
    changes=CHANGES | ODD,
)
@FUZZ
def test_a_bent_assertion_lets_nobody_in(part: str, changes: Any) -> None:
    keys, store, device = passkeys(), MemoryStore(), Authenticator()
    store.add_factors([register(keys, store, made(keys, store, device))])
    sent = json.loads(device.get(json.loads(keys.request("here", NOW))))
    whole = sent["response"][part]
    pairs = isinstance(changes, list) and changes and isinstance(changes[0], tuple)
    sent["response"][part] = bent(whole, changes) if pairs else changes
    same = sent["response"][part] == whole or (part == "userHandle" and changes in (None, ""))
    found = outcome(lambda: keys.check(store, json.dumps(sent), about="here", now=NOW))
    assert found in ({"passkey"} if same else {"unknown", "wrong"})
