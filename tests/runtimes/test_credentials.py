"""What a run may do at servers for its person: granted with it, used by it alone, over with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from auth.tokens import Claims
from ledger import audit, grants, runs
from ledger.halts import Halts
from runtimes import credentials, dispatch
from runtimes.base import Outcome, perform
from runtimes.context import RunContext, Workshop
from runtimes.credentials import WORKER, Delegation, Tokens
from runtimes.specs.base import parse
from tests.kit.faces import ACCEPT, MODERN, request
from tests.kit.live import Live
from tests.kit.work import Scripted
from topology.clock import FrozenClock, SystemClock
from topology.errors import FaultError, RefusedError
from topology.principal import Principal
from topology.sections import Exchange
from topology.services import Topology

ANNA = Principal("anna", "tests", frozenset({"backtest:run"}), acr="urn:alphaswarm:acr:mfa")
POLICY = Exchange(
    client=WORKER,
    source="backtest",
    targets=("data", "control"),
    scopes=("data:write", "control:read"),
)
WANTED = {
    "backtest": ("backtest:read", "backtest:run"),
    "data": ("data:read",),
    "control": ("control:read", "control:halt"),
}


@dataclasses.dataclass(frozen=True)
class Place:
    """A worker of the live suite, its clock in the test's hand."""

    live: Live
    workshop: Workshop
    clock: FrozenClock

    def submit(
        self,
        wanted: Mapping[str, tuple[str, ...]] = WANTED,
        *,
        key: str | None = None,
        name: str = "acting",
    ) -> runs.Run:
        """Submit a run that wants this, for anna, who came to the server ``backtest``."""
        spec = {
            "kind": "backtest",
            "name": name,
            "universe": {"symbols": ["AAPL.NASDAQ"]},
            "data": {"start": "2001-01-01", "end": "2001-12-31"},
            "strategy": {"name": "buy_and_hold"},
        }
        handle = dispatch.submit(
            self.workshop.pool,
            parse("backtest", spec),
            principal=ANNA,
            queue="interactive",
            clock=SystemClock(),
            dispatch_key=key,
            delegation=Delegation(self.workshop.topology, "backtest", wanted),
        )
        return runs.get(self.workshop.pool, handle.run_id)

    def tokens(self, run: runs.Run) -> Tokens:
        return credentials.tokens(self.workshop, run)

    def claims(self, server: str, token: str) -> Claims:
        audience = self.live.topology.face(server).audience
        now = SystemClock().now().timestamp()
        return self.live.identity.verifier(audience).verify(token, now)

    def call(self, server: str, tool: str, token: str, **arguments: Any) -> httpx2.Response:
        """Call a tool of the real server over HTTP."""
        headers = {**ACCEPT, "mcp-protocol-version": MODERN, "mcp-method": "tools/call"}
        headers |= {"mcp-name": tool, "authorization": f"Bearer {token}"}
        body = request("tools/call", name=tool, arguments=arguments)
        return httpx2.post(self.live.url(server), json=body, headers=headers, timeout=30)


@pytest.fixture
def place(live: Live, workshop: Workshop) -> Place:
    topology = live.topology.model_copy(update={"exchange": (POLICY,)})
    clock = FrozenClock(SystemClock().now())
    return Place(live, dataclasses.replace(workshop, topology=topology, clock=clock), clock)


def test_a_run_acts_for_its_person_at_each_server_and_in_itself_only(place: Place) -> None:
    run = place.submit()
    tokens = place.tokens(run)
    for server, scope in (
        ("backtest", "backtest:read backtest:run"),
        ("data", "data:read"),
        ("control", "control:read"),
    ):
        claims = place.claims(server, tokens.for_server(server))
        assert (claims.sub, claims.scope, claims.exp - claims.iat) == ("anna", scope, 120)
        assert claims.act == {"sub": WORKER, "spec": run.spec_sha256}
        task_id = run.task_id if server == "backtest" else ""
        assert (claims.task_id, claims.run_id) == (task_id, run.run_id)
    other = place.submit({"data": ("data:read",)})
    for server, run_id, status in (
        ("backtest", run.run_id, 200),
        ("backtest", other.run_id, 403),  # where it was submitted it is for itself alone
        ("control", other.run_id, 200),  # elsewhere it reads what it needs
    ):
        answer = place.call(server, "get_run", tokens.for_server(server), run_id=run_id)
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["result"]["structuredContent"]["run_id"] == run_id
    tables = place.call("data", "list_tables", tokens.for_server("data"))
    assert not tables.json()["result"].get("isError"), "what only reads is any actor's"
    with pytest.raises(RefusedError, match="may not act at 'control'"):
        place.tokens(other).for_server("control")


def test_the_grants_are_audited_with_their_job(place: Place) -> None:
    seq = audit.tail(place.workshop.pool, newest_first=True, limit=1)[0].seq
    run = place.submit()
    rows = [e for e in audit.tail(place.workshop.pool, after=seq) if e.action == "identity.grant"]
    assert {row.facts["run_id"] for row in rows} == {run.run_id}
    assert sorted(row.target.rsplit("/", 2)[1] for row in rows) == sorted(WANTED)
    assert grants.of_run(place.workshop.pool, run.run_id).keys() == {row.target for row in rows}


def test_a_token_is_renewed_at_half_its_life(place: Place) -> None:
    tokens = place.tokens(place.submit())
    first = tokens.for_server("data")
    place.clock.advance(59)
    assert tokens.for_server("data") == first
    place.clock.advance(1)
    assert tokens.for_server("data") != first


