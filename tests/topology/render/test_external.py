"""Maps whose servers take an external issuer's tokens: what is rendered, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

from tests.topology.test_trust import write
from topology import services
from topology.render.network import policies
from topology.render.prm import render

ISSUER = "https://login.example/desk"


def test_the_metadata_name_every_issuer_and_no_scopes_that_follow_from_roles(
    tmp_path: Path,
) -> None:
    topology = services.load({}, path=write(tmp_path, "open", "open"))
    data, control = (
        json.loads(render(topology)[f"{name}.oauth-protected-resource.json"])
        for name in ("data", "control")
    )
    assert data["authorization_servers"] == [ISSUER]
    assert control["authorization_servers"] == [ISSUER, "http://localhost:8000/as"]
    assert "scopes_supported" not in data
    assert data["resource"] == "http://localhost:8000/data/mcp"


def test_servers_may_reach_the_issuer_and_workers_may_not(tmp_path: Path) -> None:
    topology = services.load({}, path=write(tmp_path, "open", "open"))
    made = {one["metadata"]["name"]: one["spec"] for one in policies(topology, ["data", "control"])}
    chosen = made["for-identity"]["podSelector"]["matchExpressions"][0]["values"]
    assert chosen == ["data", "control"]
    assert made["for-identity"]["egress"] == [{"ports": [{"protocol": "TCP", "port": 443}]}]
