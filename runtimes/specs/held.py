"""What a server says of a tool, cut to what an agent relies on, and its hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtimes.specs.agency import Effect
from topology.canonical import sha256

_KEPT = ("name", "description", "inputSchema", "outputSchema", "annotations")


def cut(wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a tool's wire form that its hash covers."""
    return {key: wire[key] for key in _KEPT if wire.get(key) is not None}


def schema_sha256(wire: Mapping[str, Any]) -> str:
    """Return the hash of a tool's wire form (RFC 8785); icons and ``_meta`` may change freely."""
    return sha256(cut(wire))


def effect_of(wire: Mapping[str, Any]) -> Effect:
    """Return what a call may do, by the tool's annotations; what says nothing is destructive."""
    hints = wire.get("annotations") or {}
    if hints.get("readOnlyHint") is True:
        return "read"
    return "write" if hints.get("destructiveHint") is False else "destructive"
