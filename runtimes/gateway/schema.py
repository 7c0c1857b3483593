"""Structured output: one JSON value that fits a schema, or the place where it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import referencing
import referencing.exceptions
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


def problem(schema: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    """Return JSON pointer and sentence of what is wrong with ``value``; None where it fits.

    The registry is empty: a remote ``$ref`` is an error here, never a download.
    """
    validator = Draft202012Validator(dict(schema), registry=referencing.Registry())
    try:
        found = best_match(validator.iter_errors(value))
    except referencing.exceptions.Unresolvable:
        return "", "The schema refers to something outside itself."
    if found is None:
        return None
    pointer = "".join(f"/{part}" for part in found.absolute_path)
    return pointer, f"{found.validator} fails: {found.message[:300]}"


def parsed(content: str) -> Any:
    """Return the JSON value of an answer; text around one fenced block is left out.

    Raises ValueError for anything else, numbers that are none included.
    """
    text = content.strip()
    if text.startswith("```"):
        text = text.split("\n", 1)[-1].rsplit("```", 1)[0]
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
