"""The RFC 9728 documents: what a client reads to learn whom to ask for a token."""

from __future__ import annotations

from typing import Any

from topology.render.base import Files, json_text
from topology.services import Face, Topology


def render(topology: Topology, *, profile: str = "embedded") -> Files:
    """Return one document per server; JSON has no comments, so none of them is stamped."""
    del profile
    return {
        f"{name}.oauth-protected-resource.json": json_text(document(face))
        for name, face in topology.faces.items()
    }


def document(face: Face) -> dict[str, Any]:
    """Return the protected resource metadata of a server (RFC 9728 s.2)."""
    return {
        "resource": face.audience,
        "authorization_servers": [face.issuer],
        "scopes_supported": [face.read_scope],
        "bearer_methods_supported": ["header"],
        "resource_name": f"AlphaSwarm {face.name}",
    }
