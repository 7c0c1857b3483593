"""Named sets by their members: the features and the labels of `lakehouse.features.sets`."""

from __future__ import annotations

from lakehouse.features.sets import SETS


def expressions(name: str) -> dict[str, str]:
    """Return the features of a named set, name to expression, in the set's order."""
    return SETS.load(name)()[0]


def labels(name: str) -> dict[str, str]:
    """Return the labels of a named set, name to expression."""
    return SETS.load(name)()[1]
