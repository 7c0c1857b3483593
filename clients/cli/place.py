"""Which suite a command speaks to: its home, its map, and the port it was started on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from topology.home import Home, explaining, write_private

if TYPE_CHECKING:
    from topology.services import Face, Topology

PORT = "port"
MARK = "ALPHASWARM_SUITE"
"""Environment variable of every process of a suite: its home. `down` finds strays by it."""


@dataclass(frozen=True)
class Place:
    """A home and the checked map that holds for it."""

    home: Home
    topology: Topology

    @classmethod
    def find(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        port: int | None = None,
        profile: str | None = None,
    ) -> Place:
        """Return the place that the environment names.

        The port is ``port``, else ``ALPHASWARM_PORT``, else the one that `up` was given on this
        home, else the map's.
        """
        from topology.services import load

        home = Home.from_environment(environ)
        if port is None and not environ.get("ALPHASWARM_PORT"):
            port = recorded_port(home)
        return cls(home, load(environ, port=port, profile=profile))

    def face(self, name: str) -> Face:
        """Return a server of the map."""
        return self.topology.face(name)

    def environ(self) -> dict[str, str]:
        """Return the environment of the processes that we start."""
        return {
            **os.environ,
            "ALPHASWARM_HOME": str(self.home.root),
            "ALPHASWARM_PORT": str(self.topology.listen.port),
            MARK: str(self.home.root),
            "PYTHONSAFEPATH": "1",  # a folder of ours in the current directory must not win
            "PYTHONUNBUFFERED": "1",
        }


def recorded_port(home: Home) -> int | None:
    """Return the port that `up` recorded, or None."""
    try:
        return int((home.run / PORT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def record_port(home: Home, port: int) -> None:
    """Remember the port until `down`."""
    with explaining(home.run):
        write_private(home.run / PORT, f"{port}\n")


def python(*arguments: str) -> list[str]:
    """Return the command line of a module of ours."""
    return [sys.executable, "-m", *arguments]


def tail(log: Path, lines: int = 12) -> list[str]:
    """Return the last lines of a log."""
    try:
        return log.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
