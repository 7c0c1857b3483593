"""Machines that act for a person (design list 60-62): signed clients, exchange, grants, jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt

from auth.grants.device import RUN
from auth.grants.jobs import GRANT_TYPE, job_grant
from auth.machine_keys import key_file
from auth.store import Grant
from auth.tokens import Claims
from servers.identity.compose import Identity
from tests.kit.identity import Scene, hidden_fields, scene_of
from tests.kit.identity_store import MemoryStore
from tests.kit.machines import ACCESS, DEVICE, EXCHANGE, SPEC, Machine
from topology import services
from topology.errors import RefusedError
from topology.latch import Latch
from topology.principal import Principal

MACHINE = Machine()
OTHER = Machine("other-runtime")
RUN_ID, OTHER_RUN = "r" * 26, "s" * 26


def clients_of(*machines: Machine) -> dict[str, Any]:
    grants = ["token_exchange", "client_credentials", "device_code"]
    return {
        machine.client_id: {"grants": grants, "keys": [machine.public()], "scopes": ["data:read"]}
        for machine in machines
    }


def topology_with(folder: Path) -> services.Topology:
    """Return the packaged topology with two runtimes, one of which may exchange data -> control."""
    overlay = {
        "clients": clients_of(MACHINE, OTHER),
        "exchange": [
            {
                "client": MACHINE.client_id,
                "source": "data",
                "targets": ["control", "backtest"],
                "scopes": ["control:read", "backtest:read", "backtest:run"],
            }
        ],
    }
    text = services.PACKAGED.read_text("utf-8").replace(
        "profiles: {}", f"profiles: {json.dumps({'machines': overlay})}"
    )
    file = folder / "topology.yaml"
    file.write_text(text, "utf-8")
    return services.load({}, path=file, profile="machines")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return scene_of(tmp_path, MemoryStore(), topology=topology_with(tmp_path))


def verified(scene: Scene, token: str, server: str) -> Claims:
    identity: Identity = scene.identity
    return identity.verifier(scene.faces[server]).verify(token, scene.now())


async def test_a_runtime_acts_for_a_person_at_another_server(scene: Scene) -> None:
    person = (await scene.tokens())["access_token"]
    scene.clock.advance(30)
    answer = await MACHINE.exchange(scene, person)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "issued_token_type"}
    assert (body["expires_in"], body["issued_token_type"]) == (120, ACCESS)
    assert answer.headers["cache-control"] == "no-store"
    before, claims = (
        verified(scene, person, "data"),
        verified(scene, body["access_token"], "control"),
    )
    assert claims.act == {"sub": MACHINE.client_id, "spec": SPEC}
    assert (claims.aud, claims.scope) == (scene.faces["control"], "control:read")
    for name in ("sub", "sid", "acr", "auth_time", "amr"):
        assert getattr(claims, name) == getattr(before, name), name
    assert claims.principal().actor == MACHINE.client_id
    (event,) = scene.audit.of("identity.exchange")
    assert (event["actor"], event["facts"]["spec"]) == ("ada", SPEC)


async def test_it_never_outlives_the_persons_token_nor_his_grant(scene: Scene) -> None:
    person = await scene.tokens()
    scene.clock.advance(person["expires_in"] - 50)
    token = (await MACHINE.exchange(scene, person["access_token"])).json()
    assert token["expires_in"] == 50
    sid = verified(scene, token["access_token"], "control").sid
    scene.store.revoke_family(sid, now=scene.now())
    again = await MACHINE.exchange(scene, person["access_token"])
    assert again.json()["error"] == "invalid_request"


async def test_who_only_reads_lets_others_only_read(scene: Scene) -> None:
    backtest = scene.faces["backtest"]
    reading = (await scene.tokens(scope="data:read"))["access_token"]
    writing = (await scene.tokens(scope="data:read data:write"))["access_token"]
    one = await MACHINE.exchange(scene, reading, resource=backtest)
    two = await MACHINE.exchange(scene, writing, resource=backtest)
    three = await MACHINE.exchange(scene, writing, resource=backtest, scope="backtest:read")
    scopes = [answer.json()["scope"] for answer in (one, two, three)]
    assert scopes == ["backtest:read", "backtest:read backtest:run", "backtest:read"]
    more = await MACHINE.exchange(scene, reading, resource=backtest, scope="backtest:run")
    assert more.json()["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        pytest.param({"resource": "data"}, "invalid_target", id="a pair that nobody declared"),
        pytest.param({"resource": ""}, "invalid_target", id="no resource"),
        pytest.param({"scope": "control:halt"}, "invalid_scope", id="a step-up scope"),
        pytest.param({"scope": "control:read data:read"}, "invalid_scope", id="another server's"),
        pytest.param({"subject_token": "x.y.z"}, "invalid_request", id="no token"),
        pytest.param({"subject_token_type": ""}, "invalid_request", id="no type"),
        pytest.param({"subject_token_type": "urn:x"}, "invalid_request", id="another type"),
        pytest.param({"requested_token_type": "urn:x"}, "invalid_request", id="another result"),
        pytest.param({"spec": ""}, "invalid_request", id="nobody says what acts"),
        pytest.param({"spec": "A" * 64}, "invalid_request", id="no lower-case hash"),
        pytest.param({"actor_token": "x"}, "invalid_request", id="a second actor"),
    ],
)
async def test_a_bad_exchange_is_refused(scene: Scene, form: dict[str, str], error: str) -> None:
    person = (await scene.tokens())["access_token"]
    if form.get("resource"):
        form = {"resource": scene.faces[form["resource"]]}
    answer = await MACHINE.exchange(scene, person, **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_a_token_that_is_not_a_living_access_token_of_ours_is_no_subject(
    scene: Scene,
) -> None:
    person = await scene.tokens()
    foreign = Machine()
    claims = verified(scene, person["access_token"], "data").model_dump(exclude_none=True)
    forged = jwt.encode(
        {"alg": "ES256", "typ": "at+jwt", "kid": foreign.key.kid}, claims, foreign.key
    )
    scene.clock.advance(900)
    for token in (person["refresh_token"], person["access_token"], forged, "a" * 9000):
        answer = await MACHINE.exchange(scene, token)
        assert answer.json()["error"] == "invalid_request"


async def test_nobody_else_exchanges(scene: Scene) -> None:
    person = (await scene.tokens())["access_token"]
    assert (await OTHER.exchange(scene, person)).json()["error"] == "invalid_target"
    unsigned = await scene.post(
        "token", grant_type=EXCHANGE, client_id=MACHINE.client_id, subject_token=person
    )
    assert unsigned.json()["error"] == "invalid_client"
    public = await scene.post(
        "token", grant_type=EXCHANGE, client_id="alphaswarm-cli", subject_token=person
    )
    assert public.json()["error"] == "invalid_client"


async def test_who_acted_before_stays_inside(scene: Scene) -> None:
    person = (await scene.tokens(resource=scene.faces["data"]))["access_token"]
    first = verified(
        scene, (await MACHINE.exchange(scene, person)).json()["access_token"], "control"
    )
    nested = first.model_copy(update={"aud": scene.faces["data"], "jti": "j2"})
    issuer = scene.identity.issuer
    body = issuer.minter.signed(nested, "identity.exchange", {}, scene.now())
    second = (await MACHINE.exchange(scene, body["access_token"], spec="6" * 64)).json()
    claims = verified(scene, second["access_token"], "control")
    assert claims.act == {
        "sub": MACHINE.client_id,
        "spec": "6" * 64,
        "act": {"sub": MACHINE.client_id, "spec": SPEC},
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.test"},
        {"iss": "other-runtime"},
        {"sub": "other-runtime", "iss": "other-runtime"},
        {"exp": 1},
        {"exp": None},
        {"exp": 4_000_000_000},
        {"exp": True},
        {"jti": None},
        {"jti": 7},
        {"sub": None},
        {"sub": "nobody", "iss": "nobody"},
    ],
)
async def test_a_bad_assertion_is_no_client(scene: Scene, changes: dict[str, Any]) -> None:
    form = {"resource": scene.faces["data"], **MACHINE.proof(scene, **changes)}
    answer = await scene.post("token", grant_type="client_credentials", **form)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == "invalid_client"


async def test_an_assertion_works_once(any_store: Any, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, any_store, topology=topology_with(tmp_path))
    form = {"resource": scene.faces["data"], **MACHINE.proof(scene)}
    first = await scene.post("token", grant_type="client_credentials", **form)
    second = await scene.post("token", grant_type="client_credentials", **form)
    assert (first.status_code, second.json()["error"]) == (200, "invalid_client")
    named = {**form, **MACHINE.proof(scene), "client_id": "other-runtime"}
    third = await scene.post("token", grant_type="client_credentials", **named)
    assert third.json()["error"] == "invalid_client"


async def test_a_machine_on_its_own_behalf_is_never_a_person(scene: Scene) -> None:
    answer = await MACHINE.ask(scene, "client_credentials", resource=scene.faces["data"])
    body = answer.json()
    assert "refresh_token" not in body
    claims = verified(scene, body["access_token"], "data")
    assert (claims.sub, claims.scope) == ("client:agent-runtime", "data:read")
    assert claims.principal().actor == "agent-runtime"
    for form, error in (
        ({}, "invalid_target"),
        ({"resource": scene.faces["control"]}, "invalid_scope"),
        ({"resource": scene.faces["data"], "scope": "data:write"}, "invalid_scope"),
    ):
        refused = await MACHINE.ask(scene, "client_credentials", **form)
        assert refused.json()["error"] == error


async def test_a_worker_gets_a_token_for_its_one_task(any_store: Any, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, any_store)
    Latch.open(scene.home.latch, create=True).close()
    worker = Machine("alphaswarm-worker")
    text = json.loads(key_file(scene.home, "alphaswarm-worker").read_text("utf-8"))
    worker.key = type(worker.key).import_key(text)
    caller = Principal("ada", "alphaswarm-cli", frozenset({"backtest:run", "control:halt"}))
    store = scene.store

    def made(run_id: str) -> Grant:
        grant, family = job_grant(
            caller,
            audience=scene.faces["backtest"],
            scopes=("backtest:read", "control:halt", "data:read"),
            allowed=caller.scopes,
            worker="alphaswarm-worker",
            grant=Grant("", task_id="t1", run_id=run_id),
            now=scene.now(),
        )
        store.add_grant(grant, family)
        return grant

    async def token(grant: Grant, server: str = "backtest") -> Any:
        form = {"subject_token": grant.sid, "subject_token_type": GRANT_TYPE}
        answer = await worker.ask(scene, EXCHANGE, **form, resource=scene.faces[server])
        return answer.json()

    grant = made(RUN_ID)
    body = await token(grant)
    claims = verified(scene, body["access_token"], "backtest")
    assert (claims.task_id, claims.run_id, claims.scope) == ("t1", RUN_ID, "backtest:read")
    assert (claims.sub, claims.act) == ("ada", {"sub": "alphaswarm-worker"})
    assert body["expires_in"] == 120
    assert (await token(grant, "data"))["error"] == "invalid_target"
    scene.clock.advance(100)
    assert "access_token" in await token(grant), "renewed while the job lives"
    with Latch.open(scene.home.latch) as latch:
        epoch = latch.press(f"run:{RUN_ID}")
        assert (await token(grant))["error"] == "invalid_request", "halted: nothing is renewed"
        assert "access_token" in await token(made(OTHER_RUN)), "another run goes on"
        latch.lift(f"run:{RUN_ID}", epoch=epoch)
        latch.press("kind:backtest")
        assert (await token(made(OTHER_RUN)))["error"] == "invalid_request"
        latch.lift("kind:backtest", epoch=epoch + 1)
    store.revoke_family(grant.sid, now=scene.now())
    assert (await token(grant))["error"] == "invalid_request"
    scene.clock.advance(86_400)
    assert (await token(made("r2")))["scope"] == "backtest:read"


def test_nobody_passes_on_what_he_does_not_have(scene: Scene) -> None:
    caller = Principal("ada", "cli", frozenset({"data:read", "control:halt"}))
    for scopes, task in ((("backtest:run",), "t"), (("control:halt",), "t"), (("data:read",), "")):
        with pytest.raises(RefusedError):
            job_grant(
                caller,
                audience="x",
                scopes=scopes,
                allowed=caller.scopes,
                worker="w",
                grant=Grant("", task_id=task),
                now=scene.now(),
            )


async def test_a_person_allows_a_long_run_once(any_store: Any, tmp_path: Path) -> None:
    scene = scene_of(tmp_path, any_store, topology=topology_with(tmp_path))
    Latch.open(scene.home.latch, create=True).close()
    wish = {
        "resource": scene.faces["backtest"],
        "scope": "backtest:run",
        "authorization_details": json.dumps([{"type": RUN, "spec": SPEC, "hours": 2}]),
    }
    begun = (await scene.post("device_authorization", **MACHINE.proof(scene), **wish)).json()
    await scene.sign_in()
    at = f"{scene.issuer}/device"
    shown = await scene.browser.get(at, params={"user_code": begun["user_code"]})
    assert "for 2 hours" in shown.text
    assert SPEC in shown.text
    form = {**hidden_fields(shown.text), "decision": "allow"}
    assert (await scene.browser.post(at, data=form)).status_code == 200
    body = (await MACHINE.ask(scene, DEVICE, device_code=begun["device_code"])).json()
    assert "refresh_token" not in body
    (granted,) = body["authorization_details"]
    assert (granted["spec"], granted["hours"]) == (SPEC, 2)
    first = verified(scene, body["access_token"], "backtest")
    assert first.act == {"sub": MACHINE.client_id, "spec": SPEC}

    async def renewed(machine: Machine = MACHINE, **form: str) -> dict[str, Any]:
        subject = {"subject_token": granted["grant"], "subject_token_type": GRANT_TYPE, **form}
        target = {"resource": scene.faces["backtest"]}
        answer = await machine.ask(scene, EXCHANGE, **{**target, **subject})
        found: dict[str, Any] = answer.json()
        return found

    scene.clock.advance(3_600)
    again = await renewed()
    claims = verified(scene, again["access_token"], "backtest")
    assert (claims.sub, claims.scope, claims.act) == ("ada", "backtest:run", first.act)
    assert (again["expires_in"], claims.auth_time) == (120, first.auth_time)
    assert (await renewed(OTHER))["error"] == "invalid_request"
    assert (await renewed(spec="6" * 64))["error"] == "invalid_request"
    assert (await renewed(scope="backtest:read"))["error"] == "invalid_scope"
    scene.clock.advance(3_570)
    assert (await renewed())["expires_in"] == 30, "two hours are two hours"
    scene.store.revoke_family(granted["grant"], now=scene.now())
    assert (await renewed())["error"] == "invalid_request"


async def test_a_grant_for_a_long_run_wants_a_fresh_sign_in(scene: Scene) -> None:
    await scene.sign_in()
    scene.clock.advance(301)
    wish = {
        "resource": scene.faces["backtest"],
        "authorization_details": json.dumps([{"type": RUN, "spec": SPEC, "hours": 2}]),
    }
    begun = (await scene.post("device_authorization", **MACHINE.proof(scene), **wish)).json()
    at = f"{scene.issuer}/device"
    answer = await scene.browser.get(at, params={"user_code": begun["user_code"]})
    assert "/login?next=" in answer.headers["location"]
