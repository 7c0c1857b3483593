"""The family of strategies: those of this house and those that installed packages bring.

A package offers one by an entry point of the group ``alphaswarm.strategies``:

    [project.entry-points."alphaswarm.strategies"]
    dip = "my_package.dip:STRATEGY"

Whoever installs a package trusts it fully: its code runs as ours does. Nothing is imported before
it is asked for, and a package that is broken takes away its own strategies only.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from runtimes.engine.errors import StrategyError
from runtimes.strategies.base import Strategy
from runtimes.strategies.scripted import ScriptStrategy
from topology.errors import BadInputError
from topology.registry import Registry

GROUP = "alphaswarm.strategies"
Member = Strategy | ScriptStrategy


class PluginError(BadInputError):
    """A strategy of an installed package cannot be used; ``facts`` name the package."""

    code = "plugin_refused"


@dataclass(frozen=True, slots=True)
class Origin:
    """The installed package that brings a strategy, and where in it the strategy is."""

    distribution: str
    version: str
    target: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Strategies(Registry[Member]):
    """Our own members, and what packages add to them; ours cannot be replaced."""

    def __init__(self, members: Mapping[str, str]) -> None:
        super().__init__("strategy", members)
        self._own = frozenset(members)

    @cached_property
    def offered(self) -> dict[str, list[Origin]]:
        """Return what installed packages offer by name, read once from their metadata."""
        found: dict[str, list[Origin]] = {}
        for point in entry_points(group=GROUP):
            origin = _origin(point)
            if origin not in found.setdefault(point.name, []):
                found[point.name].append(origin)
        return found

    @property
    def plugins(self) -> dict[str, Origin]:
        """Return the strategies of packages that a spec may name; none of them is loaded yet."""
        return {
            name: origins[0]
            for name, origins in sorted(self.offered.items())
            if name not in self._own and len(origins) == 1
        }

    @property
    def clashes(self) -> dict[str, str]:
        """Return a sentence for each name that packages offer and nobody can use from them."""
        return {
            name: _clash(name, origins, ours=name in self._own)
            for name, origins in sorted(self.offered.items())
            if name in self._own or len(origins) > 1
        }

    def load(self, name: str) -> Member:
        """Return the member called ``name``.

        An unknown one raises `UnknownNameError`; one of a package that cannot be imported, that is
        no strategy or whose name two packages offer raises `PluginError`.
        """
        if name in self._own or name in self._loaded:
            return super().load(name)
        if name in self.clashes:
            raise PluginError(self.clashes[name], hint="Uninstall one of the packages.", name=name)
        if name in self.plugins:
            self._loaded[name] = _imported(name, self.plugins[name])
        return super().load(name)

    def weights(self, name: str) -> Strategy:
        """Return the member called ``name`` where it decides weights; a script is refused."""
        found = self.load(name)
        if isinstance(found, Strategy):
            return found
        raise StrategyError(
            f"The strategy {name!r} is a script: it gives orders and decides no weights.",
            hint="Choose one whose form is weights.",
            name=name,
        )

    def target(self, name: str) -> str:
        """Return where ``name`` lives without loading it."""
        plugin = self.plugins.get(name)
        return super().target(name) if plugin is None else plugin.target

    def origin(self, name: str) -> Origin | None:
        """Return the package that brings ``name``, None for one of ours."""
        return self.plugins.get(name)

    def identity(self, name: str) -> dict[str, str]:
        """Return ``plugin`` with package, version and source hash of ``name``; of ours nothing."""
        origin = self.origin(name)
        return {} if origin is None else {"plugin": f"{origin} {source_hash(origin)}"}

    def names(self) -> list[str]:
        """Return every name that a spec may use, sorted."""
        return sorted({*self._own, *self.plugins})

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self.plugins


def source_hash(origin: Origin) -> str:
    """Return the SHA-256 over names and bytes of the package's Python sources.

    The package is the top-level one that the entry point names, found without importing it.
    """
    top = origin.target.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(top)
    digest = hashlib.sha256()
    for root in _roots(spec):
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            digest.update(f"{path.relative_to(root.parent).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _roots(spec: importlib.machinery.ModuleSpec | None) -> list[Path]:
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin else []


def _origin(point: EntryPoint) -> Origin:
    distribution = point.dist
    if distribution is None:
        return Origin("unknown", "0", point.value)
    return Origin(distribution.name, distribution.version, point.value)


def _clash(name: str, origins: list[Origin], *, ours: bool) -> str:
    by = " and ".join(sorted(str(origin) for origin in origins))
    if ours:
        return f"{by} offers a strategy {name!r}, but AlphaSwarm has one of this name: ours stays."
    return f"{by} both offer a strategy {name!r}: neither is used."


def _imported(name: str, origin: Origin) -> Member:
    module, _, attribute = origin.target.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The strategy {name!r} of {origin} cannot be loaded: {type(error).__name__}.",
            hint="Repair or uninstall the package.",
            name=name,
            distribution=origin.distribution,
            version=origin.version,
            error=str(error)[:200],
        ) from error
    if not isinstance(found, Strategy | ScriptStrategy):
        raise PluginError(
            f"{origin.target} of {origin} is no Strategy or ScriptStrategy but a "
            f"{type(found).__name__}.",
            hint="Let the entry point name a Strategy or a ScriptStrategy.",
            name=name,
            distribution=origin.distribution,
            version=origin.version,
        )
    return found
