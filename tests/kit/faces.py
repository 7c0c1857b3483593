"""Three small servers with real identity in front: the suite's shape without its engines.

``door`` talks to them in process with a frozen clock; `listening` serves them on a port of their
own, for clients that need a real connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import uvicorn
from joserfc import jwt
from pydantic import BaseModel
from starlette.types import ASGIApp

from auth.policy import ACR_PASSWORD, Rule
from auth.store import Family
from servers.actions import Actions
from servers.bearer import Bearer
from servers.compose import Built, build
from servers.everything import Parts, root
from servers.subscriptions import Changes
from servers.tasks import Tasks
from tests.kit.fixture_server import free_port
from tests.kit.identity import Scene, scene_of
from tests.kit.identity_store import MemoryStore
from tools.registry import Office, Report, ResourceSpec, Served, ToolSpec
from topology import services
from topology.clock import Clock, SystemClock
from topology.errors import BadInputError, FaultError, MissingError, StoreUnreachableError
from topology.principal import Principal
from topology.services import Topology

HANDSHAKE = "2025-11-25"
MODERN = "2026-07-28"
FAMILY = "kit-family"
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Sum(BaseModel):
    """A sum; null where there is none."""

    total: float | None
    caller: str


class Shape(BaseModel):
    """Two words."""

    first: str
    second: str


def add(a: int, b: int, *, caller: Principal) -> Sum:
    """Add two integers."""
    return Sum(total=a + b, caller=caller.subject)


async def not_a_number(*, caller: Principal) -> Sum:
    """Return what JSON has no word for."""
    return Sum(total=float("nan"), caller=caller.subject)


async def count(to: int, *, report: Report) -> Sum:
    """Count, and say so."""
    for step in range(1, to + 1):
        await report(step, to, f"step {step}")
    return Sum(total=to, caller="")


def refuse(secret: str) -> Sum:
    """Refuse in a known way."""
    raise BadInputError("That cannot be.", hint="Do this instead.", code="empty_window", at=1)


def crash(secret: str) -> Sum:
    """Fail in a way that nobody foresaw."""
    raise RuntimeError(f"the secret is {secret}")


def outage() -> Sum:
    """Fail because a store is gone."""
    raise FaultError("The store is away.", hint="Wait.", code="store_unreachable")


def write(*, caller: Principal) -> Sum:
    """Change something."""
    return Sum(total=0, caller=caller.subject)


def halt(*, caller: Principal) -> Sum:
    """Do what needs a second factor shown in the last five minutes."""
    return Sum(total=0, caller=caller.subject)


def resume(*, caller: Principal) -> Sum:
    """Do what needs a second factor for exactly this."""
    return Sum(total=0, caller=caller.subject)


def named(name: str) -> Shape:
    """Return the shape of a name."""
    if name == "nobody":
        raise MissingError("There is no 'nobody'.", hint="Try somebody.")
    return Shape(first=name, second="!")


def names(value: str, *, office: Office) -> list[str]:
    """Return known names."""
    del office
    return [name for name in ("anna", "anton", "berta") if name.startswith(value)]


def tool(
    server: str, fn: Any, rule: Rule, *, read_only: bool = True, job: bool = False
) -> ToolSpec:
    return ToolSpec(
        server=server,
        name=fn.__name__,
        fn=fn,
        auth=rule,
        title=fn.__name__.capitalize(),
        description=fn.__doc__,
        read_only=read_only,
        destructive=False,
        idempotent=True,
        open_world=False,
        job=job,
    )


def offered(server: str, topology: Topology) -> Served:
    """Return what a server of the kit offers: the tools above, within its own scopes."""
    scopes = topology.face(server).scopes
    read = Rule(scopes=(f"{server}:read",), actor="any")
    tools = [tool(server, fn, read) for fn in (add, not_a_number, count, refuse, crash, outage)]
    work = Rule(scopes=(scopes[1],))
    if server == "control":
        work = Rule(scopes=("control:resume",), step_up="bound")
        tools.append(tool(server, resume, work, read_only=False))
        stop = Rule(scopes=("control:halt",), step_up="mfa")
        tools.append(tool(server, halt, stop, read_only=False))
    else:
        tools.append(tool(server, write, work, read_only=False))
    template = ResourceSpec(
        server=server,
        uri=f"{server}://names/{{name}}",
        fn=named,
        auth=read,
        title="A name",
        description="What is known of a name.",
        mime="application/json",
    )
    return Served(
        tools={one.name: one for one in tools},
        resources={template.uri: template},
        completions={"name": names},
    )


class Memory(MemoryStore):
    """A store that can go away."""

    away = False

    def family_alive(self, sid: str) -> bool:
        if self.away:
            raise StoreUnreachableError("The ledger does not answer.", store="postgres")
        return super().family_alive(sid)


@dataclass
class Door:
    """The suite in process: ask it what a client would, at the time that the test chose."""

    scene: Scene
    store: Memory
    topology: Topology
    app: ASGIApp
    servers: dict[str, Built]
    http: httpx2.AsyncClient

    def url(self, server: str) -> str:
        return self.topology.face(server).url

    def token(self, server: str, *scopes: str, **claims: Any) -> str:
        """Return a token signed by the scene's own key; ``claims`` replace, None removes."""
        return token_of(self.scene, self.topology.face(server).audience, *scopes, **claims)

    async def post(
        self, server: str, body: Any, *, token: str | None = None, **headers: str
    ) -> httpx2.Response:
        """Send one JSON-RPC message (or raw bytes) of the modern era."""
        sent = {**ACCEPT, "mcp-protocol-version": MODERN, **headers}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        if isinstance(body, bytes):
            return await self.http.post(self.url(server), content=body, headers=sent)
        sent["mcp-method"] = body.get("method", "")
        if "name" in body.get("params", {}):
            sent["mcp-name"] = body["params"]["name"]
        return await self.http.post(self.url(server), json=body, headers=sent)

    async def call(
        self, server: str, name: str, *, token: str | None = None, **arguments: Any
    ) -> httpx2.Response:
        return await self.post(
            server, request("tools/call", name=name, arguments=arguments), token=token
        )


