"""The schemas that clients read: small, with an object at the root, and open to the error object.

A client library validates structured content even of errors, so an output schema demands nothing at
its root; what lies deeper stays strict. Generated titles repeat the names and cost tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_NAMED = ("properties", "$defs", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains")


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a result, which the error object satisfies too."""
    schema = terse(model.model_json_schema(mode="serialization", by_alias=True))
    schema.pop("required", None)
    schema.pop("additionalProperties", None)
    schema.pop("description", None)
    return schema


def terse(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without generated titles; a property called ``title`` stays."""
    short: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title":
            continue
        if key in _NAMED:
            short[key] = {name: _part(part) for name, part in value.items()}
        elif key in _LISTED:
            short[key] = [_part(part) for part in value]
        elif key in _SINGLE:
            short[key] = _part(value)
        else:
            short[key] = value
    return short


def _part(schema: Any) -> Any:
    return terse(schema) if isinstance(schema, Mapping) else schema
