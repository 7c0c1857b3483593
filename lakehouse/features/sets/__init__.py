"""Named feature sets, each a module that lists expressions and labels in order."""

from __future__ import annotations

from collections.abc import Callable

from topology.registry import Registry

SETS: Registry[Callable[[], tuple[dict[str, str], dict[str, str]]]] = Registry(
    "feature set",
    {
        "alpha158": "lakehouse.features.sets.alpha158:members",
        "alpha360": "lakehouse.features.sets.alpha360:members",
    },
)
"""A set's name to the function that returns its features and its labels as text."""
