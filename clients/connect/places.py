"""Where each client keeps its servers: file, key, and whether its folder must be there already."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.render.clients import CLIENTS

Scope = Literal["user", "project"]


@dataclass(frozen=True, slots=True)
class Place:
    """The settings of one client: ``key`` of the JSON file holds its servers.

    ``owner`` is the folder that the client itself makes; without it the client is not installed.
    """

    client: str
    file: Path
    key: str
    owner: Path


def place(client: str, scope: Scope | None, *, project: Path, environ: Mapping[str, str]) -> Place:
    """Return where ``client`` reads its servers, in its usual scope where none is given.

    Raises `UnknownNameError` for an unknown client, `BadInputError` for a scope that it lacks.
    """
    if client not in CLIENTS:
        raise UnknownNameError(
            f"No client is called {client[:64]!r}.",
            hint=did_you_mean(client, CLIENTS),
            family="client",
            nearest=nearest(client, CLIENTS),
        )
    known = _places(client, project, Path(environ.get("HOME") or Path.home()), environ)
    chosen = scope or next(iter(known))
    if chosen not in known:
        raise BadInputError(
            f"{client} has no {chosen} settings for servers.",
            hint=f"Use --scope {next(iter(known))}, or leave it out.",
            path="--scope",
            value=chosen,
        )
    return known[chosen]


def _places(
    client: str, project: Path, home: Path, environ: Mapping[str, str]
) -> dict[Scope, Place]:
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    library = home / "Library" / "Application Support"
    roaming = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
    base = {"darwin": library, "win32": roaming}.get(sys.platform, config)

    def at(file: Path, owner: Path, key: str = "mcpServers") -> Place:
        return Place(client, file, key, owner)

    known: dict[str, dict[Scope, Place]] = {
        "claude-code": {
            "project": at(project / ".mcp.json", project),
            "user": at(home / ".claude.json", home),
        },
        "claude-desktop": {
            "user": at(base / "Claude" / "claude_desktop_config.json", base / "Claude"),
        },
        "vscode": {
            "project": at(project / ".vscode" / "mcp.json", project, "servers"),
            "user": at(base / "Code" / "User" / "mcp.json", base / "Code" / "User", "servers"),
        },
        "cursor": {
            "project": at(project / ".cursor" / "mcp.json", project),
            "user": at(home / ".cursor" / "mcp.json", home / ".cursor"),
        },
        "theia": {
            "user": at(
                home / ".theia" / "settings.json", home / ".theia", "ai-features.mcp.mcpServers"
            ),
            "project": at(
                project / ".theia" / "settings.json", project, "ai-features.mcp.mcpServers"
            ),
        },
        "inspector": {"project": at(project / "mcp-inspector.json", project)},
    }
    return known[client]
