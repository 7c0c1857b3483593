"""The one extension mechanism: a family of named members that load on first use."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from topology.errors import UnknownNameError, did_you_mean, nearest

Member = TypeVar("Member")


class Registry(Generic[Member]):
    """Names mapped to ``"package.module:attribute"`` of the family's own package."""

    def __init__(self, family: str, members: Mapping[str, str]) -> None:
        self.family = family
        self._members = dict(members)
        self._loaded: dict[str, Member] = {}

    def load(self, name: str) -> Member:
        """Return the member called ``name``; an unknown one raises `UnknownNameError`."""
        if name not in self._loaded:
            module, _, attribute = self.target(name).partition(":")
            member = getattr(importlib.import_module(module), attribute)
            self._loaded[name] = cast("Member", member)
        return self._loaded[name]

    def target(self, name: str) -> str:
        """Return where ``name`` lives without loading it."""
        if name not in self._members:
            raise UnknownNameError(
                f"No {self.family} is called {name[:64]!r}.",
                hint=did_you_mean(name, self._members),
                family=self.family,
                nearest=nearest(name, self._members),
            )
        return self._members[name]

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
