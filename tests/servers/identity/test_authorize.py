"""The authorization endpoint (design list): who may be sent where, with what."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from auth.policy import ACR_PASSWORD
from tests.kit.identity import CHALLENGE, CLIENT, USERNAME, Scene, hidden_fields, sent_back


async def refusal(scene: Scene, **changes: str | None) -> str:
    """Return the error that goes back to the client, with its state and our name."""
    answer = sent_back(await scene.authorize(**changes))
    assert answer["state"] == "xyz"
    assert answer["iss"] == scene.issuer
    assert "code" not in answer
    return answer["error"]


async def test_a_person_signs_in_allows_and_the_client_gets_a_token(any_scene: Scene) -> None:
    scene = any_scene
    answer = await scene.approve()
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("xyz", scene.issuer)
    reply = await scene.redeem(answer["code"])
    assert reply.headers["cache-control"] == "no-store"
    body = reply.json()
    keys = (await scene.browser.get("/as/jwks.json")).json()
    token = jwt.decode(body["access_token"], KeySet.import_key_set(keys), algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "typ": "at+jwt", "kid": keys["keys"][0]["kid"]}
    claims = token.claims
    assert {"jti", "sid"} <= set(claims)
    assert {k: v for k, v in claims.items() if k not in {"jti", "sid"}} == {
        "iss": scene.issuer,
        "sub": USERNAME,
        "aud": scene.faces["data"],
        "client_id": CLIENT,
        "scope": "data:read",
        "iat": scene.now(),
        "nbf": scene.now(),
        "exp": scene.now() + 900,
        "acr": ACR_PASSWORD,
        "auth_time": scene.now(),
        "amr": ["pwd"],
    }
    assert body["token_type"] == "Bearer"
    assert (body["expires_in"], body["scope"]) == (900, "data:read")
    assert body["refresh_token"].startswith("asw_rt_")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"code_challenge": None}, "invalid_request", id="no challenge"),
        pytest.param({"code_challenge": "short"}, "invalid_request", id="a short challenge"),
        pytest.param({"code_challenge": CHALLENGE + "="}, "invalid_request", id="a padded one"),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="plain"),
        pytest.param({"code_challenge_method": None}, "invalid_request", id="method left out"),
        pytest.param({"code_challenge_method": "s256"}, "invalid_request", id="method misspelt"),
        pytest.param({"resource": None}, "invalid_target", id="no resource"),
        pytest.param({"resource": "https://other.test/mcp"}, "invalid_target", id="unknown"),
        pytest.param({"resource": "/data/mcp"}, "invalid_target", id="relative"),
        pytest.param({"scope": "backtest:run"}, "invalid_scope", id="another server's scope"),
        pytest.param({"scope": "data:read data:fly"}, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": "data:read\u00a0x"}, "invalid_scope", id="no ASCII in scope"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
        pytest.param({"response_type": "id_token"}, "unsupported_response_type", id="id_token"),
        pytest.param({"response_type": "code token"}, "unsupported_response_type", id="hybrid"),
        pytest.param({"response_type": None}, "unsupported_response_type", id="none at all"),
        pytest.param({"response_type": '"\\\u00e9'}, "unsupported_response_type", id="odd bytes"),
        pytest.param({"response_mode": "fragment"}, "invalid_request", id="fragment"),
        pytest.param({"prompt": "none"}, "login_required", id="silent and not signed in"),
        pytest.param({"prompt": "none login"}, "invalid_request", id="silent and not"),
        pytest.param({"max_age": "soon"}, "invalid_request", id="max_age is no number"),
        pytest.param({"max_age": "-1"}, "invalid_request", id="max_age is negative"),
        pytest.param(
            {"acr_values": "urn:alphaswarm:acr:gold"},
            "unmet_authentication_requirements",
            id="a way to sign in that nobody has",
        ),
    ],
)
async def test_a_refusal_goes_back_to_the_client(
    scene: Scene, changes: dict[str, str | None], expected: str
) -> None:
    assert await refusal(scene, **changes) == expected


async def test_a_resource_with_a_fragment_is_refused(scene: Scene) -> None:
    assert await refusal(scene, resource=scene.faces["data"] + "#x") == "invalid_target"


async def test_one_trailing_slash_is_forgiven_and_not_put_into_the_token(scene: Scene) -> None:
    body = await scene.tokens(resource=scene.faces["data"] + "/")
    verifier = scene.identity.verifier(scene.faces["data"])
    assert verifier.verify(body["access_token"], scene.now()).aud == scene.faces["data"]
    assert await refusal(scene, resource=scene.faces["data"] + "//") == "invalid_target"


async def ask_twice(scene: Scene, *extra: tuple[str, str]) -> httpx2.Response:
    """Send a good request with further parameters."""
    query = urlencode([*scene.request().items(), *extra])
    return await scene.browser.get(f"/as/authorize?{query}")


async def test_two_resources_are_one_too_many(scene: Scene) -> None:
    same = await ask_twice(scene, ("resource", scene.faces["data"]))
    assert "/as/login?" in same.headers["location"]
    other = sent_back(await ask_twice(scene, ("resource", scene.faces["control"])))
    assert (other["error"], other["state"]) == ("invalid_target", "xyz")


@pytest.mark.parametrize("name", ["scope", "code_challenge", "response_type", "nonce"])
async def test_a_parameter_that_comes_twice_is_refused(scene: Scene, name: str) -> None:
    answer = sent_back(await ask_twice(scene, (name, "a"), (name, "a")))
    assert (answer["error"], answer["state"]) == ("invalid_request", "xyz")


async def test_of_two_states_none_is_given_back(scene: Scene) -> None:
    answer = sent_back(await ask_twice(scene, ("state", "other")))
    assert answer["error"] == "invalid_request"
    assert "state" not in answer


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_two_clients_or_addresses_lead_nowhere(scene: Scene, name: str) -> None:
    answer = await ask_twice(scene, (name, scene.request()[name]))
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"redirect_uri": "https://evil.test/callback"}, id="somebody else's"),
        pytest.param({"redirect_uri": None}, id="none"),
        pytest.param({"redirect_uri": "http://127.0.0.1:1/evil"}, id="another path"),
        pytest.param({"redirect_uri": "http://127.0.0.1:1/callback?x=1"}, id="another query"),
        pytest.param({"redirect_uri": "http://127.0.0.1:1/callback#x"}, id="a fragment"),
        pytest.param({"redirect_uri": "http://127.0.0.1:70000/callback"}, id="no such port"),
        pytest.param({"redirect_uri": "http://127.0.0.1:1@evil.test/callback"}, id="userinfo"),
        pytest.param({"redirect_uri": "http://192.168.1.2/callback"}, id="another machine"),
        pytest.param({"redirect_uri": "https://127.0.0.1/callback"}, id="another scheme"),
        pytest.param({"redirect_uri": "http://[::1"}, id="no URI"),
        pytest.param({"redirect_uri": '"\\\u00e9'}, id="odd bytes"),
        pytest.param({"client_id": "nobody"}, id="unknown client"),
        pytest.param({"client_id": None}, id="no client"),
    ],
)
async def test_nobody_is_sent_to_an_address_that_is_not_the_clients(
    scene: Scene, changes: dict[str, str | None]
) -> None:
    answer = await scene.authorize(**changes)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:53123/callback", "http://[::1]:53123/callback", "http://localhost/callback"],
)
async def test_a_loopback_client_may_listen_on_any_port(scene: Scene, uri: str) -> None:
    answer = await scene.authorize(redirect_uri=uri)
    assert "/as/login?" in answer.headers["location"]


async def test_localhost_and_127_0_0_1_are_not_interchangeable(scene: Scene) -> None:
    body = {"redirect_uris": ["http://127.0.0.1:1111/cb"]}
    client = (await scene.browser.post("/as/register", json=body)).json()["client_id"]
    for uri, status in (
        ("http://127.0.0.1:53123/cb", 303),
        ("http://127.0.0.1:53123/evil", 400),
        ("http://localhost:1111/cb", 400),
        ("http://127.0.0.1:1111/cb/", 400),
    ):
        answer = await scene.authorize(client_id=client, redirect_uri=uri)
        assert answer.status_code == status


async def test_saying_no_is_access_denied(scene: Scene) -> None:
    await scene.sign_in()
    answer = sent_back(await scene.consent(await scene.authorize(), "deny"))
    assert answer["error"] == "access_denied"
    assert (answer["state"], answer["iss"]) == ("xyz", scene.issuer)


async def test_consent_is_asked_once_for_the_same_thing(scene: Scene) -> None:
    await scene.approve()
    assert "code" in sent_back(await scene.authorize())
    for changes in (
        {"scope": "data:read data:write"},
        {"resource": scene.faces["control"], "scope": "control:read"},
        {"redirect_uri": "http://127.0.0.1:51001/callback"},
        {"prompt": "consent"},
    ):
        assert (await scene.authorize(**changes)).status_code == 200


async def test_a_silent_request_works_after_consent_and_only_then(scene: Scene) -> None:
    await scene.sign_in()
    assert await refusal(scene, prompt="none") == "consent_required"
    await scene.approve()
    assert "code" in sent_back(await scene.authorize(prompt="none"))


async def test_prompt_login_and_max_age_ask_again_once(scene: Scene) -> None:
    await scene.approve()
    scene.clock.advance(10)
    for changes in ({"prompt": "login"}, {"max_age": "9"}, {"max_age": "0"}):
        assert "/as/login?" in (await scene.authorize(**changes)).headers["location"]
        assert "code" in await scene.approve(**changes)
        scene.clock.advance(10)
    assert "code" in sent_back(await scene.authorize(max_age="10"))


async def test_the_default_scope_is_read_and_offline_access_is_dropped(scene: Scene) -> None:
    for scope in (None, "offline_access"):
        assert (await scene.tokens(scope=scope))["scope"] == "data:read"
    both = await scene.tokens(scope="offline_access data:write data:read data:read")
    assert both["scope"] == "data:read data:write"


async def test_the_client_gets_its_state_back_byte_for_byte(scene: Scene) -> None:
    state = "a b&c=d\u00e9%20#?\"'<>"
    assert (await scene.approve(state=state))["state"] == state
    assert "state" not in await scene.approve(state=None)


async def test_the_consent_page_says_who_asks_for_what(scene: Scene) -> None:
    body = {"redirect_uris": ["http://localhost:9/cb"], "client_name": "<b>Free money</b>"}
    client = (await scene.browser.post("/as/register", json=body)).json()["client_id"]
    await scene.sign_in()
    page = await scene.authorize(client_id=client, redirect_uri="http://localhost:9/cb")
    assert "&lt;b&gt;Free money&lt;/b&gt;" in page.text
    assert "<b>" not in page.text
    for shown in (client, scene.faces["data"], "data:read", "localhost:9"):
        assert shown in page.text
    assert "a program on this machine" in page.text
    assert set(hidden_fields(page.text)) == {*scene.request(), "csrf"}


async def test_every_decision_is_on_record(scene: Scene) -> None:
    await scene.approve()
    await scene.consent(await scene.authorize(prompt="consent"), "deny")
    decisions = [(e["actor"], e["decision"]) for e in scene.audit.of("identity.consent")]
    assert decisions == [(USERNAME, "done"), (USERNAME, "refused")]
