"""Source in a spec over MCP: the scope, a fresh second factor, and then it runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import yaml

from auth.policy import ACR_MFA, ACR_OS
from auth.tokens import mint, read_claims
from ledger import runs
from ledger.pool import transaction
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.sandbox import calls
from tests.kit.faces import ACCEPT, MODERN, request
from tests.kit.live import Live
from tests.kit.market import put, walks

pytestmark = pytest.mark.skipif(bool(calls.lacking()), reason="no Landlock")
TABLE = "alphaswarm_silver_source.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST"]
CODE = """
class Strategy(Script):
    warmup = 5

    def __init__(self, part=0.5):
        self.part = part

    def on_bar(self, account):
        if account.bar % 20 == 0:
            best = max(account.symbols, key=lambda s: account.price(s) / account.history(s, 5)[0])
            account.targets({s: self.part * (s == best) for s in account.symbols})
"""


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "backtest",
        "name": "sourced",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-02-01", "end": "2001-10-01", "adjust": "none"},
        "strategy": {"name": "my-best", "code": CODE},
        "audit": {"cuts": 2, "noise": 1},
    } | changes


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as client:
        yield client


def token(live: Live, *scopes: str, **changes: Any) -> str:
    """Return a token of the owner with other claims, signed by the issuer's own key."""
    plain = live.token("backtest", "backtest:run")
    issuer, now = live.identity.issuer, int(time.time())
    good = {"scope": " ".join(scopes), "acr": ACR_MFA, "auth_time": now}
    claims = read_claims(plain, issuer.keys.public, now)
    return mint(claims.model_copy(update=good | changes), issuer.keys.current(now))


async def submit(
    http: httpx2.AsyncClient, live: Live, access: str, tool: str = "submit_backtest", **given: Any
) -> httpx2.Response:
    headers = {**ACCEPT, "mcp-protocol-version": MODERN, "authorization": f"Bearer {access}"}
    headers |= {"mcp-method": "tools/call", "mcp-name": tool}
    body = request("tools/call", name=tool, arguments=given)
    return await http.post(live.url("backtest"), json=body, headers=headers)


def challenge(answer: httpx2.Response) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', answer.headers["www-authenticate"]))


def versions(workshop: Workshop) -> int:
    with transaction(workshop.pool) as connection:
        asked = "SELECT count(*) AS n FROM backtest_spec_versions WHERE name LIKE 'sourced%'"
        return int(connection.execute(asked).fetchall()[0]["n"])


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put 300 days of two symbols into the lake, once."""
    put(workshop, TABLE, walks(SYMBOLS, bars=300))


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(spec(), id="an object"),
        pytest.param(yaml.safe_dump(spec()), id="YAML"),
        pytest.param(json.dumps(spec()), id="JSON"),
        pytest.param(json.dumps(spec()).replace("code", "c\\u006fde"), id="spelt with escapes"),
    ],
)
@pytest.mark.parametrize("tool", ["submit_backtest", "submit_sweep", "submit_walk_forward"])
async def test_without_the_scope_it_is_403_and_nothing_is_written(
    http: httpx2.AsyncClient, live: Live, workshop: Workshop, tool: str, written: Any
) -> None:
    before = versions(workshop)
    answer = await submit(http, live, token(live, "backtest:run"), tool, spec=written)

    assert answer.status_code == 403, answer.text
    assert challenge(answer)["error"] == "insufficient_scope"
    assert challenge(answer)["scope"] == "backtest:code backtest:run"
    assert answer.json()["code"] == "insufficient_scope"
    assert versions(workshop) == before


@pytest.mark.parametrize(
    ("claims", "status", "error"),
    [
        pytest.param({"auth_time": int(time.time()) - 3_600}, 401, "insufficient_user", id="stale"),
        pytest.param({"acr": ACR_OS}, 401, "insufficient_user", id="no second factor"),
        pytest.param(
            {"act": {"sub": "agent-runtime"}, "client_id": "agent-runtime"},
            403,
            "access_denied",
            id="an agent",
        ),
    ],
)
async def test_the_scope_alone_is_not_enough(
    http: httpx2.AsyncClient, live: Live, workshop: Workshop, claims: Any, status: int, error: str
) -> None:
    before = versions(workshop)
    access = token(live, "backtest:run", "backtest:code", **claims)
    answer = await submit(http, live, access, spec=spec())

    assert answer.status_code == status, answer.text
    assert challenge(answer)["error"].startswith(error)
    if status == 401:
        assert challenge(answer)["acr_values"].split()[0] == ACR_MFA
        assert challenge(answer)["max_age"] == "300"
    assert versions(workshop) == before


async def test_with_a_fresh_second_factor_it_runs_and_counts(
    http: httpx2.AsyncClient, live: Live, workshop: Workshop
) -> None:
    access = token(live, "backtest:code")
    answer = await submit(http, live, access, spec=spec())
    assert answer.status_code == 200, answer.text
    handle = answer.json()["result"]["structuredContent"]

    perform(workshop, "backtest", handle["run_id"], BacktestRuntime)

    run = runs.get(workshop.pool, handle["run_id"])
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    assert run.statistics["audit"]["passed"] is True
    assert run.statistics["sensitivity"]["skipped"] is None
    assert run.statistics["trials_counted"] >= 1


async def test_reading_is_enough_to_have_it_checked_and_nothing_of_it_is_run(
    http: httpx2.AsyncClient, live: Live
) -> None:
    access = token(live, "backtest:read", acr=ACR_OS)
    wrong = spec(strategy={"code": "class Strategy:\n    x = 1 +\n"})
    answer = await submit(http, live, access, "validate_spec", spec=wrong)

    error = answer.json()["result"]["structuredContent"]
    assert error["code"] == "invalid_spec"
    (problem,) = error["facts"]["errors"]
    assert (problem["path"], problem["position"]["line"]) == ("strategy.code", 2)


@pytest.mark.parametrize(
    ("tool", "changes", "said"),
    [
        pytest.param(
            "submit_sweep",
            {"sweep": {"params": {"strategy.params.part": [0.2, 0.4]}}},
            {"trials": 2},
            id="a sweep of its parameters, each a trial",
        ),
        pytest.param(
            "submit_backtest",
            {"execution": {"rules": "lean_2026"}},
            {"partial": False},
            id="the rules of Lean",
        ),
    ],
)
async def test_it_is_run_as_any_script_is(
    http: httpx2.AsyncClient, live: Live, workshop: Workshop, tool: str, changes: Any, said: Any
) -> None:
    body = spec(name=f"sourced-{tool}", **changes)
    answer = await submit(http, live, token(live, "backtest:code"), tool, spec=body)
    handle = answer.json()["result"]["structuredContent"]

    perform(workshop, "backtest", handle["run_id"], BacktestRuntime)

    run = runs.get(workshop.pool, handle["run_id"])
    assert run.status == "succeeded", run.error
    assert (run.statistics or {}).items() >= said.items()
