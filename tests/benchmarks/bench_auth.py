"""What identity costs: the verifier, the gate as a share of a tool call, and tokens per second.

Peers of the verifier are the bare signature check of joserfc and FastMCP's `JWTVerifier`, on the
same tokens. Peer of the token endpoint are the sizing figures that Keycloak publishes per vCPU (120
refreshes, 120 client credentials grants a second; "Concepts for sizing CPU and memory resources").
Caveats: they are a vendor's planning figures for a clustered Java server with headroom, sized apart
from its database. Ours are grants per second of processor time, spent by one process and by its
PostgreSQL, every token written to the audit chain and synced; what came through by the clock is
said beside it. Same order is what the comparison can say. Times are microseconds; a p99 that is
gated is of processor time, which neighbours on the machine do not change, ``wall`` is by the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx2
import numpy as np
from fastmcp.server.auth.providers.jwt import JWTVerifier
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from auth import store as rows
from auth.accounts import Accounts
from auth.config import Requests
from auth.keys import KeyRing
from auth.local import LocalRequest, sign_in_locally
from auth.machine_keys import proof
from auth.tokens import Claims, Families, Verifier, mint
from ledger.identity import IdentityStore
from ledger.migrations.__main__ import migrate
from ledger.pool import open_pool
from servers.bearer import Audience
from servers.gate import Gate
from servers.identity.compose import Identity, ledger_sink, open_identity
from servers.rules import Rules
from tests.kit.faces import ACCEPT, MODERN, Door, door, offered, request
from tests.kit.identity import FORM
from topology import processes, services
from topology.clock import SystemClock
from topology.engines import supervisor
from topology.home import Home
from topology.services import Topology
from topology.stores import postgres_dsn

NOW = 1_800_000_000
TOKENS, CALLS, GRANTS, AT_ONCE = 2_000, 600, 800, 8
KEYCLOAK_PER_VCPU = 120
ISSUER, AUDIENCE = "https://suite.test/as", "https://suite.test/data/mcp"
CLIENT = "bench-runtime"


class Timer:
    """Times the same thing by the clock and by the processor."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._work: list[float] = []

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Time the block."""
        wall, work = time.perf_counter(), time.thread_time()
        yield
        self._work.append(time.thread_time() - work)
        self._wall.append(time.perf_counter() - wall)

    def __call__(self, quantile: int, *, wall: bool = False) -> float:
        """Return a percentile in microseconds."""
        return float(np.percentile(self._wall if wall else self._work, quantile)) * 1e6


def timed(work: Callable[[Any], object], inputs: list[Any]) -> Timer:
    """Time ``work`` for each of the inputs."""
    timer = Timer()
    gc.collect()
    for one in inputs:
        with timer.once():
            work(one)
    return timer


def verifying() -> None:
    """Print the first look at a token, and the second, against the peers."""
    ring = KeyRing(Path(tempfile.mkdtemp()))
    ring.ensure(NOW - 1000)
    key = ring.current(NOW)
    tokens = [mint(_claims(jti=str(n)), key) for n in range(TOKENS)]
    public = ECKey.import_key(key.as_dict(private=False))
    peer = JWTVerifier(
        public_key=key.as_pem(private=False).decode(), issuer=ISSUER, audience=AUDIENCE,
        algorithm="ES256",
    )  # fmt: skip
    ours = Verifier(
        issuer=ISSUER, keys=ring.public, resource=AUDIENCE, families=Families(lambda _: True)
    )
    bare = timed(lambda t: jwt.decode(t, public, algorithms=["ES256"]), tokens)
    first = timed(lambda t: ours.verify(t, NOW), tokens)
    again = timed(lambda t: ours.verify(t, NOW + 1), tokens)
    with asyncio.Runner() as runner:
        stock = timed(lambda t: runner.run(peer.verify_token(t)), tokens)
        empty = timed(lambda _: runner.run(asyncio.sleep(0)), tokens)
    _print("verify a token / bare joserfc signature check (p50)", first(50), bare(50), 1.5)
    _print("verify a token / FastMCP JWTVerifier (p50)", first(50), stock(50) - empty(50), 1.0)
    _print("verify a token (p99, bar 1 ms)", first(99), 1_000.0, 1.0, wall=first(99, wall=True))
    _print("a token seen before / the first look (p50)", again(50), first(50), None)


async def passing() -> None:
    """Print what bearer and gate take of each request, and their share of a tool call."""
    async with door(Path(tempfile.mkdtemp())) as suite:
        token = suite.token("data", "data:read")
        body = json.dumps(request("tools/call", name="add", arguments={"a": 1, "b": 2})).encode()
        headers = {**ACCEPT, "mcp-protocol-version": MODERN, "mcp-method": "tools/call"}
        headers |= {"mcp-name": "add", "authorization": f"Bearer {token}", "host": "localhost:8000"}
        gate = await _asked(_gate(suite), body, headers, status=204)
        call = await _asked(suite.app, body, headers, status=200)
    more = {"p50": gate(50), "wall": gate(99, wall=True)}
    _print("bearer and gate per request (p99, bar 1 ms)", gate(99), 1_000.0, 1.0, **more)
    _print("bearer and gate as a share of a tool call (p50)", gate(50), call(50), 0.25)


def issuing() -> None:
    """Print tokens per second of one process with its real store, against Keycloak's figures."""
    with _identity() as (identity, topology):
        scope, audience = "data:read", topology.face("data").audience
        local = LocalRequest(audience, scope)
        first = [_local(identity, local) for _ in range(AT_ONCE)]
        for what, ask in (
            ("refresh grants", _refreshing(first)),
            ("client credentials grants", _credentials(identity, audience)),
        ):
            _rate(what, *asyncio.run(_flood(identity, ask)))


