"""The small words: canonical JSON, symbols, ids, clocks, registries, frames and errors."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topology import canonical, clock, errors, ids
from topology.errors import AlphaSwarmError, BadInputError, InvalidSpecError, UnknownNameError
from topology.frames import KINDS, TERMINAL, Frame
from topology.principal import Principal
from topology.registry import Registry
from topology.symbols import Symbol

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


# --- canonical JSON -----------------------------------------------------------------------------


def test_canonical_bytes_are_pinned() -> None:
    value = {"b": [1.0, 1e21, 0.1], "a": {"é": "\n", "": None}, "c": True}
    assert canonical.canonical(value) == (
        '{"a":{"":null,"é":"\\n"},"b":[1,1e+21,0.1],"c":true}'.encode()
    )
    assert canonical.sha256({}) == (
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="key order"),
        pytest.param({"a": 1.0}, {"a": 1}, id="1.0 and 1"),
        pytest.param({"a": 1e2}, {"a": 100}, id="1e2 and 100"),
        pytest.param([-0.0], [0], id="minus zero"),
        pytest.param((1, 2), [1, 2], id="tuple and list"),
    ],
)
def test_spelling_does_not_matter(one: Any, other: Any) -> None:
    assert canonical.sha256(one) == canonical.sha256(other)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(math.nan, id="NaN"),
        pytest.param(math.inf, id="infinity"),
        pytest.param(2**53, id="too large an integer"),
        pytest.param(2.0**53, id="the same as a float"),
        pytest.param(-1e20, id="a large negative float"),
        pytest.param("\ud800", id="half a character"),
        pytest.param({"a\0": 1}, id="NUL in a key"),
        pytest.param(["a\0b"], id="NUL in text"),
        pytest.param({1: 2}, id="a key that is no text"),
        pytest.param(object(), id="no JSON"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        canonical.canonical({"deep": [value]})
    assert refused.value.hint


def test_nesting_without_end_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidSpecError, match="RecursionError"):
        canonical.canonical(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2**53), 2**53, exclude_min=True, exclude_max=True)
    | st.floats(1e21, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values)
def test_canonical_bytes_read_back_and_canonical_again_are_the_same(value: Any) -> None:
    text = canonical.canonical(value)
    assert canonical.canonical(json.loads(text)) == text


# --- symbols, ids, clocks -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ticker", "exchange"),
    [
        ("AAPL.NASDAQ", "AAPL", "NASDAQ"),
        ("BRK.B.NYSE", "BRK.B", "NYSE"),
        ("BTC-USD.COINBASE", "BTC-USD", "COINBASE"),
        ("^GSPC.INDEX", None, None),
    ],
)
def test_the_last_dot_splits_a_symbol(text: str, ticker: str | None, exchange: str) -> None:
    if ticker is None:
        with pytest.raises(BadInputError):
            Symbol.parse(text)
        return
    assert Symbol.parse(text) == Symbol(ticker, exchange)
    assert str(Symbol.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "AAPL", "aapl.NASDAQ", "AAPL.", ".NASDAQ", "A B.NYSE", "A.NYSE\n", "A" * 99]
)
def test_what_is_no_symbol_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(BadInputError, match="is not a symbol") as refused:
        Symbol.parse(text)
    assert "TICKER.EXCHANGE" in refused.value.hint
    assert len(refused.value.facts["value"]) <= 64


def test_an_id_is_26_lower_case_characters_that_sort_by_time() -> None:
    first = ids.new_id(MOMENT, entropy=b"\xff" * 10)
    later = ids.new_id(MOMENT + dt.timedelta(milliseconds=1), entropy=b"\0" * 10)
    assert first == "01kdyak3sezzzzzzzzzzzzzzzz"
    assert first < later
    assert ids.is_id(first)
    assert not ids.is_id(f"{first}\n")
    assert not ids.is_id(first.upper())


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new_id(MOMENT) for _ in range(1000)}) == 1000


def test_a_frozen_clock_moves_only_when_told() -> None:
    frozen = clock.FrozenClock(MOMENT)
    assert (frozen.now(), frozen.monotonic()) == (MOMENT, 0)
    frozen.advance(1.5)
    assert (frozen.now() - MOMENT, frozen.monotonic()) == (dt.timedelta(seconds=1.5), 1.5)


def test_the_system_clock_is_aware_and_utc() -> None:
    assert clock.SystemClock().now().tzinfo is dt.UTC
    assert clock.rfc3339(MOMENT) == "2026-01-02T03:04:05.678901Z"


# --- registry, frames, errors, principal --------------------------------------------------------

FAMILY: Registry[Any] = Registry("shape", {"square": "math:pow", "root": "math:sqrt"})


def test_a_family_loads_its_members_on_first_use() -> None:
    assert FAMILY.load("root")(9) == 3
    assert FAMILY.load("root") is FAMILY.load("root")
    assert (FAMILY.names(), list(FAMILY)) == (["root", "square"], ["root", "square"])
    assert "root" in FAMILY
    assert "circle" not in FAMILY


def test_a_name_that_nobody_has_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="No shape is called 'squar'") as refused:
        FAMILY.load("squar")
    assert refused.value.hint == "Did you mean 'square'?"
    assert refused.value.facts == {"family": "shape", "nearest": ["square"]}


def test_where_nothing_is_near_all_are_listed() -> None:
    assert errors.did_you_mean("zzz", ["b", "a"]) == "Known: a, b."
    assert errors.did_you_mean("zzz", []) == ""


def test_a_frame_keeps_its_extras_and_knows_its_end() -> None:
    frame = Frame.model_validate(
        {"task_id": "t", "stage": "done", "message": "m", "timestamp": "x", "seq": 3, "run_id": "r"}
    )
    assert frame.extras == {"run_id": "r"}
    assert frame.terminal
    assert not frame.model_copy(update={"stage": "start"}).terminal
    assert len(TERMINAL) == 4
    assert len(set(KINDS)) == 9


def every_error() -> list[type[AlphaSwarmError]]:
    found, queue = [], [AlphaSwarmError]
    while queue:
        found.append(queue.pop())
        queue += found[-1].__subclasses__()
    return [one for one in found if one.__module__ == "topology.errors"]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_is_an_object_of_the_contract(kind: type[AlphaSwarmError]) -> None:
    body = kind("A sentence.", hint="Do this.", path="a.b").body()
    assert list(body) == ["code", "message", "hint", "facts"]
    assert body["code"].replace("_", "").islower()
    assert json.loads(json.dumps(body)) == body
    assert kind("x", code="other").body()["code"] == "other"


def test_the_audit_gets_the_facts_of_a_caller_without_its_token() -> None:
    caller = Principal("anna", "cli", frozenset({"data:read"}), acr="pwd", auth_time=7, jti="j")
    assert caller.facts() == {
        "client_id": "cli",
        "jti": "j",
        "sid": "",
        "acr": "pwd",
        "auth_time": 7,
    }
