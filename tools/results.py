"""Results that fit into a conversation: capped previews, and links to the whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

MOST_CHARACTERS = 50_000
"""Characters of JSON that a preview may take; a model pays for each of them."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where the whole of a result can be read, as an MCP resource."""

    uri: str
    name: str
    title: str = ""
    mime: str = "application/json"


@runtime_checkable
class Linked(Protocol):
    """A result model with ``links()``: the server adds them to the answer as resource links."""

    def links(self) -> Sequence[Link]:
        """Return the resources that hold more than this result shows."""


@runtime_checkable
class Told(Protocol):
    """A result model with ``told()``: what a model reads, where the JSON is for a page to draw."""

    def told(self) -> str:
        """Return the result in words and small tables."""
        ...


def preview(
    rows: Iterable[Any], *, most_rows: int, most_characters: int = MOST_CHARACTERS
) -> tuple[list[Any], bool]:
    """Return the first rows that fit both caps, and whether anything was left out.

    Rows are JSON values. The first row is kept even where it alone is too long: an empty preview of
    something would read as nothing.
    """
    kept: list[Any] = []
    characters = 0
    for row in rows:
        characters += _length(row)
        if len(kept) >= most_rows or (kept and characters > most_characters):
            return kept, True
        kept.append(row)
    return kept, False


def _length(row: Any) -> int:
    return len(json.dumps(row, default=str, ensure_ascii=False))
