"""The pages: nobody else's site, frame, script or session can press a button here."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from auth.store import User
from tests.kit.identity import (
    PASSWORD,
    REDIRECT,
    USERNAME,
    Scene,
    hidden_fields,
    scene_of,
    sent_back,
)
from tests.kit.identity_store import MemoryStore
from topology import services


async def login_form(scene: Scene, target: str = "") -> dict[str, str]:
    page = await scene.browser.get("/as/login", params={"next": target})
    return {**hidden_fields(page.text), "username": USERNAME, "password": PASSWORD}


def cookie_facts(answer: httpx2.Response) -> set[str]:
    return {part.strip() for part in answer.headers["set-cookie"].split(";")[1:]}


async def consent_form(scene: Scene) -> dict[str, str]:
    await scene.sign_in()
    return {**hidden_fields((await scene.authorize()).text), "decision": "allow"}


@pytest.mark.parametrize(
    "csrf",
    [
        pytest.param(None, id="none"),
        pytest.param("0" * 64, id="wrong"),
        pytest.param("\u00e9", id="not ASCII"),
    ],
)
async def test_consent_without_the_token_of_the_session_is_refused(
    scene: Scene, csrf: str | None
) -> None:
    form = await consent_form(scene)
    form.pop("csrf")
    answer = await scene.post("authorize", **(form | ({"csrf": csrf} if csrf else {})))
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1:8000"])
@pytest.mark.parametrize("page", ["authorize", "login"])
async def test_a_form_from_another_origin_is_refused(scene: Scene, origin: str, page: str) -> None:
    form = await (consent_form if page == "authorize" else login_form)(scene)
    before = dict(scene.browser.cookies)
    headers = {"origin": origin}
    answer = await scene.browser.post(f"/as/{page}", data=form, headers=headers)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert dict(scene.browser.cookies) == before


async def test_our_own_origin_is_welcome(scene: Scene) -> None:
    form = await consent_form(scene)
    headers = {"origin": scene.issuer.removesuffix("/as")}
    assert "code" in sent_back(
        await scene.browser.post("/as/authorize", data=form, headers=headers)
    )


async def test_consent_is_validated_again(scene: Scene) -> None:
    form = await consent_form(scene)
    evil = await scene.post("authorize", **{**form, "redirect_uri": "https://evil.test/"})
    assert evil.status_code == 400
    other = sent_back(await scene.post("authorize", **{**form, "scope": "backtest:run"}))
    assert other["error"] == "invalid_scope"
    undecided = await scene.post("authorize", **{**form, "decision": "maybe"})
    assert undecided.status_code == 400


async def test_consent_after_the_session_ended_is_refused(scene: Scene) -> None:
    form = await consent_form(scene)
    scene.clock.advance(43_200)
    assert (await scene.post("authorize", **form)).status_code == 400


async def test_a_code_cannot_be_fetched_by_posting_without_a_session(scene: Scene) -> None:
    form = {**scene.request(), "decision": "allow", "csrf": "x"}
    assert (await scene.post("authorize", **form)).status_code == 400


async def test_a_session_gets_a_new_secret_at_every_sign_in(scene: Scene) -> None:
    form = await login_form(scene)
    secrets = [dict(scene.browser.cookies)]
    await scene.post("login", **form)
    secrets.append(dict(scene.browser.cookies))
    await scene.sign_in()
    secrets.append(dict(scene.browser.cookies))
    assert len({value for jar in secrets for value in jar.values()}) == 3
    assert len({name for jar in secrets for name in jar}) == 1
    scene.browser.cookies.clear()
    scene.browser.cookies.update(secrets[1])  # the first session ended when the second began
    assert "/as/login?" in (await scene.authorize()).headers["location"]


async def test_a_planted_session_does_not_survive_the_sign_in(scene: Scene) -> None:
    await login_form(scene)
    name = scene.cookie_name
    scene.browser.cookies.clear()
    scene.browser.cookies.set(name, "planted", domain="localhost.local", path="/as")
    form = await login_form(scene)
    await scene.post("login", **form)
    assert "planted" not in {cookie.value for cookie in scene.browser.cookies.jar}


async def test_the_cookie_is_for_this_issuer_and_no_script(scene: Scene) -> None:
    answer = await scene.sign_in()
    assert cookie_facts(answer) == {"HttpOnly", "SameSite=lax", "Path=/as"}
    assert scene.cookie_name.startswith("asw_login_")


async def test_the_cookie_travels_by_https_alone_where_the_issuer_does(tmp_path: Path) -> None:
    text = services.PACKAGED.read_text("utf-8").replace(
        "base_url: http://localhost:8000", "base_url: https://suite.example"
    )
    (tmp_path / "topology.yaml").write_text(text, "utf-8")
    topology = services.load({}, path=tmp_path / "topology.yaml")
    scene = scene_of(tmp_path, MemoryStore(), topology=topology)
    assert "Secure" in cookie_facts(await scene.browser.get("/as/login"))


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test",
        "//evil.test",
        "/\\evil.test",
        "javascript:alert(1)",
        "/as/authorize",
        "/as/authorize/../../x?",
        "/as/login?next=x",
        "http://localhost:8000/as/authorize?x=1",
        " /as/authorize?x=1",
    ],
)
async def test_a_sign_in_leads_nowhere_but_to_our_own_endpoint(scene: Scene, target: str) -> None:
    answer = await scene.sign_in(target)
    assert answer.status_code == 200
    assert "You are signed in" in answer.text


async def test_a_sign_in_leads_back_to_the_request(scene: Scene) -> None:
    start = await scene.authorize(state="caf\u00e9 & co", prompt="login consent", max_age="5")
    target = dict(parse_qsl(urlsplit(start.headers["location"]).query))["next"]
    back = (await scene.sign_in(target)).headers["location"]
    assert back.isascii()
    assert urlsplit(back).path == "/as/authorize"
    sent = scene.request(state="caf\u00e9 & co", prompt="consent")
    assert dict(parse_qsl(urlsplit(back).query)) == sent


async def test_the_security_headers_of_a_page(scene: Scene) -> None:
    start = await scene.authorize()
    login = await scene.browser.get(start.headers["location"])
    await scene.sign_in()
    consent = await scene.authorize()
    for page, script in ((login, "script-src 'self'; "), (consent, "")):
        assert page.headers["content-security-policy"] == (
            f"default-src 'none'; style-src 'self'; {script}frame-ancestors 'none'; "
            "base-uri 'none'; form-action 'self' http://127.0.0.1:51000"
        )
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["cache-control"] == "no-store"
        ours = '<script src="/as/passkey.js" defer></script>' if script else ""
        assert re.findall(r"<script.*", page.text) == ([ours] if ours else [])
        assert not re.search(r"\s(style|on\w+)=", page.text)
    style = await scene.browser.get("/as/style.css")
    assert style.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("redirect", "source"),
    [
        pytest.param("http://[::1]:51000/callback", "http:", id="IPv6 has no host source"),
        pytest.param("http://localhost:1/callback", "http://localhost:1", id="host and port"),
    ],
)
async def test_a_form_may_lead_to_the_redirect_and_nowhere_else(
    scene: Scene, redirect: str, source: str
) -> None:
    await scene.sign_in()
    page = await scene.authorize(redirect_uri=redirect)
    assert page.headers["content-security-policy"].endswith(f"form-action 'self' {source}")


async def test_a_sign_in_page_for_a_stranger_opens_no_form_target(scene: Scene) -> None:
    page = await scene.browser.get(
        "/as/login", params={"next": "/as/authorize?redirect_uri=https://evil.test"}
    )
    assert page.headers["content-security-policy"].endswith("form-action 'self'")


async def test_redirects_to_the_client_are_303_and_tell_no_referrer(scene: Scene) -> None:
    await scene.approve()
    answer = await scene.authorize()
    assert answer.status_code == 303
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_wrong_password_says_no_more_than_that(scene: Scene) -> None:
    wrong = await scene.sign_in(password="not my password")
    form = await login_form(scene)
    nobody = await scene.post("login", **{**form, "username": "<i>nobody", "password": "x"})
    assert wrong.status_code == nobody.status_code == 400
    for page in (wrong, nobody):
        assert "do not belong together" in page.text
        assert "not my password" not in page.text
    assert "&lt;i&gt;nobody" in nobody.text


async def test_five_wrong_passwords_lock_the_name_for_a_minute(any_scene: Scene) -> None:
    scene = any_scene
    answers = [await scene.sign_in(password=f"wrong {i}") for i in range(5)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 429]
    locked = await scene.sign_in()
    assert locked.status_code == 429
    assert locked.headers["retry-after"] == "60"
    scene.clock.advance(60)
    assert (await scene.sign_in()).status_code == 200


async def test_knocking_at_a_locked_name_does_not_fill_the_record(scene: Scene) -> None:
    for attempt in range(9):
        await scene.sign_in(password=f"wrong {attempt}")
    reasons = [event["facts"].get("reason") for event in scene.audit.of("identity.login")]
    assert reasons == ["wrong"] * 4 + ["locked"]


async def test_an_account_without_a_password_cannot_sign_in_here(scene: Scene) -> None:
    scene.store.add_user(User("owner", None, 0))
    form = {**await login_form(scene), "username": "owner"}
    for password in ("", "None", "x" * 2000):
        assert (await scene.post("login", **{**form, "password": password})).status_code == 400


async def test_sign_ins_are_recorded_without_what_was_typed(scene: Scene) -> None:
    form = await login_form(scene)
    await scene.post("login", **{**form, "username": PASSWORD, "password": USERNAME})
    await scene.sign_in(password="wrong")
    await scene.sign_in()
    events = scene.audit.of("identity.login")
    assert [(e["actor"], e["decision"], e["facts"]["reason"]) for e in events] == [
        ("unknown", "refused", "wrong"),
        (USERNAME, "refused", "wrong"),
        (USERNAME, "done", ""),
    ]
    assert PASSWORD not in repr(scene.audit.events)


@pytest.mark.parametrize("page", ["authorize", "login"])
async def test_forms_of_the_wrong_kind_are_refused(scene: Scene, page: str) -> None:
    form = await consent_form(scene)
    as_json = await scene.browser.post(f"/as/{page}", json=form)
    with_query = await scene.browser.post(f"/as/{page}?x=1", data=form)
    too_long = await scene.browser.post(f"/as/{page}", data={**form, "x": "x" * 70_000})
    assert [a.status_code for a in (as_json, with_query, too_long)] == [400, 400, 413]


async def test_two_clients_of_one_name_are_two_clients(any_scene: Scene) -> None:
    scene = any_scene
    sent = {"redirect_uris": [REDIRECT], "client_name": "AlphaSwarm <b>command line</b>"}
    made = [(await scene.browser.post("/as/register", json=sent)).json() for _ in range(2)]
    one, two = (body["client_id"] for body in made)
    await scene.tokens(client_id=one)
    assert (await scene.authorize(client_id=one)).status_code == 303, "asked once"
    page = await scene.authorize(client_id=two)
    assert page.status_code == 200, "the other one of that name is asked about again"
    assert "gave itself its name" in page.text
    assert "&lt;b&gt;command" in page.text
    assert two in page.text
    own = await scene.authorize()
    assert own.status_code == 200
    assert "gave itself its name" not in own.text