def request(method: str, **params: Any) -> dict[str, Any]:
    """Return a self-contained request of 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "kit", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **params}}


def token_of(scene: Scene, audience: str, *scopes: str, typ: str = "at+jwt", **claims: Any) -> str:
    """Return a token signed by the scene's own key, of a grant that lives.

    Every claim may be bent; None leaves it out.
    """
    now = scene.now()
    good: dict[str, Any] = {
        "iss": scene.issuer,
        "sub": "ada",
        "aud": audience,
        "client_id": "kit",
        "scope": " ".join(scopes),
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "jti": "kit",
        "sid": FAMILY,
        "acr": ACR_PASSWORD,
        "auth_time": now,
        **claims,
    }
    body = {name: value for name, value in good.items() if value is not None}
    key = scene.identity.issuer.keys.current(now)
    return jwt.encode({"alg": "ES256", "typ": typ, "kid": key.kid}, body, key)


def grant(scene: Scene) -> None:
    """Note a grant family that lives for the whole test."""
    now = scene.now()
    family = Family(FAMILY, "ada", "kit", "", "", ACR_PASSWORD, now, now, now + 10**7)
    scene.store.add_family(family, None)


def suite(
    scene: Scene,
    topology: Topology,
    clock: Clock,
    *,
    tasks: Tasks | None = None,
    changes: Changes | None = None,
) -> tuple[ASGIApp, dict[str, Built]]:
    """Return the application of all faces and the issuer, and its servers by name."""
    servers = {
        name: build(
            face,
            offered(name, topology),
            cast("Office", None),  # no tool of the kit asks for it
            version="0.0.0",
            clock=clock,
            bearer=Bearer(scene.identity.verifier(face.audience), clock, Actions(scene.store)),
            tasks=tasks,
            changes=changes,
        )
        for name, face in topology.faces.items()
    }
    parts = Parts(servers=list(servers.values()), routes=scene.identity.routes())
    return root(topology, parts), servers


@contextlib.asynccontextmanager
async def door(folder: Path, **more: Any) -> AsyncIterator[Door]:
    """Open the suite in process; its clock stands still."""
    topology = services.load({})
    store = Memory()
    scene = scene_of(folder, store, topology=topology)
    grant(scene)
    app, servers = suite(scene, topology, scene.clock, **more)
    transport = httpx2.ASGITransport(app=app)
    async with opened(app), httpx2.AsyncClient(transport=transport) as http:
        yield Door(scene, store, topology, app, servers, http)


@contextlib.contextmanager
def listening(folder: Path, **more: Any) -> Iterator[Door]:
    """Serve the suite on a free port, in a thread, by the machine's clock."""
    topology = services.load({}, port=free_port())
    store = Memory()
    scene = scene_of(folder, store, topology=topology, clock=SystemClock())
    scene.clock.advance((SystemClock().now() - scene.clock.now()).total_seconds())
    grant(scene)
    app, servers = suite(scene, topology, SystemClock(), **more)
    with served(app, topology):
        yield Door(scene, store, topology, app, servers, httpx2.AsyncClient())


@contextlib.contextmanager
def served(app: ASGIApp, topology: Topology) -> Iterator[None]:
    """Serve an application on its topology's port, as ``python -m servers`` does."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=topology.listen.port,
        lifespan="on",
        log_level="critical",
        http="httptools",
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextlib.asynccontextmanager
async def opened(app: ASGIApp) -> AsyncIterator[None]:
    """Run an application's lifespan, in a task of its own as a server would."""
    inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.create_task(cast("Any", app)(scope, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    began = await outbox.get()
    assert began["type"] == "lifespan.startup.complete", began
    try:
        yield
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await outbox.get()
        await running
