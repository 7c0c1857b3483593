"""What a change takes: a second factor, and one for exactly this where anything is destroyed."""

from __future__ import annotations

from typing import Any

import pytest

from tools.registry import served


@pytest.mark.parametrize(
    ("said", "step_up"),
    [
        pytest.param({}, "mfa", id="making needs a second factor"),
        pytest.param({"allow_destroy": False}, "mfa", id="said no"),
        pytest.param({"allow_destroy": None}, "mfa", id="said nothing"),
        pytest.param({"allow_destroy": True}, "bound", id="destroying needs one for just this"),
        pytest.param({"allow_destroy": "false"}, "bound", id="what cannot be read is the worst"),
        pytest.param({"allow_destroy": []}, "bound", id="no boolean at all"),
    ],
)
def test_apply_change_takes_a_factor_for_what_it_would_do(
    said: dict[str, Any], step_up: str
) -> None:
    rule = served("control").tools["apply_change"].rule(said)
    assert (rule.scopes, rule.step_up, rule.actor) == (("control:apply",), step_up, "human")


def test_planning_and_cancelling_take_a_second_factor_too() -> None:
    tools = served("control").tools
    assert (tools["plan_change"].auth.scopes, tools["plan_change"].auth.step_up) == (
        ("control:apply",),
        "mfa",
    )
    assert (tools["cancel_run"].auth.scopes, tools["cancel_run"].auth.step_up) == (
        ("control:halt",),
        "mfa",
    )
    assert (tools["apply_change"].destructive, tools["plan_change"].destructive) == (True, False)


def test_only_destroying_asks_the_person_again() -> None:
    confirm = served("control").tools["apply_change"].confirm
    assert confirm is not None
    sha = "0" * 64
    assert confirm({"plan_sha256": sha, "allow_destroy": False}) is None
    assert confirm({"plan_sha256": sha, "allow_destroy": True}) == sha
