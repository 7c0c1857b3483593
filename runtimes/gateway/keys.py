"""The identity of a request: what was asked of which model, as canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.gateway.words import LLMRequest
from topology.canonical import canonical
from topology.models import Model

VERSION = 1


def request_bytes(request: LLMRequest, model: Model) -> bytes:
    """Return the RFC 8785 bytes of everything that can change the answer.

    The alias, the address and the credential are left out: a model may move. Model, weights and
    parameters are in, so that another model never answers from this one's record.
    """
    return canonical(
        {
            "v": VERSION,
            "provider": model.provider,
            "model": model.model,
            "weights_sha256": model.weights_sha256,
            **body_of(request),
        }
    )


def digest(request: bytes) -> str:
    """Return the key of a request: lower-case hex SHA-256."""
    return hashlib.sha256(request).hexdigest()


def body_of(request: LLMRequest) -> dict[str, Any]:
    """Return the request as the wire takes it, without the model's name."""
    body: dict[str, Any] = {
        "messages": [dict(message) for message in request.messages],
        "max_tokens": request.max_tokens,
        **request.params,
    }
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    if request.output_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "schema": dict(request.output_schema),
                "strict": True,
            },
        }
    if request.seed is not None:
        body["seed"] = request.seed
    return body


def first_difference(recorded: bytes, asked: bytes) -> str:
    """Return the path of the first value that differs between two canonical requests."""
    return _differs(json.loads(recorded), json.loads(asked), "$") or "$"


def _differs(one: Any, other: Any, path: str) -> str | None:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                return f"{path}.{key}"
            if found := _differs(one[key], other[key], f"{path}.{key}"):
                return found
        return None
    if _is_list(one) and _is_list(other):
        for index, (left, right) in enumerate(zip(one, other, strict=False)):
            if found := _differs(left, right, f"{path}[{index}]"):
                return found
        return None if len(one) == len(other) else f"{path}[{min(len(one), len(other))}]"
    return None if one == other and type(one) is type(other) else path


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
