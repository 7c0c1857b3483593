"""Passkeys at the issuer: a ticket enrols one, one alone signs in, and a lie gets nobody in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from auth.accounts import Accounts
from auth.factors.passkeys import Passkeys
from auth.factors.seal import Seal
from auth.store import Factor
from servers.identity.__main__ import passkey_address
from tests.kit.authenticator import PRESENT, VERIFIED, Authenticator, options_of, raw, text
from tests.kit.identity import CHEAP, PASSWORD, USERNAME, Scene, hidden_fields
from tests.servers.identity.test_step_up import HALT, claims, page_of
from topology.errors import BadInputError, MissingError


async def enrol(
    scene: Scene, device: Authenticator, *, ticket: str = "", name: str = "", user: str = USERNAME
) -> httpx2.Response:
    """Open the page of a ticket and make a key on ``device``."""
    ticket = ticket or scene.identity.issuer.tickets.make(user, scene.now())
    page = await scene.browser.get("/as/passkeys", params={"ticket": ticket})
    form = {**hidden_fields(page.text), "name": name}
    return await scene.post(
        "passkeys", **{**form, "credential": device.create(options_of(page.text))}
    )


async def press(scene: Scene, device: Authenticator, page: str = "login") -> httpx2.Response:
    """Press the passkey button of a page."""
    shown = await scene.browser.get(f"/as/{page}")
    form = {**hidden_fields(shown.text), "credential": device.get(options_of(shown.text))}
    return await scene.post(f"{page}/passkey", **form)


@pytest.fixture
async def device(scene: Scene) -> Authenticator:
    """Return a device that holds a key of ada."""
    one = Authenticator()
    assert (await enrol(scene, one)).status_code == 303
    return one


# Enrolling


async def test_a_ticket_enrols_one_key_and_leads_to_a_sign_in_with_it(scene: Scene) -> None:
    device = Authenticator()
    answer = await enrol(scene, device, name="laptop")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/as/login?next=%2Fas%2Fpasskeys",
    )
    (key,) = scene.store.factors(USERNAME)
    assert (key.kind, key.name, key.used) == ("passkey", "laptop", 0)
    assert json.loads(key.secret)["id"] == text(device.key_id)
    (event,) = scene.audit.of("identity.factor")
    assert (event["actor"], event["decision"]) == (USERNAME, "done")


async def test_a_ticket_is_good_once_and_for_five_minutes(scene: Scene) -> None:
    issuer = scene.identity.issuer
    ticket = issuer.tickets.make(USERNAME, scene.now())
    assert (await enrol(scene, Authenticator(), ticket=ticket)).status_code == 303
    again = await enrol(scene, Authenticator(), ticket=ticket)
    assert again.status_code == 400
    assert "too old or was used" in again.text
    late = issuer.tickets.make(USERNAME, scene.now())
    scene.clock.advance(300)
    page = await scene.browser.get("/as/passkeys", params={"ticket": late})
    assert page.status_code == 400
    assert len(scene.store.factors(USERNAME)) == 1


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(lambda ticket: "", id="nothing"),
        pytest.param(lambda ticket: "x.y", id="no base64"),
        pytest.param(lambda ticket: f"{text(b'eve')}.{ticket.partition('.')[2]}", id="for eve"),
        pytest.param(lambda ticket: ticket[:-2] + "AA", id="another MAC"),
    ],
)
async def test_a_forged_ticket_opens_no_page(scene: Scene, forged: Callable[[str], str]) -> None:
    ticket = forged(scene.identity.issuer.tickets.make(USERNAME, scene.now()))
    page = await scene.browser.get("/as/passkeys", params={"ticket": ticket})
    assert page.status_code == 400
    assert "data-options" not in page.text


@pytest.mark.parametrize(
    ("device", "told"),
    [
        pytest.param(Authenticator(origin="https://evil.test"), "not made as asked", id="origin"),
        pytest.param(Authenticator(flags=PRESENT), "not made as asked", id="no person verified"),
        pytest.param(Authenticator(cross=True), "not made as asked", id="in a foreign frame"),
    ],
)
async def test_a_key_that_is_not_made_as_asked(
    scene: Scene, device: Authenticator, told: str
) -> None:
    answer = await enrol(scene, device)
    assert answer.status_code == 400
    assert told in answer.text
    assert scene.store.factors(USERNAME) == []


async def test_what_was_refused_leaves_the_ticket_and_says_why(scene: Scene) -> None:
    ticket = scene.identity.issuer.tickets.make(USERNAME, scene.now())
    device = Authenticator()
    refused = await enrol(scene, device, ticket=ticket, name="x" * 65)
    assert refused.status_code == 400
    assert "1 to 64 printable" in refused.text
    assert (await enrol(scene, device, ticket=ticket)).status_code == 303
    twice = await enrol(scene, device)
    assert "enrolled already" in twice.text


async def test_a_person_has_at_most_ten_keys(scene: Scene) -> None:
    scene.store.add_factors(
        [Factor(f"{i:032x}", USERNAME, "passkey", '{"id": "eA"}', 0) for i in range(10)]
    )
    answer = await enrol(scene, Authenticator())
    assert "at most 10 passkeys" in answer.text


async def test_a_key_answers_the_page_that_asked_and_no_other(scene: Scene) -> None:
    ticket = scene.identity.issuer.tickets.make(USERNAME, scene.now())
    page = await scene.browser.get("/as/passkeys", params={"ticket": ticket})
    other = await scene.browser.get("/as/login")
    swapped = {**options_of(page.text), "challenge": options_of(other.text)["challenge"]}
    form = {**hidden_fields(page.text), "credential": Authenticator().create(swapped)}
    assert (await scene.post("passkeys", **form)).status_code == 400


# Signing in and stepping up


async def test_a_key_alone_is_worth_both_factors(scene: Scene, device: Authenticator) -> None:
    before = dict(scene.browser.cookies)
    answer = await press(scene, device)
    assert "You are signed in" in answer.text
    assert dict(scene.browser.cookies) != before
    body = await scene.tokens(resource=scene.faces["control"], scope=HALT)
    held = claims(scene, body["access_token"])
    assert (held.sub, held.acr, held.amr) == (USERNAME, "urn:alphaswarm:acr:phr", ("hwk", "user"))
    assert held.auth_time == scene.now()
    assert [e["facts"]["acr"] for e in scene.audit.of("identity.login")] == [held.acr]


async def test_a_key_is_a_second_factor_too(scene: Scene, device: Authenticator) -> None:
    await scene.sign_in()
    scene.clock.advance(10)
    before = dict(scene.browser.cookies)
    assert (await press(scene, device, "factor")).status_code == 200
    assert dict(scene.browser.cookies) != before
    body = await scene.tokens(resource=scene.faces["control"], scope=HALT)
    held = claims(scene, body["access_token"])
    assert (held.acr, held.amr) == ("urn:alphaswarm:acr:phr", ("pwd", "hwk"))
    assert held.auth_time == scene.now() - 10


async def test_a_challenge_is_good_once_in_its_browser_and_for_five_minutes(
    scene: Scene, device: Authenticator
) -> None:
    page = await scene.browser.get("/as/login")
    form = {**hidden_fields(page.text), "credential": device.get(options_of(page.text))}
    assert (await scene.post("login/passkey", **form)).status_code == 200
    shown = await scene.browser.get("/as/login")
    replayed = {**form, "csrf": hidden_fields(shown.text)["csrf"]}
    assert (await scene.post("login/passkey", **replayed)).status_code == 400
    scene.browser.cookies.clear()
    page = await scene.browser.get("/as/login")
    late = {**hidden_fields(page.text), "credential": device.get(options_of(page.text))}
    scene.clock.advance(300)
    assert (await scene.post("login/passkey", **late)).status_code == 400
    assert page_of((await scene.authorize()).headers["location"]) == "login"


async def test_a_copied_key_is_refused_and_recorded(scene: Scene, device: Authenticator) -> None:
    await press(scene, device)
    await press(scene, device)
    device.count = 0
    for _ in range(2):
        answer = await press(scene, device)
        assert answer.status_code == 400
        assert "may be a copy" in answer.text
    events = scene.audit.of("identity.login")
    assert [e["facts"]["reason"] for e in events] == ["", "", "copied", "copied"]
    assert "You are signed in" in (await press(scene, device)).text, "the true one counts on"


async def test_a_device_without_a_counter_signs_in_again_and_again(
    scene: Scene, device: Authenticator
) -> None:
    for _ in range(2):
        device.count = -1
        assert (await press(scene, device)).status_code == 200


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "http://localhost:9000"},
        {"flags": PRESENT},
        {"flags": VERIFIED},
        {"handle": "ZXZl"},
    ],
    ids=str,
)
async def test_a_lie_is_refused_and_five_lock_the_key_for_a_minute(
    scene: Scene, device: Authenticator, lie: dict[str, Any]
) -> None:
    honest = {name: getattr(device, name) for name in lie}
    vars(device).update(lie)
    answers = [(await press(scene, device)).status_code for _ in range(6)]
    assert answers == [400, 400, 400, 400, 429, 429]
    vars(device).update(honest)
    locked = await press(scene, device)
    assert (locked.status_code, locked.headers["retry-after"]) == (429, "60")
    scene.clock.advance(60)
    assert (await press(scene, device)).status_code == 200
    reasons = [e["facts"]["reason"] for e in scene.audit.of("identity.login")]
    assert reasons == ["wrong"] * 4 + ["locked", ""]


async def test_a_stranger_learns_nothing_and_fills_no_record(
    scene: Scene, device: Authenticator
) -> None:
    stranger = Authenticator(handle=device.handle)
    texts = {(await press(scene, stranger)).text.count("was not accepted") for _ in range(6)}
    assert texts == {1}
    page = await scene.browser.get("/as/login")
    assert options_of(page.text)["allowCredentials"] == []
    assert scene.audit.of("identity.login") == []


async def test_a_key_of_one_person_never_raises_another(
    scene: Scene, device: Authenticator
) -> None:
    Accounts(scene.store, scene.audit, scene.clock, CHEAP).add("eve", PASSWORD)
    hers = Authenticator()
    assert (await enrol(scene, hers, user="eve")).status_code == 303
    await scene.sign_in()
    answer = await press(scene, hers, "factor")
    assert answer.status_code == 400
    body = await scene.authorize(resource=scene.faces["control"], scope=HALT)
    assert page_of(body.headers["location"]) == "factor"


async def test_the_second_factor_without_the_first_is_refused(
    scene: Scene, device: Authenticator
) -> None:
    page = await scene.browser.get("/as/login")
    form = {**hidden_fields(page.text), "credential": device.get(options_of(page.text))}
    answer = await scene.post("factor/passkey", **form)
    assert answer.status_code == 400
    assert "sign-in has ended" in answer.text


@pytest.mark.parametrize(
    "credential",
    ["", "{", "[]", "1", '"x"', '{"id": 1}', '{"id": "x", "response": []}', "[" * 5000,
     '{"id": "x", "response": {"clientDataJSON": "e30"}}',
     '{"id": "x", "response": {"clientDataJSON": 7}}',
     json.dumps({"id": "x", "response": {"clientDataJSON": text(b'{"challenge": []}')}})],
)  # fmt: skip
async def test_what_no_browser_would_send(scene: Scene, credential: str) -> None:
    page = await scene.browser.get("/as/login")
    form = {**hidden_fields(page.text), "credential": credential}
    assert (await scene.post("login/passkey", **form)).status_code == 400


async def test_no_bit_of_an_answer_can_be_changed(scene: Scene, device: Authenticator) -> None:
    for part in ("authenticatorData", "signature", "clientDataJSON"):
        page = await scene.browser.get("/as/login")
        sent = json.loads(device.get(options_of(page.text)))
        data = bytearray(raw(sent["response"][part]))
        data[len(data) // 2] ^= 1
        sent["response"][part] = text(bytes(data))
        form = {**hidden_fields(page.text), "credential": json.dumps(sent)}
        assert (await scene.post("login/passkey", **form)).status_code == 400
        device.count = 0


# The pages


async def test_keys_are_shown_to_a_fresh_sign_in_with_all_factors_and_removed_there(
    scene: Scene, device: Authenticator
) -> None:
    assert page_of((await scene.browser.get("/as/passkeys")).headers["location"]) == "login"
    await scene.sign_in("/as/passkeys")
    assert page_of((await scene.browser.get("/as/passkeys")).headers["location"]) == "factor"
    await press(scene, device, "factor")
    page = await scene.browser.get("/as/passkeys")
    assert "passkey 1" in page.text
    assert "no recovery codes" in page.text
    form = hidden_fields(page.text)
    assert (await scene.post("passkeys/remove", **{**form, "id": "0" * 64})).status_code == 400
    scene.clock.advance(301)
    stale = await scene.post("passkeys/remove", **form)
    assert stale.headers["location"] == "/as/passkeys"
    assert len(scene.store.factors(USERNAME)) == 1, "an old sign-in removes nothing"
    await press(scene, device)
    form |= hidden_fields((await scene.browser.get("/as/passkeys")).text)
    assert (await scene.post("passkeys/remove", **form)).status_code == 303
    assert scene.store.factors(USERNAME) == []
    assert "not accepted" in (await press(scene, device)).text


@pytest.mark.parametrize("page", ["passkeys", "passkeys/remove", "login/passkey", "factor/passkey"])
async def test_the_new_forms_are_guarded_like_the_old_ones(
    scene: Scene, device: Authenticator, page: str
) -> None:
    await press(scene, device)
    held = await scene.browser.get("/as/passkeys")
    form = {**hidden_fields(held.text), "credential": "{}"}
    evil = {"origin": "https://evil.test"}
    answers = [
        await scene.browser.post(f"/as/{page}", data=form, headers=evil),
        await scene.post(page, **{**form, "csrf": "0" * 64}),
        await scene.browser.post(f"/as/{page}", json=form),
        await scene.browser.post(f"/as/{page}", data={**form, "x": "x" * 70_000}),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 413]
    assert len(scene.store.factors(USERNAME)) == 1


async def test_the_security_headers_of_the_new_pages(scene: Scene, device: Authenticator) -> None:
    ticket = scene.identity.issuer.tickets.make(USERNAME, scene.now())
    making = await scene.browser.get("/as/passkeys", params={"ticket": ticket})
    await scene.sign_in()
    second = await scene.browser.get("/as/factor")
    await press(scene, device)
    listed = await scene.browser.get("/as/passkeys")
    for page, script in (
        (making, "script-src 'self'; "),
        (second, "script-src 'self'; "),
        (listed, ""),
    ):
        assert page.headers["content-security-policy"] == (
            f"default-src 'none'; style-src 'self'; {script}frame-ancestors 'none'; "
            "base-uri 'none'; form-action 'self'"
        )
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["cache-control"] == "no-store"
        assert page.text.count("<script") == bool(script)
    source = await scene.browser.get("/as/passkey.js")
    assert source.headers["content-type"].startswith("text/javascript")
    assert source.headers["x-content-type-options"] == "nosniff"


async def test_a_person_without_keys_is_offered_none_as_a_second_factor(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    page = await scene.browser.get("/as/factor")
    assert "data-passkey" not in page.text
    assert "<script" not in page.text


# The administrator


def test_an_address_of_numbers_has_no_passkeys(scene: Scene) -> None:
    seal = Seal.open(scene.home.keys)
    assert Passkeys.of("http://127.0.0.1:8000/as", seal) is None
    assert Passkeys.of("https://[::1]/as", seal) is None
    found = Passkeys.of("https://desk.example:8443/as", seal)
    assert found is not None
    assert (found.host, found.origin) == ("desk.example", "https://desk.example:8443")
    accounts = Accounts(scene.store, scene.audit, scene.clock, CHEAP)
    with pytest.raises(BadInputError, match="belongs to a host name"):
        passkey_address(accounts, seal, "http://127.0.0.1:8000/as", USERNAME)
    with pytest.raises(MissingError):
        passkey_address(accounts, seal, scene.issuer, "nobody")


async def test_the_address_of_the_administrator_works(scene: Scene) -> None:
    accounts = Accounts(scene.store, scene.audit, scene.clock, CHEAP)
    seal = Seal.open(scene.home.keys)
    address = passkey_address(accounts, seal, scene.issuer, USERNAME)
    ticket = address.removeprefix(f"{scene.issuer}/passkeys?ticket=")
    assert (await enrol(scene, Authenticator(), ticket=ticket, name="desk")).status_code == 303
    assert ticket not in json.dumps(scene.audit.events)
    body = await scene.tokens()
    with pytest.raises(MissingError, match="no one second factor"):
        accounts.remove_factor(USERNAME, "phone")
    accounts.remove_factor(USERNAME, "desk")
    assert scene.store.factors(USERNAME) == []
    assert (await scene.refresh(body["refresh_token"])).status_code == 400
