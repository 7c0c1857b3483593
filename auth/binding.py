"""One action, hashed: what a bound token allows, and what the person saw when it was granted.

A token of class *bound* carries ``authorization_details`` (RFC 9396) with the SHA-256 of the
RFC 8785 JSON of ``{tool, arguments}``. The gate computes the same from the call, and lets the
token's ``jti`` through once. A client that cannot send such details just tries: the gate notes the
refused action, and the issuer takes it from there when the person signs in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topology.canonical import canonical, sha256

TYPE = "alphaswarm_action"
REMEMBERED_S = 300
"""How long a refused action waits for the person to sign in."""
_LONGEST = 4096
"""Bytes of an action that a person can still read on a page."""


@dataclass(frozen=True, slots=True)
class Action:
    """A tool and its arguments; ``text`` is their canonical JSON."""

    tool: str
    text: str

    @classmethod
    def of(cls, tool: str, arguments: Mapping[str, Any] | None) -> Action:
        """Return the action of a call; what has no canonical JSON raises `BadInputError`."""
        text = canonical({"tool": tool, "arguments": dict(arguments or {})}).decode()
        return cls(tool, text)

    @property
    def sha256(self) -> str:
        """The hash that a token names."""
        return sha256(json.loads(self.text))

    @property
    def readable(self) -> bool:
        """Tell whether a person can be asked about all of it."""
        return len(self.text) <= _LONGEST

    def details(self) -> list[dict[str, str]]:
        """Return the claim ``authorization_details`` of a token for this action."""
        return [{"type": TYPE, "action_sha256": self.sha256}]


def parse_details(text: str) -> Action | None:
    """Return the action that a client's ``authorization_details`` parameter names, None for none.

    One object of our type with ``tool`` and ``arguments``; anything else raises ValueError.
    """
    if not text:
        return None
    found = json.loads(text)
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        msg = "authorization_details must be a list of one object"
        raise ValueError(msg)
    one = found[0]
    arguments = one.get("arguments", {})
    if one.get("type") != TYPE or not isinstance(one.get("tool"), str):
        msg = f"authorization_details must be of type {TYPE} and name a tool"
        raise ValueError(msg)
    if not isinstance(arguments, dict):
        msg = "arguments must be an object"
        raise ValueError(msg)  # noqa: TRY004  one kind of error for one kind of input
    return Action.of(one["tool"], arguments)


def bound_to(details: object) -> str:
    """Return the action hash in a token's ``authorization_details``, empty where there is none."""
    if not isinstance(details, list | tuple) or len(details) != 1:
        return ""
    one = details[0]
    if not isinstance(one, Mapping) or one.get("type") != TYPE:
        return ""
    return str(one.get("action_sha256", ""))
