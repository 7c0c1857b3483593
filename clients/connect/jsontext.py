"""Edits of JSON text that leave every other byte as it was.

Settings belong to somebody else: their indentation, order and line ends are kept, and what is not
plain JSON is not touched.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object, by places in the text: ``text[key_at:value_at]`` is its key."""

    key: str
    key_at: int
    value_at: int
    end: int


def members(text: str, at: int) -> list[Member]:
    """Return the members of the object that begins at ``text[at]``, in their order."""
    found: list[Member] = []
    place = _skip(text, at + 1)
    while text[place] != "}":
        key_at = place
        key, place = scanstring(text, place + 1)
        value_at = _skip(text, _skip(text, place) + 1)
        end = _DECODER.raw_decode(text, value_at)[1]
        found.append(Member(key, key_at, value_at, end))
        place = _skip(text, end)
        place = _skip(text, place + 1) if text[place] == "," else place
    return found


def root(text: str) -> int:
    """Return where the object of a whole JSON text begins; raises ValueError for anything else.

    So does a key that stands twice: readers differ in which of both they take.
    """
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    json.loads(text[start:], object_pairs_hook=_once)
    if text[start] != "{":
        msg = "the file is not a JSON object"
        raise ValueError(msg)
    return start


def find(text: str, at: int, key: str) -> Member | None:
    """Return the member called ``key`` of the object at ``at``."""
    return next((member for member in members(text, at) if member.key == key), None)


def put(text: str, at: int, key: str, value: Any) -> str:
    """Return the text with ``key`` set in the object at ``at``: replaced in its place, or last."""
    found, outer = find(text, at, key), _indent(text, at)
    line = "\r\n" if "\r\n" in text else "\n"
    inner = _inner(text, at) or outer + _unit(text)
    body = json.dumps(value, indent=_unit(text), ensure_ascii=False).replace("\n", line + inner)
    if found is not None:
        return text[: found.value_at] + body + text[found.end :]
    entry = f"{line}{inner}{json.dumps(key, ensure_ascii=False)}: {body}"
    existing = members(text, at)
    if existing:
        end = existing[-1].end
        return f"{text[:end]},{entry}{text[end:]}"
    closing = text.index("}", at)
    return f"{text[: at + 1]}{entry}{line}{outer}{text[closing:]}"


def drop(text: str, at: int, key: str) -> str:
    """Return the text without ``key`` in the object at ``at``, and without its comma."""
    existing = members(text, at)
    place = next((i for i, member in enumerate(existing) if member.key == key), None)
    if place is None:
        return text
    gone = existing[place]
    if len(existing) == 1:
        return text[: at + 1] + text[text.index("}", gone.end) :]
    if place == 0:
        return text[: gone.key_at] + text[existing[1].key_at :]
    return text[: existing[place - 1].end] + text[gone.end :]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        msg = f"the key {twice!r} stands twice"
        raise ValueError(msg)
    return found


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _indent(text: str, at: int) -> str:
    """Return the white space that begins the line of ``text[at]``."""
    start = text.rfind("\n", 0, at) + 1
    found = re.match(r"[ \t]*", text[start:at])
    return found.group() if found else ""


def _inner(text: str, at: int) -> str:
    """Return the indentation of the object's own members, empty where they share its line."""
    existing = members(text, at)
    return (
        _indent(text, existing[0].key_at)
        if existing and "\n" in text[at : existing[0].key_at]
        else ""
    )


def _unit(text: str) -> str:
    """Return one step of indentation as the file uses it; two spaces where it has none."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found.group(1) if found else "  "
