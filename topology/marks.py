"""Read YAML strictly, remembering where everything stands.

A small YAML: mappings with unique text keys, lists, text, plain decimal numbers, true, false and
null. Anchors, tags, merge keys, tabs and words that YAML quietly turns into something else
(``no``, dates, ``0x10``, ``1:30``) are problems with a line and a column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

_DEEPEST = 40
_PREFIX = "tag:yaml.org,2002:"
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+(e[+-]?[0-9]+)?")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "": None, "~": None}
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_ODD = {
    "str": "holds a character that no text may hold here",
    "bool": "YAML reads this word as a boolean: write true or false, or quote it",
    "timestamp": "YAML reads this as a date: quote it",
    "int": "YAML reads this as a number in an unusual base: write it in decimal, or quote it",
    "float": "YAML reads this as an unusual number: write it in decimal, or quote it",
    "null": "YAML reads this word as null: write null, or quote it",
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong at a place: one-based line and column, a path of keys, and a sentence."""

    line: int
    column: int
    path: str
    text: str


@dataclass(slots=True)
class Document:
    """What a file holds, where each path of it stands, and what is wrong with it."""

    data: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> tuple[int, int]:
        """Return line and column of ``path``, of its key where it has one, else of its parent."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.keys.get(path) or self.marks.get(path, (1, 1))


def dotted(path: Path) -> str:
    """Return ``servers.data.scopes[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str) -> Document:
    """Return the document of ``text``; only its problems when the syntax is broken."""
    document = Document()
    _refuse_tabs(text, document)
    if document.problems:
        return document
    try:
        _refuse_anchors(text, document)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = " ".join(str(error.problem or "not YAML").split())
        document.problems.append(Problem(line, column, "", f"not valid YAML: {what}"))
    except (yaml.YAMLError, RecursionError):
        document.problems.append(Problem(1, 1, "", "not valid YAML: odd characters or nesting"))
    else:
        if isinstance(node, yaml.MappingNode):
            document.data = _build(node, (), document)
        else:
            document.problems.append(Problem(1, 1, "", "must be a mapping of sections"))
    return document


def _refuse_tabs(text: str, document: Document) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent and line.strip():
            column = indent.index("\t") + 1
            document.problems.append(Problem(number, column, "", "a tab: indent with spaces"))


def _refuse_anchors(text: str, document: Document) -> None:
    kinds = {
        yaml.AnchorToken: "an anchor: write the value out",
        yaml.AliasToken: "an alias: write the value out",
        yaml.TagToken: "a tag: plain values only",
    }
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if type(token) in kinds:
            mark = token.start_mark
            problem = Problem(mark.line + 1, mark.column + 1, "", kinds[type(token)])
            document.problems.append(problem)


def _build(node: yaml.Node, path: Path, document: Document) -> Any:
    document.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if len(path) > _DEEPEST:
        _complain(node, path, "nested too deep", document)
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, i), document) for i, item in enumerate(node.value)]
    return _scalar(node, path, document)


def _mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag != f"{_PREFIX}str" or _UNREADABLE.search(key.value):
            shown = key.value if isinstance(key, yaml.ScalarNode) else "this key"
            _complain(key, path, f"{shown!r} is not a text key: quote it", document)
            continue
        inner = (*path, key.value)
        if key.value in held:
            first = document.keys[inner][0]
            _complain(key, inner, f"the same key stands in line {first}", document)
            continue
        document.keys[inner] = (key.start_mark.line + 1, key.start_mark.column + 1)
        held[key.value] = _build(value, inner, document)
    return held


def _scalar(node: yaml.Node, path: Path, document: Document) -> Any:
    text, kind = str(node.value), node.tag.removeprefix(_PREFIX)
    if kind == "str" and not _UNREADABLE.search(text):
        return text
    if kind in {"bool", "null"} and text in _WORDS:
        return _WORDS[text]
    if kind == "int" and _INT.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    _complain(node, path, _ODD.get(kind, "plain values only"), document)
    return _UNREADABLE.sub("", text)


def _complain(node: yaml.Node, path: Path, text: str, document: Document) -> None:
    mark = node.start_mark
    document.problems.append(Problem(mark.line + 1, mark.column + 1, dotted(path), text))
