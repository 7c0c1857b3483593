"""Two suites that trust each other: each is an OpenID provider to the other, by topology alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from auth.issuers import Trusted
from auth.policy import Challenge, Rule, admitted, decide
from auth.tokens import TokenRefusedError
from servers.identity.trust import Trust
from tests.kit.faces import served
from tests.kit.fixture_server import free_port
from tests.kit.identity import Scene, scene_of, sent_back
from tests.kit.identity_store import MemoryStore
from tests.kit.machines import SPEC, Machine
from topology import services
from topology.services import Topology

RUNTIME = Machine()


@dataclass(frozen=True)
class Suite:
    """One suite: its map, its issuer, and the judge of what comes to its server ``data``."""

    topology: Topology
    scene: Scene
    judge: Trusted

    @property
    def data(self) -> str:
        return self.topology.face("data").audience

    def refused(self, token: str) -> str:
        with pytest.raises(TokenRefusedError) as caught:
            self.judge.verify(token, self.scene.now())
        return caught.value.reason


def trusting(folder: Path, port: int, other: int) -> Topology:
    """Return a map that takes the other's tokens at ``data``, and makes tokens for its ``data``."""
    data = yaml.safe_load(services.PACKAGED.read_text("utf-8"))
    data["issuers"]["neighbour"] = {
        "kind": "oidc", "issuer": f"http://localhost:{other}/as", "algs": ["ES256"],
    }  # fmt: skip
    data["egress"]["allow"] = [{"host": "localhost", "port": other, "for": ["identity"]}]
    data["servers"]["data"] |= {
        "trusts": ["neighbour"], "allowed_actors": [f"neighbour:{RUNTIME.client_id}"],
    }  # fmt: skip
    there = {"audience": f"http://localhost:{other}/data/mcp", "scopes": ["data:read"]}
    data["resources"] = {"their-data": there}
    data["clients"][RUNTIME.client_id] = {"grants": ["token_exchange"], "keys": [RUNTIME.public()]}
    data["exchange"] = [
        {
            "client": RUNTIME.client_id,
            "source": "data",
            "targets": ["their-data"],
            "scopes": ["data:read"],
        }
    ]
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(data), "utf-8")
    return services.load({}, path=file, port=port)


@contextlib.contextmanager
def suite(folder: Path, port: int, other: int) -> Iterator[Suite]:
    folder.mkdir()
    topology = trusting(folder, port, other)
    scene = scene_of(folder, MemoryStore(), topology=topology)
    with served(scene.app, topology):
        yield Suite(topology, scene, Trust(topology, scene.identity).verifier("data"))


@pytest.fixture
def suites(tmp_path: Path) -> Iterator[tuple[Suite, Suite]]:
    here, there = free_port(), free_port()
    with suite(tmp_path / "a", here, there) as a, suite(tmp_path / "b", there, here) as b:
        yield a, b


async def test_each_takes_the_others_people_and_their_agents(suites: tuple[Suite, Suite]) -> None:
    for home, away in (suites, suites[::-1]):
        mine = (await home.scene.tokens())["access_token"]
        abroad = (await home.scene.tokens(resource=away.data))["access_token"]
        exchanged = await RUNTIME.exchange(home.scene, mine, resource=away.data)
        assert exchanged.status_code == 200, exchanged.text
        now = home.scene.now()
        person = away.judge.verify(abroad, now)
        agent = away.judge.verify(exchanged.json()["access_token"], now)
        assert (person.sub, person.act, person.scope) == ("neighbour:ada", None, "data:read")
        assert (agent.sub, agent.act) == (
            "neighbour:ada",
            {"sub": f"neighbour:{RUNTIME.client_id}"},
        )
        assert admitted(agent.principal(), away.topology.face("data").actors)
        assert home.judge.verify(mine, now).sub == "ada"
        assert (away.refused(mine), home.refused(abroad)) == ("audience", "audience")


async def test_nobody_gets_abroad_what_was_not_declared(suites: tuple[Suite, Suite]) -> None:
    home, away = suites
    refused = await home.scene.authorize(resource=away.data, scope="data:write")
    assert sent_back(refused)["error"] == "invalid_scope"
    target: dict[str, Any] = {"resource": away.topology.face("control").audience}
    assert sent_back(await home.scene.authorize(**target))["error"] == "invalid_target"


async def test_a_sign_in_abroad_is_no_step_up_and_an_actor_unnamed_is_nobody(
    suites: tuple[Suite, Suite],
) -> None:
    home, away = suites
    token = (await home.scene.tokens(resource=away.data))["access_token"]
    person = away.judge.verify(token, home.scene.now()).principal()
    assert person.acr == ""  # the map does not say what the neighbour's sign-ins are worth
    fresh = Rule(scopes=("data:read",), step_up="fresh")
    verdict = decide(fresh, person, home.scene.now())
    assert isinstance(verdict, Challenge)
    assert verdict.error == "insufficient_user_authentication"
    exchanged = await RUNTIME.exchange(
        home.scene, (await home.scene.tokens())["access_token"], resource=away.data, spec=SPEC
    )
    agent = away.judge.verify(exchanged.json()["access_token"], home.scene.now()).principal()
    assert not admitted(agent, away.topology.face("backtest").actors)


def test_each_says_whose_tokens_it_takes(suites: tuple[Suite, Suite]) -> None:
    home, away = suites
    face = home.topology.face("data")
    assert face.issuers == (home.scene.issuer, away.scene.issuer)
    assert home.topology.face("backtest").issuers == (home.scene.issuer,)
