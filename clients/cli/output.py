"""What the command line prints: answers on stdout, everything else on stderr, and exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from topology.errors import AlphaSwarmError, BadInputError, MissingError

if TYPE_CHECKING:
    from rich.console import Console

OK, FAILED, USAGE, SIGN_IN, HALTED, UNREACHABLE, DETACHED = 0, 1, 2, 3, 4, 5, 130
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_SIGN_IN = frozenset(
    [
        "sign_in_required",
        "invalid_token",
        "insufficient_scope",
        "step_up_required",
        "access_denied",
        "unmet_authentication_requirements",
    ]
)
_HALTED = frozenset({"halted", "resume_refused"})
_UNREACHABLE = frozenset({"unreachable", "store_unreachable", "latch_unreadable", "engine_failed"})
_BAD_INPUT = frozenset(
    [
        "unknown_tool",
        "port_taken",
        "idempotency_conflict",
        "declined",
        "confirmation_required",
        "invalid_scope",
        "invalid_target",
        "path_not_allowed",
        "egress_denied",
        "expression_syntax",
        "lookahead_expression",
        "unreadable_file",
        "empty_append",
        "schema_mismatch",
        "table_not_found",
        "snapshot_expired",
        "export_expired",
        "layer_mismatch",
        "timestamp_type",
        "duplicate_key",
        "sql_not_allowed",
        "sql_timeout",
        "sql_memory",
        "empty_window",
        "not_enough_history",
        "bad_splits",
        "plugin_refused",
        "rendered_stale",
        "bad_bars",
        "invalid_weights",
        "strategy_error",
        "lookahead_strategy",
        "plan_stale",
    ]
)
"""Codes of bad input that other floors own, so that they arrive without their class."""


@dataclass(slots=True)
class Output:
    """How this command answers; ``as_json`` is set by its ``--json``."""

    as_json: bool = False

    def answer(self, body: Mapping[str, Any], text: str | None = None) -> None:
        """Print the one answer: the object with ``--json``, else ``text`` (or the object)."""
        if self.as_json or text is None:
            sys.stdout.write(json.dumps(body, indent=None if self.as_json else 2) + "\n")
        else:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def line(self, body: Mapping[str, Any]) -> None:
        """Print one line of NDJSON."""
        sys.stdout.write(json.dumps(body) + "\n")
        sys.stdout.flush()

    def error(self, error: AlphaSwarmError) -> int:
        """Report an error and return its exit code: a sentence and its cure on stderr.

        With ``--json`` the error object is the answer on stdout.
        """
        if self.as_json:
            self.line(error.body())
        console = errors()
        console.print("Error:", style="bold red", end=" ")
        console.print(error.message, markup=False, highlight=False)
        for line in error.facts.get("said", []):
            note(f"  | {line}")
        for problem in error.facts.get("errors", [])[1:] if not _listed(error) else []:
            near = f" Did you mean {problem['nearest'][0]!r}?" if problem.get("nearest") else ""
            note(f"  {problem.get('path') or 'spec'}: {problem.get('problem', '')}{near}")
        if error.hint:
            console.print(error.hint, style="dim", markup=False, highlight=False)
        return exit_code(error)


current = Output()


def use(as_json: bool) -> Output:  # noqa: FBT001  the flag of the command, handed on
    """Set how this command answers and return it."""
    current.as_json = as_json
    return current


def exit_code(error: AlphaSwarmError) -> int:
    """Return the exit code of the public contract for an error."""
    code = error.wire_code
    for codes, number in ((_SIGN_IN, SIGN_IN), (_HALTED, HALTED), (_UNREACHABLE, UNREACHABLE)):
        if code in codes:
            return number
    if isinstance(error, BadInputError | MissingError) or code in _BAD_INPUT:
        return USAGE
    return FAILED


def note(text: str, *, style: str = "") -> None:
    """Say something on stderr."""
    errors().print(text, style=style, markup=False, highlight=False)


def errors() -> Console:
    """Return the console of stderr; without a terminal, or with NO_COLOR, it has no colours."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an aligned plain-text table; None is empty, numbers stand right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [
        max([len(name), *(len(row[index][0]) for row in texts)])
        for index, name in enumerate(columns)
    ]
    head = "  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True))
    lines = [head.rstrip()]
    for row in texts:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for (text, right), width in zip(row, widths, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def interactive() -> bool:
    """Tell whether a person sees stderr live."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _cell(value: Any) -> tuple[str, bool]:
    if value is None:
        return "", False
    if isinstance(value, bool):
        return ("yes" if value else "no"), False
    if isinstance(value, float):
        return f"{value:.6g}", True
    if isinstance(value, int):
        return str(value), True
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(c if c.isprintable() else " " for c in text), False


def _listed(error: AlphaSwarmError) -> bool:
    """Tell whether the message already holds every problem."""
    return "\n" in error.message
