"""A feature set: named expressions under one semantics, checked all at once and hashed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lakehouse.features.build import OURS, SEMANTICS
from lakehouse.features.operators import FIELDS, OPERATORS
from lakehouse.features.parser import parse
from lakehouse.features.reach import EVERYTHING, Reach, reach
from lakehouse.features.syntax import TOTAL, Node
from topology.canonical import sha256
from topology.errors import AlphaSwarmError, BadInputError, UnknownNameError, did_you_mean, nearest

LANGUAGE = 1
"""Version of the language: raised when an expression's value changes without its text."""
FEATURES = 1_000
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
TAKEN = frozenset({"vt_symbol", "timestamp", "run_id", "known_at"})
"""Columns that every feature table has of its own."""


@dataclass(frozen=True)
class FeatureSet:
    """Features and labels by name, in order, each a tree; one ``semantics`` for all."""

    features: Mapping[str, Node]
    labels: Mapping[str, Node]
    semantics: str

    @property
    def names(self) -> list[str]:
        """Return the names of features and labels, in order."""
        return [*self.features, *self.labels]

    def body(self) -> dict[str, Any]:
        """Return the JSON that is hashed: trees, semantics, and the versions of all they use."""
        used = {part.op for node in self._nodes() for part in node.walk()} & OPERATORS.keys()
        return {
            "language": LANGUAGE,
            "semantics": self.semantics,
            "operators": {name: OPERATORS[name].version for name in sorted(used)},
            "features": [[name, node.text] for name, node in self.features.items()],
            "labels": [[name, node.text] for name, node in self.labels.items()],
        }

    @cached_property
    def sha256(self) -> str:
        """Return the hash that names this set, whatever data it is computed on."""
        return sha256(self.body())

    @cached_property
    def fields(self) -> frozenset[str]:
        """Return the fields that any expression reads."""
        return frozenset().union(*(node.fields for node in self._nodes()))

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Return the symbols that expressions name themselves."""
        return frozenset(
            str(part.value) for node in self._nodes() for part in node.walk() if part.op == "@"
        )

    @cached_property
    def anchors(self) -> dict[int | None, dict[str, Node]]:
        """Return the expressions by the look-back at which their computation begins, if any."""
        groups: dict[int | None, dict[str, Node]] = {}
        for name, node in {**self.features, **self.labels}.items():
            seen = reach(node, self.semantics)
            back = seen.back if seen.anchored and seen.back != EVERYTHING else None
            groups.setdefault(back, {})[name] = node
        return groups

    @cached_property
    def reach(self) -> Reach:
        """Return how far the expressions see together."""
        reaches = [reach(node, self.semantics) for node in self._nodes()]
        backs = [r.back for r in reaches]
        return Reach(
            EVERYTHING if EVERYTHING in backs else max(backs),
            max(r.ahead for r in reaches),
            any(r.anchored for r in reaches),
            any(r.across for r in reaches),
        )

    @property
    def lookback(self) -> int:
        """Return the rows before a row that shape it; `reach.EVERYTHING` (-1) for all."""
        return self.reach.back

    def _nodes(self) -> list[Node]:
        return [*self.features.values(), *self.labels.values()]


def compose(
    features: Mapping[str, str],
    *,
    labels: Mapping[str, str] | None = None,
    semantics: str = OURS,
    fields: tuple[str, ...] = FIELDS,
) -> FeatureSet:
    """Return the set of these expressions; only ``labels`` may refer to later rows.

    Raises the error of the first fault; ``facts["errors"]`` lists all of them with path, value,
    problem, position and nearest names. A name is a letter and up to 63 letters, digits, ``_``.
    """
    if semantics not in SEMANTICS:
        raise UnknownNameError(
            f"No semantics is called {semantics[:64]!r}.",
            hint=did_you_mean(semantics[:64], SEMANTICS),
            nearest=nearest(semantics[:64], SEMANTICS),
        )
    later = dict(labels or {})
    _refuse_number(len(features) + len(later))
    faults: list[tuple[str, str, AlphaSwarmError]] = []
    trees: dict[str, dict[str, Node]] = {"expressions": {}, "labels": {}}
    taken: set[str] = set()
    for group, members in (("expressions", features), ("labels", later)):
        for name, text in members.items():
            try:
                _refuse_name(name, taken)
                trees[group][name] = parse(
                    text, fields=fields, semantics=semantics, future=group == "labels"
                )
            except AlphaSwarmError as error:
                faults.append((f"{group}.{name[:64]}", text, error))
    if faults:
        raise _together(faults)
    composed = FeatureSet(trees["expressions"], trees["labels"], semantics)
    _refuse_size(composed)
    return composed


def _together(faults: list[tuple[str, str, AlphaSwarmError]]) -> AlphaSwarmError:
    errors = [
        {
            "path": path,
            "value": text[:80],
            "code": error.wire_code,
            "problem": f"{error.message} {error.hint}".strip(),
        }
        | {key: error.facts[key] for key in ("position", "nearest") if key in error.facts}
        for path, text, error in faults[:50]
    ]
    path, _, first = faults[0]
    facts = {**first.facts, "path": path, "errors": errors}
    return type(first)(f"{path}: {first.message}", hint=first.hint, **facts)


def _refuse_name(name: str, taken: set[str]) -> None:
    """Raise unless the name is good and new; tables do not tell `MA5` from `ma5`."""
    if not NAME.fullmatch(name) or name.lower() in TAKEN:
        raise BadInputError(
            f"{name[:64]!r} cannot be the name of a feature.",
            hint="Use a letter, then up to 63 letters, digits or _, and no column's name.",
            value=name[:64],
        )
    if name.lower() in taken:
        raise BadInputError(
            f"Two expressions are called {name!r}, whatever their case.",
            hint="Rename one.",
            value=name,
        )
    taken.add(name.lower())


def _refuse_number(count: int) -> None:
    if not 1 <= count <= FEATURES:
        raise BadInputError(
            f"A feature set has 1 to {FEATURES} expressions; this one has {count}.",
            hint="Name at least one expression, and split what is larger.",
            value=count,
        )


def _refuse_size(composed: FeatureSet) -> None:
    size = sum(node.size for node in [*composed.features.values(), *composed.labels.values()])
    if size > TOTAL:
        raise BadInputError(
            f"The expressions have {size} nodes together; {TOTAL} are allowed.",
            hint="Split the set.",
            value=size,
        )
