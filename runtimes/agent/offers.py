"""A held tool as a model sees it: its schema without what the toolbox fills in itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtimes.gateway import schema
from runtimes.specs.agency import EFFECTS, HeldTool
from runtimes.specs.held import effect_of, schema_sha256
from topology.errors import BadInputError, FaultError

AS_OF, DISPATCH_KEY = "as_of", "dispatch_key"
HIDDEN = (AS_OF, DISPATCH_KEY)
"""Arguments that no model sees: when it is, and the key that makes a submission happen once."""


class ToolDriftError(FaultError):
    """A tool is not what it was when the spec was locked."""

    code = "tool_drift"


@dataclass(frozen=True, slots=True)
class Offer:
    """One held tool and the server's description of it."""

    tool: HeldTool
    wire: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the name that the model calls."""
        return f"{self.tool.server}_{self.tool.name}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the input schema without hidden arguments."""
        whole = dict(self.wire.get("inputSchema") or {"type": "object", "properties": {}})
        shown = {k: v for k, v in whole.get("properties", {}).items() if k not in HIDDEN}
        whole["properties"] = shown
        if "required" in whole:
            whole["required"] = [key for key in whole["required"] if key not in HIDDEN]
        return whole

    def takes(self, argument: str) -> bool:
        """Tell whether the server's tool has an argument of this name."""
        return argument in (self.wire.get("inputSchema") or {}).get("properties", {})

    def function(self) -> dict[str, Any]:
        """Return it as the wire of chat completions has it."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": str(self.wire.get("description") or ""),
                "parameters": self.parameters,
            },
        }

    def read(self, text: str) -> dict[str, Any]:
        """Return a model's arguments; what is no JSON object or breaks the schema raises.

        The error is for the model: it says where and what, so that it can try again.
        """
        try:
            given = schema.parsed(text or "{}")
        except ValueError as error:
            raise _wrong(self.name, "", "this is no JSON") from error
        if not isinstance(given, dict):
            raise _wrong(self.name, "", "arguments are one JSON object")
        found = schema.problem(self.parameters, given)
        if found is not None:
            raise _wrong(self.name, *found)
        return given


def offer(tool: HeldTool, listed: Sequence[Mapping[str, Any]], *, as_of: bool) -> Offer:
    """Return the offer of a held tool, from what its server lists.

    One that is gone, has changed or does more than the spec says raises ``tool_drift``. In a run
    with an as-of a tool that cannot be asked as of a time is refused: it would tell of later.
    """
    wire = next((one for one in listed if one.get("name") == tool.name), None)
    if wire is None:
        raise _drift(tool, "is not offered", None)
    found = schema_sha256(wire)
    if tool.schema_sha256 is not None and found != tool.schema_sha256:
        raise _drift(tool, "has changed since the spec was locked", found)
    if tool.effect is not None and EFFECTS.index(tool.effect) < EFFECTS.index(effect_of(wire)):
        raise _drift(tool, f"may do more than {tool.effect!r}", found)
    made = Offer(tool, wire)
    if as_of and not made.takes(AS_OF):
        raise BadInputError(
            f"The tool {tool.full!r} cannot be asked as of a time, but the run has one.",
            hint="Leave it out, or set data.mode: live.",
            tool=tool.full,
        )
    return made


def _drift(tool: HeldTool, what: str, found: str | None) -> ToolDriftError:
    return ToolDriftError(
        f"The tool {tool.full!r} {what}.",
        hint="Look at the difference, then lock the spec again: a new version.",
        tool=tool.full,
        locked=tool.schema_sha256,
        found=found,
    )


def _wrong(name: str, pointer: str, problem: str) -> BadInputError:
    return BadInputError(
        f"{name}: {problem}",
        hint=f"Correct {pointer or 'the arguments'} and call it again.",
        code="invalid_arguments",
        pointer=pointer or "/",
    )


def text_of(result: Mapping[str, Any], *, most: int) -> str:
    """Return a tool's result as the model reads it, cut at ``most`` characters with a note."""
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= most:
        return text
    return f"{text[:most]}... (cut: {len(text)} characters; ask for less)"
