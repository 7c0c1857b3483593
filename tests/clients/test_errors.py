"""Errors cross the wire as objects and come out as the classes they were."""

from __future__ import annotations

import pytest

from clients import errors
from clients.errors import from_body, refusal
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    HaltedError,
    InvalidSpecError,
    RefusedError,
    StoreUnreachableError,
    UnknownNameError,
)


@pytest.mark.parametrize(
    "error",
    [
        BadInputError("Wrong.", hint="Write it right.", path="a.b"),
        InvalidSpecError("Bad spec.", errors=[{"path": "seed", "value": -1}]),
        UnknownNameError("No strategy is called 'x'.", nearest=["y"]),
        HaltedError("Halted.", epoch=3, scope="all"),
        StoreUnreachableError("Gone.", store="postgres"),
    ],
    ids=lambda error: error.wire_code,
)
def test_an_error_comes_back_as_it_left(error: AlphaSwarmError) -> None:
    back = from_body(error.body())
    assert type(back) is type(error)
    assert back.body() == error.body()


def test_a_code_without_a_class_of_its_own_keeps_its_name() -> None:
    back = from_body({"code": "sql_timeout", "message": "Too slow.", "hint": "", "facts": {}})
    assert (back.wire_code, back.message) == ("sql_timeout", "Too slow.")


def test_a_code_shared_by_a_branch_is_the_branch() -> None:
    assert type(from_body({"code": "access_denied", "message": "No."})) is RefusedError
    assert type(from_body({"code": "invalid_arguments", "message": "No."})) is BadInputError


@pytest.mark.parametrize("body", [None, "html", [], {}, {"code": 7}, {"error": "invalid_token"}])
def test_what_is_no_error_object_is_a_fault_that_names_the_doctor(body: object) -> None:
    back = from_body(body)
    assert type(back) is FaultError
    assert "doctor" in back.hint


@pytest.mark.parametrize(
    ("status", "challenge", "code"),
    [
        pytest.param(401, 'Bearer scope="data:read"', "sign_in_required", id="no token"),
        pytest.param(401, 'Bearer error="invalid_token"', "sign_in_required", id="dead token"),
        pytest.param(
            401,
            'Bearer error="insufficient_user_authentication", max_age="300"',
            "step_up_required",
            id="sign-in too old",
        ),
        pytest.param(
            403,
            'Bearer error="insufficient_scope", scope="data:read data:write"',
            "insufficient_scope",
            id="scope missing",
        ),
        pytest.param(403, "Bearer", "access_denied", id="never"),
    ],
)
def test_a_challenge_says_which_sign_in_is_missing(status: int, challenge: str, code: str) -> None:
    error = refusal(status, challenge, {"error": "x"}, server="data")
    assert error.wire_code == code


def test_the_error_object_of_a_refusal_wins_and_keeps_the_challenge_as_facts() -> None:
    body = {"code": "insufficient_scope", "message": "More.", "hint": "h", "facts": {"a": 1}}
    error = refusal(403, 'Bearer error="insufficient_scope", scope="a b"', body, server="data")
    assert error.message == "More."
    assert error.facts == {"scope": "a b", "a": 1}


def test_unreachable_says_how_to_start() -> None:
    error = errors.unreachable("The server 'data'", "it took too long")
    assert error.message == "The server 'data' does not answer: it took too long."
    assert "alphaswarm up" in error.hint
