"""Fifty clients of a running suite who know what each answer must be, and write down what is not.

An honest refusal (``store_unreachable``) is no answer and no mistake, as long as a store was really
away while the call was under way. Everything else must be right: each result, each 401.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from clients import login
from clients.tokens import Grant
from tests.kit.faces import ACCEPT, MODERN, request
from topology.clock import SystemClock
from topology.errors import AlphaSwarmError
from topology.home import Home
from topology.ids import new_id
from topology.services import Topology

REFUSALS = frozenset({"store_unreachable", "unreachable", "temporarily_unavailable"})
SETTLED_S = 6.0
"""A store that is up again is found again within this time."""
GOLD = "alphaswarm_gold~"
"""Where to go on listing: behind the tables of runs, of which there are more all the time."""
SPEC = {
    "kind": "backtest",
    "name": "soak",
    "universe": {"symbols": ["AAPL.NASDAQ"]},
    "data": {"table": "alphaswarm_silver_market.bars_1d", "start": "2001-01-01",
             "end": "2003-12-31", "adjust": "total"},
    "strategy": {"name": "buy_and_hold"},
}  # fmt: skip


@dataclass
class Ledger:
    """What happened: outages, calls by kind, mistakes, and the runs that were promised."""

    outages: list[list[float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    mistakes: list[str] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)
    """Run ids by dispatch key."""
    slowest_s: float = 0.0

    def away(self, since: float) -> bool:
        """Tell whether a store was away, or coming back, at some time since."""
        return any(not end or end[0] + SETTLED_S > since for _, *end in self.outages)

    def mistake(self, text: str) -> None:
        self.mistakes.append(f"{time.strftime('%H:%M:%S')} {text}")


@dataclass
class Client:
    """One caller with grants of his own at every server."""

    home: Home
    topology: Topology
    ledger: Ledger
    http: httpx2.AsyncClient
    rng: random.Random
    expected: dict[str, Any]
    grants: dict[str, Grant] = field(default_factory=dict)
    old: dict[str, Grant] = field(default_factory=dict)

    async def work(self, until: float) -> None:
        """Ask one thing after the other until the time is over; not all begin at once."""
        await asyncio.sleep(self.rng.uniform(0, 5))
        asks: list[Callable[[], Any]] = [
            self.counted, self.validated, self.listed, self.halted, self.looked, self.expired,
        ]  # fmt: skip
        while time.monotonic() < until:
            ask = self.submitted if self.rng.random() < 0.01 else self.rng.choice(asks)
            try:
                await ask()
            except AlphaSwarmError as error:
                self.ledger.mistake(f"{error.wire_code}: {error.message}")
            await asyncio.sleep(self.rng.uniform(0.1, 0.6))

    async def counted(self) -> None:
        """Count the rows of a table that nobody changes."""
        sql = "SELECT count(*) AS n FROM alphaswarm_silver_market.bars_1d"
        body = await self.call("data", "query_sql", sql=sql)
        self.right(body and body["rows"], self.expected["rows"], "query_sql")

    async def validated(self) -> None:
        """Hash a spec."""
        body = await self.call("backtest", "validate_spec", spec=SPEC)
        self.right(body and body["spec_hash"], self.expected["spec_hash"], "validate_spec")

    async def listed(self) -> None:
        """List the tables of the market, which nobody changes."""
        body = await self.call("data", "list_tables", after=GOLD)
        self.right(body and market(body), self.expected["tables"], "list_tables")

    async def halted(self) -> None:
        """See that nothing is halted."""
        body = await self.call("control", "halt_status")
        self.right(body and [body["halted"], body["latch"]], [False, "readable"], "halt_status")

    async def looked(self) -> None:
        """See a run that ended before all this began."""
        run_id = self.expected["run_id"]
        body = await self.call("control", "get_run", run_id=run_id)
        self.right(body and body["result_sha"], self.expected["result_sha"], "get_run")

    async def expired(self) -> None:
        """Try a token whose time is up."""
        server = self.rng.choice(list(self.topology.faces))
        grant = self.old.get(server)
        if grant is None or time.time() < _ends(grant):
            return
        answer = await self.post(server, grant.access_token, request("tools/list"))
        if answer is not None and answer.status_code != 401:
            self.ledger.mistake(f"an expired token got {answer.status_code} at {server}")
        self.ledger.counts["expired"] += 1

    async def submitted(self) -> None:
        """Submit a run, again and again under one key until it is promised."""
        key = new_id(SystemClock().now())
        for _ in range(60):
            body = await self.call("backtest", "submit_backtest", spec=SPEC, dispatch_key=key)
            if body is not None:
                self.ledger.promised[key] = body["run_id"]
                return
            await asyncio.sleep(1)
        self.ledger.mistake(f"no promise for {key} within a minute")

    def right(self, found: Any, wanted: Any, what: str) -> None:
        self.ledger.counts[what if found is not None else f"{what} refused"] += 1
        if found is not None and found != wanted:
            self.ledger.mistake(f"{what} said {str(found)[:200]}, not {str(wanted)[:200]}")

    async def call(self, server: str, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """Return a structured result; None for an honest refusal."""
        began = time.monotonic()
        try:
            token = await self.token(server)
        except AlphaSwarmError as error:
            self.refused(error.wire_code, began, f"token for {server}")
            return None
        body = request("tools/call", name=tool, arguments=arguments)
        answer = await self.post(server, token, body, tool)
        if answer is None:
            self.refused("unreachable", began, f"{server}.{tool}")
            return None
        if answer.status_code == 401 and time.time() >= _ends(self.grants[server]):
            self.ledger.counts["expired on the way"] += 1
            return None
        if answer.status_code != 200:
            said = answer.text[:200]
            code = "unknown"
            if answer.headers.get("content-type", "").startswith("application/json"):
                code = str(answer.json().get("code"))
            about = f"{server}.{tool} answered {answer.status_code}: {said}"
            self.refused(code, began, about)
            return None
        result = _message(answer)["result"]
        found: dict[str, Any] = result["structuredContent"]
        if result.get("isError"):
            self.refused(found["code"], began, f"{server}.{tool}: {found}")
            return None
        self.ledger.slowest_s = max(self.ledger.slowest_s, time.monotonic() - began)
        return found

    def refused(self, code: str, began: float, about: str) -> None:
        """Take a refusal as honest if it says that a store is away, and one was.

        All fifty are one person to the suite: when too many of his queries wait it says so.
        """
        if code == "rate_limited":
            self.ledger.counts["asked to wait"] += 1
        elif code not in REFUSALS or not self.ledger.away(began):
            self.ledger.mistake(f"{code} without an outage: {about}")

    async def post(
        self, server: str, token: str, body: dict[str, Any], name: str = ""
    ) -> httpx2.Response | None:
        headers = {**ACCEPT, "mcp-protocol-version": MODERN, "mcp-method": body["method"]}
        headers |= {"authorization": f"Bearer {token}", **({"mcp-name": name} if name else {})}
        try:
            return await self.http.post(self.topology.face(server).url, json=body, headers=headers)
        except httpx2.TransportError:
            return None

    async def token(self, server: str) -> str:
        """Return a token with some life left; each sign-in is a grant of its own."""
        grant = self.grants.get(server)
        if grant is None or _ends(grant) - time.time() < 3:
            face = self.topology.face(server)
            wanted = login.usual(face)
            fresh = await asyncio.to_thread(login.locally, self.home, face, wanted, now=time.time())
            if grant is not None:
                self.old[server] = grant
            self.grants[server] = grant = fresh
            self.ledger.counts["tokens"] += 1
        return grant.access_token


def _ends(grant: Grant) -> float:
    """Return when a token ends by its own word, in seconds since the epoch."""
    return float(grant.claims()["exp"])


def market(body: dict[str, Any]) -> list[Any]:
    """Return name and rows of the tables that no run writes; maintenance may write them anew."""
    return [[t["table"], t["rows"]] for t in body["tables"] if "_market." in t["table"]]


def _message(answer: httpx2.Response) -> dict[str, Any]:
    """Return the JSON-RPC message of a response, plain or as the last event of a stream."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = [line for line in text.splitlines() if line.startswith("data:")][-1][5:]
    found: dict[str, Any] = json.loads(text)
    return found
