"""Which clients may act at a server for a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from topology import services
from topology.errors import TopologyError
from topology.services import PACKAGED, Topology


def loaded(folder: Path, actors: list[str]) -> Topology:
    """Return the packaged topology whose server ``data`` lets these act."""
    overlay = {"servers": {"data": {"allowed_actors": actors}}}
    text = PACKAGED.read_text("utf-8").replace(
        "profiles: {}", f"profiles: {json.dumps({'acting': overlay})}"
    )
    file = folder / "topology.yaml"
    file.write_text(text, "utf-8")
    return services.load({}, path=file, profile="acting")


def test_every_client_that_can_prove_itself_may_act_unless_it_is_said_who(tmp_path: Path) -> None:
    assert services.load({}).face("data").actors == ("alphaswarm-worker",)
    topology = loaded(tmp_path, [])
    assert topology.face("data").actors == ()
    assert topology.face("control").actors == ("alphaswarm-worker",)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("alphaswarm-werker", "no such client", id="nobody"),
        pytest.param("alphaswarm-cli", "it has no keys", id="who cannot prove himself"),
    ],
)
def test_an_actor_must_be_a_client_with_keys(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(TopologyError, match=problem) as refused:
        loaded(tmp_path, [name])
    assert "servers.data.allowed_actors[0]" in str(refused.value)
