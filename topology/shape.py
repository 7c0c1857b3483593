"""Validate raw data against a model and turn pydantic's errors into findings with a cure."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from topology.errors import did_you_mean
from topology.marks import Path

Model = TypeVar("Model", bound=BaseModel)

_ROUNDS = 8
_SENTENCES = {
    "string_pattern_mismatch": "has the wrong form",
    "missing": "is missing",
}
_FORMS = {
    ":[a-z]": "must be a scope such as data:read",
    "^(/": "must be a path such as /data/mcp, lower-case, without a trailing slash",
    "{0,31}$": "must be a name: a lower-case letter, then letters, digits, _ and -",
    "^/.+": "must be an absolute path",
    "^[a-z0-9](": "must be a host name, lower-case",
}


def validate(model: type[Model], data: Any) -> tuple[Model | None, list[tuple[Path, str]]]:
    """Return the model and what is wrong with ``data``.

    What is wrong is cut out and the rest validated again, so that later rules can still be
    checked and a reader sees all errors at once; None where nothing usable is left.
    """
    found: list[tuple[Path, str]] = []
    rest = copy.deepcopy(data)
    for _ in range(_ROUNDS):
        try:
            return model.model_validate_json(json.dumps(rest), strict=True), found
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        first_round = not found
        for detail in details:
            path = _path(detail, rest)
            if first_round:
                found.append((path, _sentence(model, detail, path, data)))
            if not _cut(rest, path[:-1] if detail["type"] == "missing" else path):
                return None, found
    return None, found


def _path(detail: ErrorDetails, data: Any) -> Path:
    """Return the path in the data: pydantic's location without the tags of unions."""
    path: list[str | int] = []
    for part in detail["loc"]:
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            data = data[part]
            path.append(part)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    return tuple(path)


def _cut(data: Any, path: Path) -> bool:
    """Remove ``path``; False where that would leave nothing to look at."""
    if len(path) < 2:
        return len(path) == 1 and isinstance(data, dict) and data.pop(path[0], data) is not data
    for part in path[:-1]:
        if not _holds(data, part):
            return True
        data = data[part]
    if _holds(data, path[-1]):
        del data[path[-1]]
    return True


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _sentence(model: type[BaseModel], detail: ErrorDetails, path: Path, data: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(model.model_json_schema(), path[:-1], data)
        return f"unknown key. {did_you_mean(str(path[-1]), known)}".rstrip()
    if kind in {"literal_error", "union_tag_invalid"}:
        choices = re.findall(r"'([^']+)'", str(context.get("expected") or context["expected_tags"]))
        return f"must be one of {', '.join(choices)}" if choices else detail["msg"]
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        forms = [text for mark, text in _FORMS.items() if mark in pattern]
        return forms[0] if forms else _SENTENCES[kind]
    text = _SENTENCES.get(kind) or detail["msg"].removeprefix("Value error, ")
    return text[0].lower() + text[1:]


def _known_keys(schema: dict[str, Any], path: Path, data: Any) -> list[str]:
    """Return the keys that the JSON Schema knows at ``path``; ``kind`` decides between unions."""
    node = schema
    for part in path:
        node = _resolved(schema, node, data)
        properties = node.get("properties", {})
        inner = node.get("items", {}) if isinstance(part, int) else properties.get(part)
        node = inner if inner is not None else node.get("additionalProperties", {})
        data = data[part] if _holds(data, part) else None
    return sorted(_resolved(schema, node, data).get("properties", {}))


def _resolved(schema: dict[str, Any], node: Any, data: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {}
    if "oneOf" in node:
        mapping = node.get("discriminator", {}).get("mapping", {})
        kind = data.get("kind") if isinstance(data, dict) else None
        node = {"$ref": mapping[kind]} if kind in mapping else {}
    while "$ref" in node:
        node = schema["$defs"][str(node["$ref"]).rpartition("/")[2]]
    return dict(node)
