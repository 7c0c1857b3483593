"""Every target by name, and the search for files that no longer say what the map says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from topology import schema
from topology.errors import BadInputError
from topology.registry import Registry
from topology.render.base import Files
from topology.services import Topology

Renderer = Callable[..., Files]

TARGETS: Registry[Renderer] = Registry(
    "target",
    {
        "clients": "topology.render.clients:render",
        "compose": "topology.render.compose:render",
        "kubernetes": "topology.render.kubernetes:render",
        "prm": "topology.render.prm:render",
        "schema": "topology.render.targets:schema_files",
    },
)


def schema_files(topology: Topology, *, profile: str = "embedded") -> Files:
    """Return the JSON Schema of ``topology.yaml``, for editors; it depends on no map."""
    del topology, profile
    return {schema.FILE.name: schema.text()}


def render(topology: Topology, target: str, *, profile: str = "embedded") -> Files:
    """Return the files of ``target``; an unknown one raises `UnknownNameError`."""
    return TARGETS.load(target)(topology, profile=profile)


def drift(topology: Topology, folder: Path, *, profile: str = "embedded") -> list[str]:
    """Return the names of rendered files in ``folder`` that differ from what the map gives now.

    A file is known by its name; others are not looked at. A folder that holds none raises
    `BadInputError`: a check that compares nothing would always be content.
    """
    stale: list[str] = []
    compared = 0
    for target in TARGETS:
        for name, text in _possible(topology, target, profile).items():
            file = folder / name
            if not file.is_file():
                continue
            compared += 1
            if text is None or file.read_text(encoding="utf-8") != text:
                stale.append(name)
    if not compared:
        raise BadInputError(
            f"{folder} holds no rendered file.",
            hint="Write some first: `alphaswarm topology render TARGET --out FOLDER`.",
            path=str(folder),
        )
    return sorted(stale)


def _possible(topology: Topology, target: str, profile: str) -> dict[str, str | None]:
    """Return a target's files; where the map refuses to be rendered so, its file with no text."""
    try:
        return dict(render(topology, target, profile=profile))
    except BadInputError:
        return {f"{target}.yaml": None}
