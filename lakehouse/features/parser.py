"""Qlib's expression syntax to a syntax tree, by precedence climbing; nothing is ever evaluated.

Python's precedence, which Qlib inherits: ``**`` before signs before ``* /`` before ``+ -`` before
``&`` before ``|`` before comparisons, of which there is one: ``$a>$b & $c>$d`` would be a chain.
"""

from __future__ import annotations

from lakehouse.features.build import OURS, Rules, build, number, operator, unknown_field
from lakehouse.features.operators import FIELDS, OPERATORS, SIGNS
from lakehouse.features.syntax import DEPTH, Node, column, label
from lakehouse.features.tokens import Token, refused, tokens

COMPARISONS = frozenset({">", ">=", "<", "<=", "==", "!="})
_BINDING = {"|": 2, "&": 3, "+": 4, "-": 4, "*": 5, "/": 5, "**": 7}
_COMPARISON, _SIGN = 1, 6


def parse(
    text: str,
    *,
    fields: tuple[str, ...] = FIELDS,
    semantics: str = OURS,
    future: bool = False,
) -> Node:
    """Return the tree of an expression; ``future`` lets it refer to later rows, as labels do.

    Raises ``expression_syntax``, ``unknown_name`` or ``lookahead_expression``; each names the
    position (from 0) in ``facts``. Time and depth are bounded whatever the text.
    """
    parser = _Parser(tokens(text), Rules(frozenset(fields), semantics, future))
    node = parser.expression(0)
    parser.end()
    if node.kind in ("constant", "name"):
        raise refused(
            "The expression has no field, so there is nothing to compute.",
            position=0,
            hint="Fields are written $close.",
        )
    return node


class _Parser:
    """Walks over the tokens once; ``_level`` counts open calls, brackets and operators."""

    def __init__(self, found: list[Token], rules: Rules) -> None:
        self._tokens = found
        self._rules = rules
        self._at = 0
        self._level = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def expression(self, least: int) -> Node:
        """Return the tree of what follows, up to an operator that binds less than ``least``."""
        self._level += 1
        if self._level > DEPTH:
            raise self._too_deep()
        left = self._operand()
        compared = chained = False
        while (binding := self._binding()) >= max(least, 1):
            token = self._take()
            if token.text in COMPARISONS:
                if compared:
                    raise self._a_chain(token)
                compared = True
            right = self.expression(binding if token.text == "**" else binding + 1)
            spec = OPERATORS[SIGNS[token.text]]
            left = build(spec, (left, right), token.position, self._rules, chained=chained)
            chained = True
        self._level -= 1
        return self._shallow(left)

    def end(self) -> None:
        """Raise unless every token was read."""
        if self._next.kind != "end":
            raise self._unexpected(self._next)

    def _binding(self) -> int:
        token = self._next
        if token.kind != "sign":
            return 0
        return _COMPARISON if token.text in COMPARISONS else _BINDING.get(token.text, 0)

    def _operand(self) -> Node:
        token = self._take()
        if token.kind == "number":
            return number(float(token.text), token.position)
        if token.kind == "field":
            return self._field(token)
        if token.kind == "text":
            return label(token.text)
        if token.kind == "name":
            return self._call(token)
        if token.text == "(":
            node = self.expression(0)
            self._expect(")", token)
            return node
        if token.text in ("-", "+"):
            return self._signed(token)
        raise self._unexpected(token)

    def _field(self, token: Token) -> Node:
        name = token.text[1:]
        if name not in self._rules.fields:
            raise unknown_field(name, token.position, self._rules.fields)
        return column(name)

    def _signed(self, token: Token) -> Node:
        node = self.expression(_SIGN)
        if token.text == "+":
            return node
        minus = number(-1, token.position)
        return build(OPERATORS["Mul"], (minus, node), token.position, self._rules)

    def _call(self, name: Token) -> Node:
        if self._next.text != "(" or self._next.kind != "sign":
            operator(name.text, name.position)
            raise refused(
                f"{name.text[:64]!r} is an operator and needs its arguments in brackets.",
                position=name.position,
                hint=f"Write {OPERATORS[name.text].signature}.",
            )
        spec = operator(name.text, name.position)
        opening = self._take()
        args = [self.expression(0)] if self._next.text != ")" else []
        while self._next.text == "," and len(args) <= len(spec.arguments):
            self._take()
            args.append(self.expression(0))
        if self._next.text != ",":
            self._expect(")", opening)
        return build(spec, tuple(args), name.position, self._rules)

    def _expect(self, sign: str, opening: Token) -> None:
        token = self._take()
        if token.kind != "sign" or token.text != sign:
            raise refused(
                f"The bracket opened at position {opening.position} is not closed before "
                f"{token.text or 'the end'!r} at position {token.position}.",
                position=token.position,
                hint="Close every bracket, and put an operator between two operands.",
            )

    def _shallow(self, node: Node) -> Node:
        if node.depth > DEPTH:
            raise self._too_deep()
        return node

    def _too_deep(self) -> Exception:
        return refused(
            f"The expression is nested deeper than {DEPTH} levels.",
            position=self._tokens[min(self._at, len(self._tokens) - 1)].position,
            hint="Split it into several features.",
        )

    def _unexpected(self, token: Token) -> Exception:
        what = "The expression ends" if token.kind == "end" else f"{token.text[:24]!r} stands"
        return refused(
            f"{what} at position {token.position} where something else is needed.",
            position=token.position,
            hint="An operand is a $field, a number, a call like Mean($close, 5), or in brackets.",
        )

    def _a_chain(self, token: Token) -> Exception:
        return refused(
            f"{token.text!r} at position {token.position} is a second comparison in a row.",
            position=token.position,
            hint="Put each comparison in parentheses: ($a > $b) & ($c > $d).",
        )
