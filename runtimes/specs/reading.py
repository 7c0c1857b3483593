"""Text to plain data: YAML or JSON of bounded size and depth, and nothing is ever executed.

Built on the parser's events, so there is no recursion to overflow and no tag to construct.
Scalars follow JSON and the YAML 1.2 core schema: ``no`` and ``2001-01-01`` stay text, ``1_000``
too. Duplicate keys, anchors, aliases, tags and second documents are refused where they stand.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from topology.errors import InvalidSpecError

BYTES = 262_144
DEPTH = 64
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_DIGITS = 400
_Loader = getattr(yaml, "CLoader", yaml.Loader)


def refuse(problem: str, *, path: str = "", value: Any = None, hint: str = "") -> InvalidSpecError:
    """Return the error for a text that cannot become a spec."""
    return InvalidSpecError(
        problem,
        hint=hint or "Write the spec as plain YAML or JSON.",
        errors=[{"path": path, "value": value, "problem": problem}],
    )


def read(text: str, *, limit: int = BYTES, depth: int = DEPTH) -> Any:
    """Return the plain data of one YAML or JSON document, else raise `InvalidSpecError`."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise refuse("This is not text: it holds half a character.") from None
    if size > limit:
        raise _too_large(size, limit)
    if text.lstrip().startswith("{"):
        with_json = _json(text)
        if with_json is not None:
            measure(with_json, limit=limit, depth=depth)
            return with_json
    try:
        return _build(yaml.parse(text, Loader=_Loader), depth)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the text"
        problem = str(getattr(error, "problem", None) or "a character that YAML does not allow")
        raise refuse(f"This is not YAML: {problem} at {place}.") from None


def measure(data: Any, *, limit: int = BYTES, depth: int = DEPTH) -> None:
    """Raise `InvalidSpecError` if plain ``data`` is nested deeper or larger than allowed."""
    waiting: list[tuple[Any, int]] = [(data, 0)]
    size = 0
    while waiting:
        value, level = waiting.pop()
        if level > depth:
            raise _too_deep(depth)
        size += len(value) if isinstance(value, str) else 4
        if isinstance(value, dict):
            waiting.extend((item, level + 1) for pair in value.items() for item in pair)
        elif isinstance(value, list | tuple):
            waiting.extend((item, level + 1) for item in value)
        if size > limit:
            raise _too_large(size, limit)


def _json(text: str) -> Any:
    """Return the JSON value, or None where the text may still be YAML."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except ValueError:
        return None
    except RecursionError:
        raise _too_deep(DEPTH) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise refuse(f"The key {twice[:64]!r} stands twice.", path=twice[:64], hint="Keep one.")
    return data


def _build(events: Iterator[Any], depth: int) -> Any:
    """Build the value of one document from parser events."""
    builder = _Builder(depth)
    documents = 0
    for event in events:
        _refuse_extras(event)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise refuse("There is more than one document.", hint="Keep one spec per file.")
        elif isinstance(event, yaml.MappingStartEvent):
            builder.open({})
        elif isinstance(event, yaml.SequenceStartEvent):
            builder.open([])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            builder.close()
        elif isinstance(event, yaml.ScalarEvent):
            builder.scalar(event)
    return builder.root


def _refuse_extras(event: Any) -> None:
    place = f"line {event.start_mark.line + 1}" if event.start_mark else "the text"
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise refuse(f"Anchors and aliases are not allowed ({place}).", hint="Write it out.")
    if getattr(event, "tag", None):
        raise refuse(f"Tags are not allowed ({place}).", value=str(event.tag)[:64])


class _Builder:
    """A stack of open mappings and sequences; a mapping waits for a key, then for its value."""

    def __init__(self, depth: int) -> None:
        self.root: Any = None
        self._depth = depth
        self._stack: list[tuple[Any, list[str]]] = []

    def open(self, container: Any) -> None:
        if len(self._stack) >= self._depth:
            raise _too_deep(self._depth)
        self._place(container)
        self._stack.append((container, []))

    def close(self) -> None:
        self._stack.pop()

    def scalar(self, event: Any) -> None:
        if self._stack and isinstance(self._stack[-1][0], dict) and not self._stack[-1][1]:
            self._key(event)
        else:
            self._place(event.value if not event.implicit[0] else _resolve(event.value))

    def _key(self, event: Any) -> None:
        container, keys = self._stack[-1]
        if event.value in container:
            line = event.start_mark.line + 1
            key = event.value[:64]
            raise refuse(f"The key {key!r} stands twice (line {line}).", path=key, hint="Keep one.")
        keys.append(event.value)

    def _place(self, value: Any) -> None:
        if not self._stack:
            self.root = value
            return
        container, keys = self._stack[-1]
        if isinstance(container, list):
            container.append(value)
        elif keys:
            container[keys.pop()] = value
        else:
            raise refuse("A key must be plain text.", hint="Lists and mappings cannot be keys.")


def _resolve(text: str) -> Any:
    """Return the value of an unquoted scalar by the YAML 1.2 core schema, without octals."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return math.nan if "a" in text.lower() else math.copysign(math.inf, -(text[0] == "-") or 1)
    return text


def _too_large(size: int, limit: int) -> InvalidSpecError:
    return refuse(
        f"The spec has {size} bytes or more; {limit} are allowed.",
        value=size,
        hint="Move data into tables and name them in the spec.",
    )


def _too_deep(depth: int) -> InvalidSpecError:
    return refuse(f"The spec is nested deeper than {depth} levels.", hint="Flatten it.")
