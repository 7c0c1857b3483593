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
    """Return the protected resource metadata of a server (RFC 9728 s.2).

    No scopes are listed where asking an external issuer for them by our names is useless.
    """
    scopes = {"scopes_supported": [face.read_scope]} if face.asked else {}
    return {
        "resource": face.audience,
        "authorization_servers": list(face.issuers),
        **scopes,
        "bearer_methods_supported": ["header"],
        "resource_name": f"AlphaSwarm {face.name}",
    }
