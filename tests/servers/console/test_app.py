"""The console over plain HTTP: who is let in, what is let through, and what never comes out."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from servers.console.app import Console
from servers.console.signing import safe
from tests.kit.console import Visitor
from tests.kit.identity import USERNAME
from tests.kit.live import Live
from topology import services
from topology.clock import SystemClock
from topology.issuers import ExternalIssuer


@pytest.fixture(scope="module")
def visitor(live: Live) -> Iterator[Visitor]:
    """Give somebody who has signed in."""
    with Visitor(live.topology.base_url) as person:
        person.sign_in()
        yield person


@pytest.fixture
def stranger(live: Live) -> Iterator[Visitor]:
    with Visitor(live.topology.base_url) as person:
        yield person


def cookie(answer: httpx2.Response) -> SimpleCookie:
    return SimpleCookie(answer.headers["set-cookie"])


def test_one_visit_signs_in_at_every_server(live: Live, visitor: Visitor) -> None:
    said = visitor.get("/session").json()
    assert said["user"] == USERNAME
    assert said["servers"] == sorted({"control", "data", "backtest"} & set(live.topology.faces))
    assert said["notices"] == []


def test_the_browser_gets_a_secret_of_its_own_and_a_new_one_when_it_has_signed_in(
    stranger: Visitor,
) -> None:
    (before,) = cookie(stranger.get("/sign-in")).values()
    assert (before["httponly"], before["samesite"], before["path"]) == (True, "strict", "/console")
    stranger.sign_in()
    after = stranger.http.cookies.get(before.key, path="/console")
    assert after
    assert after != before.value


def test_the_sign_in_is_code_with_pkce_for_one_server_at_a_time(
    live: Live, stranger: Visitor
) -> None:
    asked = parse_qs(urlsplit(stranger.get("/sign-in").headers["location"]).query)
    assert asked["client_id"] == ["alphaswarm-console"]
    assert asked["resource"] == [live.url("control")]
    assert asked["scope"] == ["control:read"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{live.topology.base_url}/console/callback"]


def test_without_a_session_nothing_is_answered(stranger: Visitor) -> None:
    for path in ("/session", "/health", "/frames?tasks=x", "/view/backtest"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_required"), path


def test_a_page_of_ours_calls_tools(visitor: Visitor) -> None:
    answer = visitor.call("control", "halt_status")
    assert answer.status_code == 200
    assert answer.json()["latch"] == "readable"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param({"x_csrf_token": ""}, id="no token"),
        pytest.param({"x_csrf_token": "0" * 64}, id="a wrong token"),
        pytest.param({"origin": "http://localhost:1"}, id="a page on another port"),
        pytest.param({"origin": "null"}, id="a sandboxed frame"),
        pytest.param({"sec_fetch_site": "same-site"}, id="the same host, another port"),
        pytest.param({"sec_fetch_site": "cross-site"}, id="another site"),
    ],
)
def test_what_no_page_of_ours_has_sent_is_refused(visitor: Visitor, bent: dict[str, str]) -> None:
    for path in ("/call/control/halt_status", "/step-up", "/sign-out"):
        answer = visitor.post(path, {}, **bent)
        assert (answer.status_code, answer.json()["code"]) == (403, "access_denied"), path
    assert visitor.get("/session").status_code == 200


def test_reading_is_for_our_own_pages_too(visitor: Visitor) -> None:
    answer = visitor.get("/session", **{"sec-fetch-site": "same-site"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("server", "tool", "status", "code"),
    [
        ("backtest", "submit_backtest", 403, "access_denied"),
        ("control", "halt", 403, "access_denied"),
        ("nowhere", "get_run", 400, "unknown_name"),
    ],
)
def test_only_what_the_pages_need_is_passed_on(
    visitor: Visitor, server: str, tool: str, status: int, code: str
) -> None:
    answer = visitor.call(server, tool)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_errors_of_the_servers_arrive_as_they_are(visitor: Visitor) -> None:
    unknown = visitor.call("control", "get_run", run_id="0" * 26)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    wrong = visitor.call("control", "list_runs", limit=0)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_arguments")
    assert visitor.post("/call/control/list_runs", [1]).status_code == 400


def test_an_answer_that_nobody_waits_for_signs_nobody_in(stranger: Visitor) -> None:
    stranger.get("/sign-in")
    answer = stranger.get("/callback?state=made-up&code=x&iss=y")
    assert answer.headers["location"] == "/console?failed=stale"
    assert stranger.get("/session").status_code == 401


def test_an_answer_belongs_to_the_browser_that_asked_and_works_once(
    live: Live, stranger: Visitor
) -> None:
    asked = parse_qs(urlsplit(stranger.get("/sign-in").headers["location"]).query)
    answer = f"/callback?state={asked['state'][0]}&error=access_denied&iss="
    answer += live.identity.issuer.config.issuer
    with Visitor(live.topology.base_url) as other:
        other.get("/sign-in")
        assert other.get(answer).headers["location"] == "/console?failed=stale"
    assert stranger.get(answer).headers["location"] == "/console?failed=sign_in_required"
    assert stranger.get(answer).headers["location"] == "/console?failed=stale"


def test_an_answer_from_another_issuer_is_not_taken(stranger: Visitor) -> None:
    asked = parse_qs(urlsplit(stranger.get("/sign-in").headers["location"]).query)
    answer = stranger.get(f"/callback?state={asked['state'][0]}&code=x&iss=elsewhere")
    assert answer.headers["location"] == "/console?failed=access_denied"


def test_an_answer_without_the_strict_cookie_comes_again_from_a_page_of_ours(
    stranger: Visitor,
) -> None:
    page = stranger.get('/callback?state="><b>&code=c')
    assert page.status_code == 200
    assert "url=/console/callback?" in page.text
    assert "<b>" not in page.text
    assert stranger.get("/callback?state=x&again=1").status_code == 303


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("/console/runs/01m7z4d8p0fvbqpbpey665avyy", None),
        ("/console/runs?kind=backtest&status=failed", None),
        ("/console", None),
        ("//evil.example", "/console"),
        ("https://evil.example/console", "/console"),
        ("/console/../as/login", "/console"),
        ("/console//evil.example", "/console"),
        ("/consoles", "/console"),
        ("/console\r\nSet-Cookie: a=b", "/console"),
        ("/console/\\evil.example", "/console"),
        ("/as/authorize", "/console"),
    ],
)
def test_a_sign_in_leads_back_into_the_console_only(asked: str, led: str | None) -> None:
    assert safe(asked) == (asked if led is None else led)


def test_another_name_of_this_machine_leads_to_the_canonical_one(live: Live) -> None:
    port = live.topology.listen.port
    answer = httpx2.get(f"http://127.0.0.1:{port}/console/runs?kind=data")
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{live.topology.base_url}/console/runs?kind=data"


def test_pages_carry_a_policy_and_unknown_ones_are_404(stranger: Visitor) -> None:
    for path, status in (("", 200), ("/runs/x", 200), ("/nothing", 404), ("/runs/x/y", 404)):
        page = stranger.get(path)
        assert page.status_code == status, path
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "<script type=" in page.text
        assert "style=" not in page.text


def test_files_are_package_data_and_nothing_else_is_served(stranger: Visitor) -> None:
    script = stranger.get("/static/pages/run.js")
    assert script.headers["content-type"].startswith("text/javascript")
    again = stranger.get("/static/pages/run.js", **{"if-none-match": script.headers["etag"]})
    assert again.status_code == 304
    for name in ("/static/..%2f__init__.py", "/static/pages", "/static/%2e%2e/tokens.py"):
        assert stranger.get(name).status_code == 404, name


def test_the_app_is_framed_by_us_only_and_reaches_nothing(visitor: Visitor) -> None:
    page = visitor.get("/view/backtest")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'; ")
    assert "frame-ancestors 'self'" in policy
    assert visitor.get("/view/control").status_code == 404


def test_a_step_up_is_for_one_action_of_three_tools(live: Live, visitor: Visitor) -> None:
    arguments = {"scope": "all", "reason": "a look", "orders": "keep"}
    answer = visitor.post("/step-up", {"tool": "halt", "arguments": arguments, "next": "//evil"})
    asked = parse_qs(urlsplit(answer.json()["location"]).query)
    assert asked["scope"] == ["control:halt control:read"]
    assert asked["resource"] == [live.url("control")]
    assert '"reason": "a look"' in asked["authorization_details"][0]
    answer = visitor.post("/step-up", {"tool": "cancel_run", "arguments": {"run_id": "x"}})
    asked = parse_qs(urlsplit(answer.json()["location"]).query)
    assert asked["scope"] == ["control:halt control:read"]
    for tool in ("apply_change", "submit_backtest", ""):
        refused = visitor.post("/step-up", {"tool": tool, "arguments": {}})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_arguments")


def test_who_has_no_second_factor_is_told_how_to_get_one(live: Live, visitor: Visitor) -> None:
    asked = {"tool": "halt", "arguments": {"scope": "all", "reason": "none"}}
    answer = visitor.http.get(visitor.post("/step-up", asked).json()["location"])
    back = visitor.http.get(answer.headers["location"])
    assert back.headers["location"] == "/console"
    (notice,) = visitor.get("/session").json()["notices"]
    assert "alphaswarm user enrol totp" in notice["error"]["message"]
    assert visitor.get("/session").json()["notices"] == []
    assert not live.office.halts.status().halted or "all" not in [
        one.scope for one in live.office.halts.status().scopes
    ]


def test_the_map_says_what_answers(live: Live, visitor: Visitor) -> None:
    said = visitor.get("/health").json()
    assert {one["name"]: one["state"] for one in said["servers"]} == dict.fromkeys(
        live.topology.faces, "up"
    )
    assert [one["state"] for one in said["issuers"]] == ["up"]
    assert {one["name"]: one["state"] for one in said["stores"]} == {
        "postgres": "up",
        "valkey": "up",
    }
    assert {one["name"] for one in said["workers"]} == set(live.topology.workers)


def test_there_is_no_console_where_another_issuer_signs_in_at_control() -> None:
    topology = services.load({})
    corp = ExternalIssuer(kind="oidc", issuer="https://login.example.com")
    servers = {n: one.model_copy(update={"issuer": "corp"}) for n, one in topology.servers.items()}
    moved = topology.model_copy(update={"issuers": {"corp": corp}, "servers": servers})
    assert Console(moved, SystemClock()).routes() == []
    assert Console(topology, SystemClock()).routes()


def test_signing_out_ends_the_session_and_its_grants(live: Live, stranger: Visitor) -> None:
    stranger.sign_in()
    kept = dict(stranger.http.cookies)
    assert stranger.post("/sign-out").status_code == 200
    again = httpx2.get(f"{live.topology.base_url}/console/session", cookies=kept)
    assert again.status_code == 401
    fresh = stranger.get("/sign-in?fresh=1").headers["location"]
    assert fresh.endswith("&prompt=login")
