"""Answers on stdout, everything else on stderr, and the exit codes of the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clients.cli import output
from clients.cli.output import Output, exit_code, table
from clients.errors import from_body
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    HaltedError,
    LatchUnreadableError,
    MissingError,
    StoreUnreachableError,
    TopologyError,
)

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "errors.md"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInputError("x"), 2),
        (MissingError("x"), 2),
        (TopologyError("x"), 2),
        (from_body({"code": "unknown_tool"}), 2),
        (from_body({"code": "sql_not_allowed"}), 2),
        (from_body({"code": "empty_window"}), 2),
        (from_body({"code": "sign_in_required"}), 3),
        (from_body({"code": "insufficient_scope"}), 3),
        (from_body({"code": "step_up_required"}), 3),
        (HaltedError("x"), 4),
        (from_body({"code": "resume_refused"}), 4),
        (from_body({"code": "unreachable"}), 5),
        (StoreUnreachableError("x"), 5),
        (LatchUnreadableError("x"), 5),
        (FaultError("x"), 1),
        (from_body({"code": "replay_diverged"}), 1),
    ],
    ids=lambda value: value.wire_code if isinstance(value, AlphaSwarmError) else None,
)
def test_each_error_has_its_exit_code(error: AlphaSwarmError, code: int) -> None:
    assert exit_code(error) == code


def documented() -> dict[str, int]:
    """Return the exit code of every error code in the docs."""
    rows = [line.split("|") for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): int(row[-2]) for row in rows}


def test_the_docs_name_the_same_exit_codes() -> None:
    table_of = documented()
    assert len(table_of) > 30
    assert {code: exit_code(from_body({"code": code})) for code in table_of} == table_of


def test_an_answer_that_is_none_of_ours_is_a_failure() -> None:
    assert exit_code(from_body(None)) == output.FAILED


def test_an_error_is_a_sentence_and_a_cure_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = BadInputError("No such thing.", hint="Try another.", said=["line one"])
    assert Output().error(error) == output.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: No such thing.\n  | line one\nTry another.\n"


def test_with_json_the_error_object_is_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    error = BadInputError("No [bold]such[/bold] thing.", hint="h", path="a")
    Output(as_json=True).error(error)
    out, err = capsys.readouterr()
    assert json.loads(out) == error.body()
    assert "No [bold]such[/bold] thing." in err


def test_every_problem_of_a_spec_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [{"path": p, "problem": f"bad {p}"} for p in ("seed", "data.start")]
    Output().error(BadInputError("seed: bad seed (1 more)", errors=problems))
    assert "data.start: bad data.start" in capsys.readouterr().err


def test_json_is_one_line_and_text_is_what_a_person_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(as_json=True).answer({"a": [1, 2]}, "two numbers")
    assert capsys.readouterr().out == '{"a": [1, 2]}\n'
    Output().answer({"a": [1, 2]}, "two numbers")
    assert capsys.readouterr().out == "two numbers\n"


def test_a_table_is_aligned_and_shows_no_control_characters() -> None:
    rows = [("a\x1b[31m", 1, 0.5, None), ("bcd", 20, True, {"k": 1})]
    assert table(("name", "n", "x", "y"), rows).splitlines() == [
        "name    n   x    y",
        "a [31m   1  0.5",
        'bcd     20  yes  {"k": 1}',
    ]
