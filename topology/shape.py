"""Validate raw data against a model and turn pydantic's errors into findings with a cure."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from topology.errors import did_you_mean, nearest
from topology.marks import Path

Model = TypeVar("Model", bound=BaseModel)

_ROUNDS = 8
_SENTENCES = {
    "missing": "is missing",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
_FORMS = {
    ":[a-z]": "must be a scope such as data:read",
    "^(/": "must be a path such as /data/mcp, lower-case, without a trailing slash",
    "{0,31}$": "must be a name: a lower-case letter, then letters, digits, _ and -",
    "^/.+": "must be an absolute path",
    "(:[!#": "must be a client, or ISSUER:CLIENT of an external issuer",
    "[!#": "must be visible ASCII without quotes and backslashes",
    "@sha256": "must name a container image, best by digest: name@sha256:...",
    "(Mi|Gi|Ti)": "must be a size such as 20Gi",
    ":[0-5]": 'must be a time of day as HH:MM in quotes, such as "03:30"',
    "[0-9a-f:.]*)$": "must be a host name, lower-case, or an IP address",
}


def validate(
    model: type[Model], data: Any, *, spare: Any
) -> tuple[Model | None, list[tuple[Path, str]]]:
    """Return the model and what is wrong with ``data``.

    What is wrong is cut out, or replaced from ``spare`` (data that is right) where something must
    stand, and the rest validated again: later rules can still be checked, and a reader sees all
    errors at once. None where nothing usable is left.
    """
    found: list[tuple[Path, str]] = []
    rest = copy.deepcopy(data)
    for round_ in range(_ROUNDS):
        try:
            return model.model_validate_json(json.dumps(rest), strict=True), found
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        errors = [(_path(detail, rest), detail) for detail in details]
        if round_ == 0:
            found = [(path, _sentence(model, detail, path, data)) for path, detail in errors]
            found = [one for one in found if not _explained(one, found)]
        for path, detail in sorted(errors, key=lambda one: [str(p) for p in one[0]], reverse=True):
            if not _mend(rest, path, spare, missing=detail["type"] == "missing"):
                return None, found
    return None, found


def _explained(one: tuple[Path, str], found: list[tuple[Path, str]]) -> bool:
    """Tell whether an empty list is empty only because its members are wrong."""
    path, text = one
    deeper = (other for other, _ in found if len(other) > len(path))
    return text == _SENTENCES["too_short"] and any(o[: len(path)] == path for o in deeper)


def _path(detail: ErrorDetails, data: Any) -> Path:
    """Return the path in the data: pydantic's location without the tags of unions."""
    path: list[str | int] = []
    for part in detail["loc"]:
        if _holds(data, part):
            data = data[part]
            path.append(part)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    if detail["type"] == "union_tag_invalid" and _holds(data, "kind"):
        path.append("kind")
    return tuple(path)


def _mend(data: Any, path: Path, spare: Any, *, missing: bool) -> bool:
    """Cut ``path``; where something must stand take the spare, else cut what lacks it."""
    if not missing:
        return _cut(data, path)
    for part in path:
        spare = spare[part] if _holds(spare, part) else None
    if spare is None:
        return _cut(data, path[:-1])
    for part in path[:-1]:
        if not _holds(data, part):
            return True
        data = data[part]
    data[path[-1]] = copy.deepcopy(spare)
    return True


def _cut(data: Any, path: Path) -> bool:
    """Remove ``path``; False for the root, without which nothing is left."""
    for part in path[:-1]:
        if not _holds(data, part):
            return True
        data = data[part]
    if path and _holds(data, path[-1]):
        del data[path[-1]]
    return bool(path)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _sentence(model: type[BaseModel], detail: ErrorDetails, path: Path, data: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden" or (kind, detail["loc"][-1]) == ("literal_error", "[key]"):
        known = _known_keys(model.model_json_schema(), path[:-1], data)
        return f"unknown key. {did_you_mean(str(path[-1]), known)}".rstrip()
    if kind in {"literal_error", "union_tag_invalid"}:
        return _choices(str(context.get("expected") or context.get("expected_tags")), path, data)
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return next((text for mark, text in _FORMS.items() if mark in pattern), detail["msg"])
    text = _SENTENCES.get(kind) or detail["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|Value) should", "must", text)


def _choices(expected: str, path: Path, data: Any) -> str:
    choices = re.findall(r"'([^']+)'", expected) or [expected]
    for part in path:
        data = data[part] if _holds(data, part) else None
    close = nearest(data, choices, count=1) if isinstance(data, str) else []
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"must be {' or '.join(choices)}.{hint}"


def _known_keys(schema: dict[str, Any], path: Path, data: Any) -> list[str]:
    """Return the keys that the JSON Schema knows at ``path``; ``kind`` decides between unions."""
    node = schema
    for part in path:
        node = _resolved(schema, node, data)
        properties = node.get("properties", {})
        inner = node.get("items", {}) if isinstance(part, int) else properties.get(part)
        others = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
        node = inner if inner is not None else next((o for o in others if o), {})
        data = data[part] if _holds(data, part) else None
    node = _resolved(schema, node, data)
    return sorted(node.get("properties") or node.get("propertyNames", {}).get("enum", []))


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
