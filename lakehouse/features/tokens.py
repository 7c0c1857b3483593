"""Text to tokens by an allow-list of ASCII shapes: what is not listed here does not exist."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from lakehouse.errors import ExpressionSyntaxError
from lakehouse.features.syntax import LETTERS

TokenKind = Literal["number", "field", "name", "text", "sign", "end"]
_SHAPES = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<field>\$[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9]*)"
    r"|'(?P<text>[A-Za-z0-9.^_-]{1,64})'"
    r'|"(?P<quoted>[A-Za-z0-9.^_-]{1,64})"'
    r"|(?P<sign>\*\*|>=|<=|==|!=|[-+*/(),<>&|])",
    re.ASCII,
)
_SHOWN = 24


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression and where it begins, counted from 0."""

    kind: TokenKind
    text: str
    position: int


def tokens(text: str) -> list[Token]:
    """Return the tokens of an expression, the last one of kind ``end``.

    ``expression_syntax`` names the first character that begins nothing known, or says that the
    text is too long to be an expression.
    """
    if len(text) > LETTERS:
        raise refused(
            f"An expression has at most {LETTERS} characters; this one has {len(text)}.",
            position=LETTERS,
            hint="Split it into several features.",
        )
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _SHAPES.match(text, position)
        if match is None:
            raise _stranger(text, position)
        if (kind := match.lastgroup) != "space":
            piece = match[kind or 0]
            found.append(Token(_KINDS[kind or ""], piece, position))
        position = match.end()
    return [*found, Token("end", "", len(text))]


_KINDS: dict[str, TokenKind] = {
    "number": "number",
    "field": "field",
    "name": "name",
    "text": "text",
    "quoted": "text",
    "sign": "sign",
}
_HINTS = {
    "$": "$$field is a point-in-time field of Qlib; the lake has $field only.",
    "=": "Compare with ==.",
    "!": "Write Not(x), or != for unequal.",
    "~": "Write Not(x).",
    "^": "Write ** for a power.",
    "%": "There is no remainder operator.",
    "[": "There is no indexing; Ref(x, N) looks N rows back.",
    ".": "There are no attributes and no modules here.",
    "_": "Names that begin with an underscore do not exist here.",
    "'": "A text is a symbol such as 'SPY.NYSE', as ChangeInstrument takes it.",
    '"': "A text is a symbol such as 'SPY.NYSE', as ChangeInstrument takes it.",
}


def refused(
    problem: str, *, position: int, hint: str, value: str | None = None
) -> ExpressionSyntaxError:
    """Return the error for a place in an expression; positions count from 0."""
    shown: dict[str, Any] = {} if value is None else {"value": value[:_SHOWN]}
    return ExpressionSyntaxError(problem, hint=hint, position=position, **shown)


def _stranger(text: str, position: int) -> ExpressionSyntaxError:
    letter = text[position]
    shown = letter if letter.isascii() and letter.isprintable() else f"U+{ord(letter):04X}"
    return refused(
        f"The character {shown!r} at position {position} has no meaning in an expression.",
        position=position,
        hint=_HINTS.get(letter, "Expressions are made of $fields, numbers, + - * / ** and calls."),
        value=shown,
    )
