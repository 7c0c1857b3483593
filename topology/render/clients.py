"""What MCP clients write into their own settings to reach this suite; one entry per server."""

from __future__ import annotations

from typing import Any

from topology.render.base import Files, json_text
from topology.services import Face, Topology

PREFIX = "alphaswarm-"
CLIENTS = ("claude-code", "claude-desktop", "vscode", "cursor", "theia", "inspector")


def render(topology: Topology, *, profile: str = "embedded") -> Files:
    """Return one JSON file per client; JSON has no comments, so none of them is stamped."""
    del profile
    return {f"{client}.json": json_text(settings(topology, client)) for client in CLIENTS}


def settings(topology: Topology, client: str, *, command: str = "alphaswarm") -> dict[str, Any]:
    """Return the settings of ``client``, one of `CLIENTS`, with every server of the map.

    ``command`` starts the stdio bridge, for the client that cannot reach loopback by HTTP.
    """
    faces = topology.faces.values()
    if client == "vscode":
        return {"servers": {_camel(face): entry(face, client) for face in faces}}
    key = "ai-features.mcp.mcpServers" if client == "theia" else "mcpServers"
    return {key: {PREFIX + face.name: entry(face, client, command=command) for face in faces}}


def entry(face: Face, client: str, *, command: str = "alphaswarm") -> dict[str, Any]:
    """Return one server's entry in the form of ``client``; it never holds a token."""
    forms: dict[str, dict[str, Any]] = {
        "claude-code": {"type": "http", "url": face.url, "oauth": {"scopes": face.read_scope}},
        "claude-desktop": {"command": command, "args": ["bridge", face.name], "env": {}},
        "vscode": {"type": "http", "url": face.url},
        "cursor": {"url": face.url},
        "theia": {
            "serverUrl": face.url,
            "autostart": False,
            "deferLoading": True,
            "oauth": {"scopes": [face.read_scope], "resource": face.audience},
        },
        "inspector": {"type": "streamable-http", "url": face.url},
    }
    return forms[client]


def name_in(client: str, face: Face) -> str:
    """Return the key of a server's entry in the file of ``client``."""
    return _camel(face) if client == "vscode" else PREFIX + face.name


def _camel(face: Face) -> str:
    return "alphaswarm" + face.name.capitalize()
