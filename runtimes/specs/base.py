"""Specs: the frozen description of a piece of work, and `parse`, which lists every error at once.

A spec is data. Parsing builds plain values, checks them against the models and runs nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError

from runtimes.part import Part
from runtimes.specs import SPECS
from runtimes.specs.reading import BYTES, DEPTH, measure, read, refuse
from runtimes.words import UNKNOWN
from topology.errors import (
    AlphaSwarmError,
    InvalidSpecError,
    UnknownNameError,
    did_you_mean,
    nearest,
)

NAME = r"^[a-z][a-z0-9_.-]{1,63}$"
SHOWN = 80
ERRORS = 50
OWN_CODES = frozenset({"expression_syntax", "lookahead_expression", "not_enough_history"})
"""What alone is wrong with a spec keeps its own code; several kinds are ``invalid_spec``."""
FORMS = {
    "^alphaswarm_silver_": "is no silver table of this kind; write all of its name, "
    "alphaswarm_silver_<domain>.<table>, for example alphaswarm_silver_market.bars_1d.",
    "^alphaswarm_": "is not the name of a table; write alphaswarm_<layer>_<domain>.<table>, "
    "for example alphaswarm_silver_market.bars_1d.",
    NAME: "is not a name; write 2 to 64 of a-z, 0-9, '.', '_' and '-', a letter first.",
    "^[A-Z]{3": "is not a currency; write its code, for example USD.",
    "^[A-Z][A-Z0-9]": "is not an exchange; write capitals and digits, for example NASDAQ.",
}
"""What is said of a text that its pattern does not match, by the pattern's beginning."""


class Spec(Part):
    """What every kind of spec has: its kind, and a name that all its versions share."""

    kind: str
    name: Annotated[str, Field(pattern=NAME)]

    @classmethod
    def chosen(cls, data: Mapping[str, Any]) -> type[Spec]:
        """Return the model for ``data``; a kind of several tasks has one for each."""
        del data
        return cls

    def body(self) -> dict[str, Any]:
        """Return the JSON object that is locked and hashed: every default written out."""
        return self.model_dump(mode="json")

    def looked(self) -> dict[str, Any] | None:
        """Return the data it looks at for a trial, arguments of `ledger.trials.look`, or None."""
        return None


def parse(
    kind: str | None, raw: Mapping[str, Any] | str, *, limit: int = BYTES, depth: int = DEPTH
) -> Spec:
    """Return the validated spec of ``raw``: a mapping, or YAML or JSON text.

    ``kind`` None takes the spec's own. Raises `UnknownNameError` where only names of families are
    wrong, else `InvalidSpecError`; ``facts["errors"]`` has path, value, problem and, for names
    and keys, the nearest ones.
    """
    data = read(raw, limit=limit, depth=depth) if isinstance(raw, str) else dict(raw)
    measure(data, limit=limit, depth=depth)
    if not isinstance(data, dict):
        raise refuse("A spec is a mapping of keys to values.", value=shown(data))
    model = cast("type[Spec]", SPECS.load(_kind(kind, data)))
    try:
        return model.chosen(data).model_validate(data)
    except ValidationError as error:
        raise invalid(error) from None


def _kind(kind: str | None, data: Mapping[str, Any]) -> str:
    found = data.get("kind", kind)
    if kind is not None and found != kind:
        raise refuse(
            f"This is a spec of kind {shown(found)!r}, not {kind!r}.",
            path="kind",
            value=shown(found),
            hint=f"Set kind: {kind}, or send it to the server of its kind.",
        )
    if not isinstance(found, str) or found not in SPECS:
        text = str(shown(found))
        problem = f"No kind of spec is called {text!r}."
        raise UnknownNameError(
            problem,
            hint=did_you_mean(text, SPECS),
            errors=[
                {
                    "path": "kind",
                    "value": shown(found),
                    "problem": problem,
                    "nearest": nearest(text, SPECS),
                }
            ],
        )
    return found


def invalid(error: ValidationError) -> AlphaSwarmError:
    """Return our error for pydantic's, every problem listed by path."""
    lines = _own(error.errors(include_url=False))
    problems = [_problem(dict(line)) for line in lines[:ERRORS]]
    first = problems[0]
    message = f"{first['path'] or 'spec'}: {first['problem']}"
    if len(lines) > 1:
        message += f" ({len(lines) - 1} more)"
    close = first.get("nearest") or []
    hint = f"Did you mean {close[0]!r}?" if close else "Correct what facts.errors lists."
    kinds = {line["type"] for line in lines}
    if kinds == {UNKNOWN}:
        return UnknownNameError(message, hint=hint, errors=problems)
    code = kinds.pop() if len(kinds) == 1 and kinds <= OWN_CODES else None
    return InvalidSpecError(message, hint=hint, code=code, errors=problems)


def _own(lines: list[Any]) -> list[Any]:
    """Leave out that a list is too short where it is only because its members were refused."""
    inner = {line["loc"][:-1] for line in lines}
    return [line for line in lines if line["type"] != "too_short" or line["loc"] not in inner]


def _problem(line: dict[str, Any]) -> dict[str, Any]:
    problem = {
        "path": path_of(line["loc"]),
        "value": None if line["type"] == "missing" else shown(line["input"]),
        "problem": _sentence(line),
    }
    context = line.get("ctx", {})
    return problem | {key: context[key] for key in ("nearest", "position") if key in context}


def _sentence(line: dict[str, Any]) -> str:
    if line["type"] == "missing":
        return "This key is required."
    if line["type"] == "string_pattern_mismatch":
        pattern = str(line["ctx"]["pattern"])
        said = next((said for mark, said in FORMS.items() if pattern.startswith(mark)), None)
        return f"{str(shown(line['input']))!r} {said}" if said else str(line["msg"])
    return str(line["msg"])


def path_of(location: Iterable[int | str]) -> str:
    """Return ``universe.symbols[2]`` for ``("universe", "symbols", 2)``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part[:SHOWN]}" if path else part[:SHOWN]
    return path


def shown(value: Any) -> Any:
    """Return ``value`` as short JSON for an error; what JSON lacks becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, bool | int | float):
        return value if len(str(value)) <= SHOWN else str(value)[:SHOWN]
    if isinstance(value, str):
        return value[:SHOWN]
    text = json.dumps(value, default=str)[: 2 * SHOWN]
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
