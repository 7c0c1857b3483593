"""AgentSpec: what its hash covers, and everything that it refuses before a word is written."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.specs.base import parse
from topology.canonical import canonical, sha256
from topology.errors import AlphaSwarmError

PLAIN: dict[str, Any] = {
    "kind": "agent",
    "name": "analyst",
    "roles": [{"name": "analyst", "prompt": "Look.", "tools": ["data.get_bars"]}],
    "tools": [
        {"server": "data", "name": "get_bars"},
        {"server": "data", "name": "list_tables"},
    ],
}


def digest(**keys: Any) -> str:
    return sha256(parse("agent", {**PLAIN, **keys}).body())


def test_the_hash_is_that_of_the_bytes_that_are_kept() -> None:
    """No prefix: anyone can recompute it."""
    assert sha256({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"limits": {"max_cost_usd": 1e6}}, {"limits": {"max_cost_usd": "1000000"}}),
        ({"limits": {"max_cost_usd": "-0"}}, {"limits": {"max_cost_usd": 0}}),
        ({"limits": {"max_cost_usd": "2.50"}}, {"limits": {"max_cost_usd": 2.5}}),
        (
            {"data": {"mode": "as_of", "at": "2019-03-01T18:00:00+02:00"}},
            {"data": {"mode": "as_of", "at": "2019-03-01T16:00:00Z"}},
        ),
        (
            {"tools": [{**PLAIN["tools"][0], "scopes": ["data:write", "data:read", "data:read"]}]},
            {"tools": [{**PLAIN["tools"][0], "scopes": ["data:read", "data:write"]}]},
        ),
    ],
    ids=["exponent", "minus zero", "trailing zero", "zone", "order of scopes"],
)
def test_what_means_the_same_has_the_same_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(**one) == digest(**other)


@pytest.mark.parametrize(
    "change",
    [
        {"tools": PLAIN["tools"][::-1]},
        {"roles": [{**PLAIN["roles"][0], "prompt": "Look again."}]},
        {"limits": {"max_steps": 41}},
        {"models": [{"weights_sha256": "0" * 64}]},
        {"memory": {"scope": "agent"}},
        {"guards": {"contaminated": "refuse"}},
        {"seed": 8},
    ],
    ids=["order of tools", "prompt", "limits", "weights", "memory", "guards", "seed"],
)
def test_what_can_change_a_run_changes_the_hash(change: dict[str, Any]) -> None:
    assert digest(**change) != digest()


def test_a_locked_spec_reads_back_as_itself() -> None:
    body = parse("agent", PLAIN).body()
    assert parse("agent", canonical(body).decode()).body() == body


ROLE = PLAIN["roles"][0]


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"rules": []}, "rules", "No key"),
        ({"roles": [{**ROLE, "model": "locl"}]}, "roles[0]", "locl"),
        ({"roles": [{**ROLE, "tools": ["data.get_bar"]}]}, "roles[0]", "get_bar"),
        ({"roles": [ROLE, ROLE]}, "roles", "twice"),
        ({"graph": "debate"}, "debate", "required"),
        (
            {"graph": "debate", "debate": {"roles": ["analyst", "bear"], "judge": "analyst"}},
            "roles",
            "bear",
        ),
        ({"graph": "evaluate"}, "roles", "worker"),
        ({"data": {"mode": "as_of"}}, "data.at", "as_of"),
        ({"data": {"mode": "as_of", "at": "2019-03-01T16:00:00"}}, "data.at", "zone"),
        ({"data": {"snapshot_ids": {"t": 9223372036854775807}}}, "data.snapshot_ids.t", "string"),
        ({"seed": 2**53}, "seed", "9007199254740991"),
        ({"limits": {"max_cost_usd": float("nan")}}, "limits.max_cost_usd", "dollars"),
        ({"limits": {"max_cost_usd": -1}}, "limits.max_cost_usd", "dollars"),
        (
            {"models": [{"params": {"temperature": float("nan")}}]},
            "models[0].params.temperature",
            "",
        ),
        (
            {"output_schema": {"$ref": "https://example.com/schema.json"}},
            "output_schema",
            "own parts",
        ),
        ({"output_schema": {"type": "objekt"}}, "output_schema", "no JSON Schema"),
        (
            {"tools": [{"server": "data", "name": "get_bars", "effect": "none"}]},
            "tools[0].effect",
            "",
        ),
    ],
)
def test_bad_input_is_named_by_its_path(change: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(AlphaSwarmError) as found:
        parse("agent", {**PLAIN, **change})
    problems = {e["path"]: e["problem"] for e in found.value.facts["errors"]}
    assert path in problems, problems
    assert says in problems[path]


def test_a_destructive_tool_always_asks() -> None:
    spec = parse(
        "agent",
        {
            **PLAIN,
            "tools": [{**t, "effect": "destructive", "approval": "never"} for t in PLAIN["tools"]],
        },
    )
    assert [tool.asks for tool in spec.tools] == [True, True]  # type: ignore[attr-defined]
