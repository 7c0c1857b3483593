"""The syntax tree of an expression: frozen nodes that know their canonical text.

The canonical text is RFC 8785 JSON, nested lists such as ``["Mean",["$","close"],5]``; two
expressions are the same when their texts are, and its SHA-256 is an expression's identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from topology.canonical import canonical

DEPTH = 32
"""Levels of calls, brackets and operators; a chain such as ``a+b+c`` is one level."""
NODES = 500
"""Nodes of one expression."""
TOTAL = 10_000
"""Nodes of all expressions of a feature set."""
LETTERS = 8_000
"""Characters of one expression."""
LONGEST = 2_520
"""Rows of the longest window: ten years of days."""

FIELD, NUMBER, NAME = "$", "#", "@"
Kind = Literal["number", "condition", "constant", "name"]
"""What a node yields: a series of numbers or of truths, or is itself a constant or a name."""


@dataclass(frozen=True)
class Node:
    """A call of an operator, a field (``$``), a constant (``#``) or a symbol's name (``@``).

    ``value`` is the constant or the name. Nodes compare by ``text``, their canonical JSON.
    """

    op: str = field(compare=False)
    text: str
    kind: Kind = field(compare=False)
    args: tuple[Node, ...] = field(default=(), compare=False, repr=False)
    value: float | int | str | None = field(default=None, compare=False)
    size: int = field(default=1, compare=False, repr=False)
    depth: int = field(default=1, compare=False, repr=False)

    @cached_property
    def sha256(self) -> str:
        """Return the lower-case hex SHA-256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def walk(self) -> Iterator[Node]:
        """Yield every distinct node below and this one, arguments before what uses them."""
        seen: set[str] = set()
        waiting: list[tuple[Node, bool]] = [(self, False)]
        while waiting:
            node, ready = waiting.pop()
            if node.text in seen:
                continue
            if ready or not node.args:
                seen.add(node.text)
                yield node
            else:
                waiting.append((node, True))
                waiting.extend((argument, False) for argument in reversed(node.args))

    @property
    def fields(self) -> frozenset[str]:
        """Return the names of the fields that the expression reads."""
        return frozenset(str(node.value) for node in self.walk() if node.op == FIELD)


def column(name: str) -> Node:
    """Return the node of a field, ``$name``."""
    return Node(FIELD, f'["$",{_json(name)}]', "number", value=name)


def constant(value: float) -> Node:
    """Return the node of a number."""
    return Node(NUMBER, _json(value), "constant", value=value)


def label(name: str) -> Node:
    """Return the node of a symbol's name."""
    return Node(NAME, _json(name), "name", value=name)


def call(op: str, args: tuple[Node, ...], kind: Kind, *, chained: bool = False) -> Node:
    """Return the node of an operator; a ``chained`` one stands beside its first argument."""
    text = f"[{','.join([_json(op), *(argument.text for argument in args)])}]"
    first = args[0].depth - 1 if chained else args[0].depth
    depth = 1 + max([first, *(argument.depth for argument in args[1:])])
    return Node(op, text, kind, args, size=1 + sum(a.size for a in args), depth=depth)


def _json(value: float | str) -> str:
    return canonical(value).decode()