def test_an_issuer_that_is_away_is_waited_for_as_long_as_the_token_lives(place: Place) -> None:
    tokens = place.tokens(place.submit())
    first = tokens.for_server("data")
    gone = place.workshop.topology.model_copy(update={"base_url": "http://127.0.0.1:9"})
    tokens._workshop = dataclasses.replace(place.workshop, topology=gone)
    tokens._held["data"] = dataclasses.replace(tokens._held["data"], renew_at=0)
    assert (
        tokens._renewed("data", tokens._held["data"], place.clock.now().timestamp()).token == first
    )
    place.clock.advance(120)
    with pytest.raises((FaultError, RefusedError)):
        tokens.for_server("data")


def test_what_was_granted_ends_with_the_run(place: Place) -> None:
    run, seen = place.submit(), list[str]()

    def script(context: RunContext) -> Outcome:
        tokens = place.tokens(context.run)
        seen.extend([tokens.for_server("data"), tokens.for_server("control")])
        answer = place.call("data", "list_tables", seen[0])
        assert answer.status_code == 200
        return Outcome()

    perform(place.workshop, "backtest", run.run_id, lambda: Scripted(script))
    ended = runs.get(place.workshop.pool, run.run_id)
    assert ended.status == "succeeded", ended.error
    refused = place.call("control", "halt_status", seen[1])
    assert (refused.status_code, "invalid_token" in refused.headers["www-authenticate"]) == (
        401,
        True,
    )
    assert grants.of_run(place.workshop.pool, run.run_id) == {}
    with pytest.raises(RefusedError):
        place.tokens(run).for_server("data")


def test_a_run_that_is_cancelled_before_anybody_works_it_keeps_nothing(place: Place) -> None:
    run = place.submit()
    assert len(grants.of_run(place.workshop.pool, run.run_id)) == len(WANTED)
    runs.cancel(place.workshop.pool, run.run_id, by="anna")
    assert grants.of_run(place.workshop.pool, run.run_id) == {}


def test_nothing_is_renewed_while_the_run_is_halted(place: Place) -> None:
    run = place.submit()
    switch = Halts(place.workshop.pool, place.workshop.home)
    scope = f"run:{run.run_id}"
    who: dict[str, Any] = {"actor": "anna", "acr": "", "auth_time": 0, "reason": "a test"}
    epoch = switch.press(scope, **who)
    with pytest.raises(RefusedError, match="any more"):
        place.tokens(run).for_server("data")
    switch.lift(scope, epoch=epoch, **who)
    assert place.claims("data", place.tokens(run).for_server("data")).run_id == run.run_id


def test_a_run_may_halt_itself_and_nothing_else(place: Place) -> None:
    run, other = place.submit(), place.submit()
    token = place.tokens(run).for_server("control")

    def halt(scope: str, **more: str) -> httpx2.Response:
        return place.call("control", "halt", token, scope=scope, reason="it strays", **more)

    for scope in ("all", "kind:backtest", "spec:backtest/acting", f"run:{other.run_id}"):
        refused = halt(scope)
        assert (refused.status_code, refused.json()["code"]) == (403, "access_denied")
    flat = halt(f"run:{run.run_id}", orders="flatten").json()["result"]
    assert flat["isError"], "closing positions is a person's decision"
    body = halt(f"run:{run.run_id}").json()["result"]["structuredContent"]
    (pressed,) = [one for one in body["scopes"] if one["scope"] == f"run:{run.run_id}"]
    assert (pressed["actor"], pressed["reason"]) == (WORKER, "it strays")
    refused = place.call(
        "control", "resume", token, scope=f"run:{run.run_id}", epoch=1, reason="go on", checked=[]
    )
    assert refused.status_code == 403, "going on is not its own decision"
    Halts(place.workshop.pool, place.workshop.home).lift(
        f"run:{run.run_id}", epoch=pressed["epoch"], actor="a", acr="", auth_time=0, reason="done"
    )


def test_a_repeated_submit_grants_nothing_again(place: Place) -> None:
    first = place.submit(key="credentials-once")
    held = grants.of_run(place.workshop.pool, first.run_id)
    assert place.submit(key="credentials-once").run_id == first.run_id
    assert grants.of_run(place.workshop.pool, first.run_id) == held


READER = dataclasses.replace(ANNA, scopes=frozenset({"backtest:read"}))


@pytest.mark.parametrize(
    ("caller", "server", "expected"),
    [
        pytest.param(ANNA, "backtest", {"backtest:read", "backtest:run"}, id="what he holds"),
        pytest.param(READER, "backtest", {"backtest:read"}, id="a reader passes on reading"),
        pytest.param(ANNA, "data", {"data:read", "data:write"}, id="what the policy allows"),
        pytest.param(READER, "data", {"data:read"}, id="a reader changes nothing elsewhere"),
        pytest.param(ANNA, "control", {"control:read"}, id="never a step-up scope"),
    ],
)
def test_a_delegation_is_what_person_policy_and_server_all_allow(
    topology: Topology, caller: Principal, server: str, expected: set[str]
) -> None:
    moved = topology.model_copy(update={"exchange": (POLICY,)})
    delegation = Delegation(moved, "backtest", {})
    assert set(delegation._allowed(caller, server)) == expected


def test_a_run_that_may_have_nothing_is_not_submitted(place: Place) -> None:
    before = runs.listing(place.workshop.pool, kind="backtest", limit=1)
    for wanted in ({"control": ("control:halt",)}, {"data": ("backtest:run",)}):
        with pytest.raises(RefusedError) as refused:
            place.submit(wanted)
        assert refused.value.wire_code == "insufficient_scope"
    assert runs.listing(place.workshop.pool, kind="backtest", limit=1) == before