def _gate(suite: Door) -> ASGIApp:
    """Return bearer authentication and the gate around an application that only answers."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    built, face = suite.servers["data"], suite.topology.face("data")
    auth = cast("Audience", built.mcp.auth)
    rules = Rules(face.read_scope, offered("data", suite.topology))
    guard = Middleware(
        Gate, face=face, rules=rules, clock=suite.scene.clock, actions=auth._bearer.actions
    )
    app = Starlette(middleware=[*auth.get_middleware(), guard])
    app.mount("/", answer)
    return app


async def _asked(app: ASGIApp, body: bytes, headers: dict[str, str], *, status: int) -> Timer:
    """Time whole requests in process; the first ones warm up."""
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "path": "/data/mcp", "raw_path": b"/data/mcp", "root_path": "", "query_string": b"",
        "headers": sent, "client": ("127.0.0.1", 1), "server": ("localhost", 8000),
        "scheme": "http",
    }  # fmt: skip
    timer, warm = Timer(), Timer()
    for number in range(CALLS):
        out: list[Any] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()

        async def receive(
            waiting: list[dict[str, Any]] = waiting, gone: asyncio.Event = gone
        ) -> dict[str, Any]:
            if not waiting:
                await gone.wait()
            return waiting.pop()

        async def send(message: Any, out: list[Any] = out) -> None:
            out.append(message)

        with timer.once() if number > CALLS // 6 else warm.once():
            await app({**scope}, receive, send)
        if out[0]["status"] != status:
            raise RuntimeError(f"{out[0]}")
    return timer


@contextlib.contextmanager
def _identity() -> Iterator[tuple[Identity, Topology]]:
    """Yield an issuer on a real ledger, with a runtime that may have tokens of its own."""
    overlay = {
        "clients": {
            CLIENT: {"grants": ["client_credentials"], "keys": "home", "scopes": ["data:read"]}
        }
    }
    with tempfile.TemporaryDirectory() as folder:
        text = services.PACKAGED.read_text("utf-8")
        file = Path(folder) / "topology.yaml"
        file.write_text(text.replace("profiles: {}", f"profiles: {json.dumps({'b': overlay})}"))
        topology, home = services.load({}, path=file, profile="b"), Home(Path(folder) / "home")
        supervisor.up(home, topology)
        try:
            migrate(topology, home)
            dsn = postgres_dsn(topology, home, "alphaswarm_app")
            with contextlib.closing(open_pool(dsn, name="bench", max_size=AT_ONCE)) as pool:
                store, sink, clock = IdentityStore(pool, rows), ledger_sink(pool), SystemClock()
                identity = open_identity(topology, home, store, sink, clock)
                Accounts(store, sink, clock).ensure("ada")
                issuer = identity.issuer
                issuer.config = replace(issuer.config, requests=Requests(10**7, 10**7))
                yield identity, topology
        finally:
            supervisor.down(home)


def _local(identity: Identity, wanted: LocalRequest) -> str:
    body = cast("dict[str, Any]", sign_in_locally(identity.issuer, "ada", wanted).body)
    return str(body["refresh_token"])


Ask = Callable[[httpx2.AsyncClient, int], Awaitable[httpx2.Response]]


def _refreshing(first: list[str]) -> Ask:
    held = list(first)

    async def ask(http: httpx2.AsyncClient, place: int) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "client_id": "alphaswarm-cli"}
        answer = await http.post("/as/token", data={**form, "refresh_token": held[place]})
        held[place] = answer.json().get("refresh_token", "")
        return answer

    return ask


def _credentials(identity: Identity, audience: str) -> Ask:
    issuer = identity.issuer

    async def ask(http: httpx2.AsyncClient, place: int) -> httpx2.Response:
        del place
        signed = proof(identity.home, CLIENT, issuer=issuer.config.issuer, now=issuer.now())
        form = {"grant_type": "client_credentials", "resource": audience, **signed}
        return await http.post("/as/token", data=form, headers=FORM)

    return ask


def _spent(home: Home) -> float:
    """Return the processor time of this process and of its PostgreSQL, in seconds."""
    ticks = 0
    for process in processes.working_in(home.pg):
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


async def _flood(identity: Identity, ask: Ask) -> tuple[float, float, float]:
    """Return grants per second of processor and by the clock, and the p99 of one in milliseconds.

    `AT_ONCE` are in flight.
    """
    app = Starlette(routes=identity.routes())
    base = identity.issuer.config.issuer.removesuffix("/as")
    took: list[float] = []
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=base) as http:

        async def work(place: int) -> None:
            for _ in range(GRANTS // AT_ONCE):
                began = time.perf_counter()
                answer = await ask(http, place)
                took.append(time.perf_counter() - began)
                if answer.status_code != 200:
                    raise RuntimeError(answer.text)

        began, spent = time.perf_counter(), _spent(identity.home)
        await asyncio.gather(*(work(place) for place in range(AT_ONCE)))
        whole, spent = time.perf_counter() - began, _spent(identity.home) - spent
    return len(took) / spent, len(took) / whole, float(np.percentile(took, 99)) * 1e3


def _claims(**changes: str) -> Claims:
    words = {"iss": ISSUER, "sub": "ada", "aud": AUDIENCE, "client_id": "cli", "sid": "family"}
    words |= {"scope": "data:read", "acr": "urn:alphaswarm:acr:pwd", **changes}
    times = {"iat": NOW, "nbf": NOW, "exp": NOW + 900, "auth_time": NOW}
    return Claims(**words, **times)  # type: ignore[arg-type]  # by name


def _print(name: str, ours: float, peer: float, limit: float | None, **more: float) -> None:
    body: dict[str, Any] = {
        "name": name, "ours": round(ours, 1), "peer": round(peer, 1),
        "ratio": round(ours / peer, 3), **{key: round(value, 1) for key, value in more.items()},
    }  # fmt: skip
    print(json.dumps(body if limit is None else {**body, "limit": limit}), flush=True)


def _rate(what: str, rate: float, wall: float, p99_ms: float) -> None:
    body = {
        "name": f"{what} per second of processor / Keycloak's published sizing per vCPU",
        "ours": round(rate, 1),
        "peer": KEYCLOAK_PER_VCPU,
        "ratio": round(KEYCLOAK_PER_VCPU / rate, 3),
        "ratio_is": "published / ours",
        "limit": 1,
        "by_the_clock": round(wall, 1),
        "p99_ms": round(p99_ms, 1),
    }
    print(json.dumps(body), flush=True)


def main() -> None:
    """Measure and print."""
    verifying()
    asyncio.run(passing())
    issuing()


if __name__ == "__main__":
    main()
