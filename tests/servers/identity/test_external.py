"""A real OpenID provider that is not ours (npm: oidc-provider): only the topology changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from auth.tokens import TokenRefusedError
from servers import everything
from servers.identity.compose import config_of
from servers.identity.trust import Trust
from tests.conformance.test_sdks import Memory
from tests.kit.faces import ACCEPT, MODERN, request, served
from tests.kit.fixture_server import free_port
from tests.kit.live import Live
from tests.kit.openid import CALLBACK, Provider, provider, visit
from tools.registry import Office
from topology import services
from topology.errors import BadInputError, StoreUnreachableError
from topology.home import Home
from topology.services import Topology

pytestmark = pytest.mark.node

SCOPES = "data:read data:write control:read control:halt"
FIXED = "urn:desk:backtest"
SIGN_INS = {"acr": {"bronze": 1, "gold": 2}}


@dataclass(frozen=True)
class Corp:
    """The suite with a topology whose servers take the tokens of a provider."""

    topology: Topology
    desk: Provider

    def url(self, server: str) -> str:
        return self.topology.face(server).url

    def token(self, server: str, scope: str, **more: str) -> str:
        return self.desk.token(self.url(server), f"openid {scope}", **more)

    def post(self, server: str, token: str, tool: str, **arguments: Any) -> httpx2.Response:
        """Call a tool as a client of 2026-07-28 would."""
        body = request("tools/call", name=tool, arguments=arguments)
        headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
        sent = {**ACCEPT, **headers, "authorization": f"Bearer {token}"}
        return httpx2.post(self.url(server), json=body, headers=sent)


def mapped(folder: Path, port: int, desk: int, **corp: Any) -> Topology:
    """Return the packaged topology with the servers at a provider; nothing else is changed."""
    data = yaml.safe_load(services.PACKAGED.read_text("utf-8"))
    issuer = {"kind": "oidc", "issuer": f"http://127.0.0.1:{desk}", "step_up": SIGN_INS, **corp}
    data["issuers"] = {"corp": issuer, "local": data["issuers"]["local"]}
    data["servers"] = {
        name: {**server, "issuer": "corp"} for name, server in data["servers"].items()
    }
    data["egress"]["allow"] = [{"host": "127.0.0.1", "port": desk, "for": ["identity"]}]
    file = folder / f"topology-{port}.yaml"
    file.write_text(yaml.safe_dump(data), "utf-8")
    return services.load({}, path=file, port=port)


@pytest.fixture(scope="module")
def corp(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corp]:
    port, desk = free_port(), free_port()
    audience = {"backtest": FIXED}
    topology = mapped(tmp_path_factory.mktemp("corp"), port, desk, audience=audience)
    urls = [face.url for face in topology.faces.values()]
    moved = dataclasses.replace(office, topology=topology)
    with (
        provider(desk, [*urls, FIXED], SCOPES) as one,
        served(everything.suite(moved, None), topology),
    ):
        yield Corp(topology, one)


async def test_an_unmodified_client_finds_the_provider_signs_in_and_calls(corp: Corp) -> None:
    visits, answers, memory = list[str](), list[dict[str, str]](), Memory()

    async def redirect(address: str) -> None:
        visits.append(address)
        answers.append(visit(address))

    async def returned() -> AuthorizationCodeResult:
        said = answers.pop()
        return AuthorizationCodeResult(code=said["code"], state=said["state"], iss=said["iss"])

    metadata = OAuthClientMetadata(client_name="Kit", redirect_uris=[CALLBACK])
    auth = OAuthClientProvider(corp.url("data"), metadata, memory, redirect, returned)
    async with httpx2.AsyncClient(auth=auth, timeout=30) as http:
        transport = streamable_http_client(corp.url("data"), http_client=http)
        async with Client(transport) as client:
            listed = await client.call_tool("list_tables", {})
            assert listed.is_error is False
    assert [address.partition("?")[0] for address in visits] == [f"{corp.desk.issuer}/auth"]
    assert memory.tokens is not None
    assert memory.tokens.scope == "data:read"


def test_the_servers_send_clients_to_the_provider_and_ours_is_not_started(corp: Corp) -> None:
    for face in corp.topology.faces.values():
        described = httpx2.get(face.prm_url).json()
        assert described["resource"] == face.url
        assert described["authorization_servers"] == [corp.desk.issuer]
    base = corp.topology.base_url
    for path in ("/as/jwks.json", "/as/authorize", "/.well-known/oauth-authorization-server/as"):
        assert httpx2.get(base + path).status_code == 404
    assert httpx2.get(f"{base}/readyz").json()["checks"]["keys"] == "ok"


def test_a_token_opens_its_own_server_and_no_other(corp: Corp) -> None:
    token = corp.token("data", "data:read")
    assert corp.post("data", token, "list_tables").json()["result"]["isError"] is False
    refused = corp.post("control", token, "halt_status")
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert refused.content == b""


def test_a_scope_that_is_missing_is_named(corp: Corp) -> None:
    token = corp.token("data", "data:read")
    refused = corp.post("data", token, "cancel_run", run_id="0" * 26)
    assert refused.status_code == 403
    assert 'scope="data:read data:write"' in refused.headers["www-authenticate"]


def test_an_audience_of_its_own_is_what_the_token_names(corp: Corp) -> None:
    face = corp.topology.face("backtest")
    assert httpx2.get(face.prm_url).json()["resource"] == face.url
    judge = Trust(corp.topology, None).verifier("backtest")
    named = corp.desk.token(FIXED, "data:read")
    assert judge.verify(named, time()).aud == FIXED
    with pytest.raises(TokenRefusedError) as caught:
        judge.verify(corp.desk.token(face.url, "data:read"), time())
    assert caught.value.reason == "audience"


def test_the_step_up_challenge_speaks_the_providers_words(corp: Corp) -> None:
    what = {"scope": "no scope at all"}
    weak = corp.token("control", "control:halt")
    refused = corp.post("control", weak, "halt", **what)
    assert refused.status_code == 401
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="gold"' in challenge
    assert 'max_age="300"' in challenge
    strong = corp.token("control", "control:halt", acr_values="gold", max_age="300")
    passed = corp.post("control", strong, "halt", **what)
    assert passed.status_code == 200
    assert passed.json()["result"]["structuredContent"]["code"] == "invalid_arguments"


def test_a_machine_of_the_provider_is_no_person_and_not_let_in_unnamed(corp: Corp) -> None:
    robot = corp.desk.machine(corp.url("data"), "data:read data:write")
    refused = corp.post("data", robot, "list_tables")
    assert (refused.status_code, refused.json()["code"]) == (403, "access_denied")
    held = Trust(corp.topology, None).verifier("data").verify(robot, time()).principal()
    assert (held.subject, held.actor) == ("corp:robot", "corp:robot")


def test_a_suite_without_an_issuer_of_its_own_opens_none(corp: Corp, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no issuer of its own"):
        config_of(corp.topology, Home(tmp_path))
    assert everything.names(corp.topology) == [*corp.topology.faces]


# --- what is refused, each by one line of the topology that would be otherwise --------------------


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param({}, "", id="as it is"),
        pytest.param({"algs": ["ES256"]}, "signature", id="another algorithm"),
        pytest.param({"typ": ["JWT"]}, "typ", id="another type"),
        pytest.param({"lifetime_s": 10}, "", id="young enough"),
        pytest.param({"claims": {"jti": "uti"}}, "claims", id="a claim that it does not have"),
        pytest.param({"scope_form": "list"}, "claims", id="scopes as a list"),
    ],
)
def test_one_line_of_the_topology_decides(
    corp: Corp, tmp_path: Path, lines: dict[str, Any], reason: str
) -> None:
    port = corp.topology.listen.port
    judge = Trust(mapped(tmp_path, port, corp.desk.port, **lines), None).verifier("data")
    token = corp.token("data", "data:read")
    if not reason:
        assert judge.verify(token, time()).sub == "corp:grace"
        return
    with pytest.raises(TokenRefusedError) as caught:
        judge.verify(token, time())
    assert caught.value.reason == reason


def test_a_token_ends_and_an_id_token_never_begins(corp: Corp) -> None:
    judge = Trust(corp.topology, None).verifier("data")
    tokens = corp.desk.tokens(corp.url("data"), "openid data:read")
    judge.verify(tokens["access_token"], time())
    for token, now in ((tokens["access_token"], time() + 301), (tokens["id_token"], time())):
        with pytest.raises(TokenRefusedError):
            judge.verify(token, now)


def test_the_tokens_of_anybody_else_are_refused(corp: Corp, live: Live) -> None:
    judge = Trust(corp.topology, None).verifier("data")
    with provider(free_port(), [corp.url("data")], SCOPES) as other:
        for token in (live.token("data"), other.token(corp.url("data"), "data:read")):
            with pytest.raises(TokenRefusedError) as caught:
                judge.verify(token, time())
            assert caught.value.reason in {"kid", "signature"}


def test_a_rotation_is_seen_after_a_minute_and_a_dead_provider_lets_nobody_new_in(
    tmp_path: Path,
) -> None:
    desk = free_port()
    topology = mapped(tmp_path, free_port(), desk)
    url, trust, now = topology.face("data").url, Trust(topology, None), time()
    judge = trust.verifier("data")
    with provider(desk, [url], SCOPES) as first:
        token = first.token(url, "data:read")
        judge.verify(token, now)
    judge.verify(token, now + 40)  # away, but its keys are known
    with provider(desk, [url], SCOPES) as second:
        later = second.token(url, "data:read")
        with pytest.raises(TokenRefusedError):
            judge.verify(later, now + 50)
        judge.verify(later, now + 61)
    with pytest.raises(StoreUnreachableError, match="'corp' cannot be read"):
        Trust(topology, None).verifier("data").verify(later, now)
    with pytest.raises(StoreUnreachableError):
        Trust(topology, None).require(now)


@pytest.mark.parametrize(
    "described",
    [
        pytest.param({"issuer": "http://127.0.0.1:9/"}, id="metadata of another issuer"),
        pytest.param({"jwks_uri": "http://keys.test/jwks"}, id="keys by http beyond this machine"),
        pytest.param({"jwks_uri": None}, id="no keys"),
        pytest.param([], id="no object"),
    ],
)
def test_metadata_that_does_not_describe_the_issuer_gives_no_keys(
    tmp_path: Path, described: Any
) -> None:
    topology = mapped(tmp_path, free_port(), 9)
    good = {"issuer": "http://127.0.0.1:9", "jwks_uri": "https://keys.test/jwks"}
    body = {**good, **described} if isinstance(described, dict) else described
    asked: list[str] = []

    def get(address: str) -> bytes:
        asked.append(address)
        return json.dumps(body).encode()

    with pytest.raises(StoreUnreachableError):
        Trust(topology, None, get).require(time())
    assert asked == ["http://127.0.0.1:9/.well-known/openid-configuration"]
