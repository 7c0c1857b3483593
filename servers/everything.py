"""All faces in one process: the MCP servers, the issuer, the streams and health, on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from auth import store as rows
from ledger import health as ledger_health
from ledger.halts import sync_latch
from ledger.identity import IdentityStore
from ledger.progress.bus import Bus
from servers import health
from servers.actions import Actions
from servers.bearer import Bearer
from servers.calls import Guard
from servers.compose import Built, build
from servers.console.app import Console
from servers.downloads import Downloads
from servers.hosts import Guarded, Hosts, guarded_hosts, guarded_origins
from servers.identity.compose import Identity
from servers.identity.trust import Trust
from servers.jobs import LedgerTasks, run_changes
from servers.streams import PATH, Door, Streams
from tools import sql
from tools.registry import Office, served
from topology.errors import StoreUnreachableError
from topology.services import Topology

ISSUER = "issuer"
EXPORTING = "data"
"""The server whose runs make files to download."""
CONTROLLING = "control"
"""The server beside which the console is served: its pages need that one most."""
ISSUER_PAGES = ("authorize", "login", "factor", "device")


@dataclass(frozen=True)
class Parts:
    """What a root application is made of."""

    servers: Sequence[Built]
    routes: Sequence[BaseRoute] = ()
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered before the first request and left after the last."""
    closing: Sequence[Callable[[], None]] = ()
    """Called when the process is told to stop, so that open streams end."""


class Faces:
    """The whole application, and the word that ends its open streams."""

    def __init__(self, app: ASGIApp, closing: Sequence[Callable[[], None]]) -> None:
        self._app = app
        self._closing = tuple(closing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End every open stream within about a second; may be called twice."""
        for close in self._closing:
            close()


def names(topology: Topology) -> list[str]:
    """Return what can be served: every face, and the issuer where one of ours is used."""
    return [*([ISSUER] if topology.embedded else []), *topology.faces]


def suite(office: Office, identity: Identity | None, only: Sequence[str] = ()) -> Faces:
    """Return the application with all faces and the issuer, or ``only`` some of them.

    ``identity`` is our own issuer, None where every server takes the tokens of external ones.
    """
    topology, trust = office.topology, Trust(office.topology, identity)
    actions = Actions(identity.issuer.store if identity else IdentityStore(office.pool, rows))
    wanted = list(only) or names(topology)
    doors = {
        name: Door(face, Bearer(trust.verifier(name), office.clock, actions))
        for name, face in topology.faces.items()
    }
    streams = Streams(office.pool, office.bus, doors, office.clock)
    ready = health.routes(
        {
            "postgres": partial(ledger_health.check, office.pool),
            "valkey": partial(_check_bus, office.bus),
            "keys": lambda: trust.require(office.clock.now().timestamp()),
        }
    )
    issuer = identity if ISSUER in wanted else None
    door = doors.get(EXPORTING) if EXPORTING in wanted else None
    files = Downloads(office, door.face, door.bearer).routes() if door else []
    console = Console(topology, office.clock).routes() if CONTROLLING in wanted else []
    return root(
        topology,
        Parts(
            servers=[_face(office, doors[name]) for name in topology.faces if name in wanted],
            routes=[
                *(issuer.routes() if issuer else ()),
                *streams.routes(),
                *files,
                *console,
                *ready,
            ],
            held=partial(_held, office, issuer),
            closing=[streams.close, sql.close],
        ),
    )


def root(topology: Topology, parts: Parts) -> Faces:
    """Return one application of all parts, guarded as a whole by Host and Origin."""
    closing = [*parts.closing, *(server.subscriptions.close for server in parts.servers)]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.enter_context(parts.held())
            for server in parts.servers:
                await stack.enter_async_context(server.lifespan(app))
            yield

    routes = [route for server in parts.servers for route in server.routes]
    ours = topology.embedded
    issuers = [topology.issuer_url(ours).removeprefix(topology.base_url)] if ours else []
    guarded = Guarded(
        shared=[server.face.path for server in parts.servers],
        prefixes=[PATH, *(f"{server.face.path}/" for server in parts.servers)],
        own=[f"{path}/{page}" for path in issuers for page in ISSUER_PAGES],
    )
    guard = Hosts(
        Starlette(routes=[*routes, *parts.routes], lifespan=lifespan),
        hosts=guarded_hosts(topology),
        origins=guarded_origins(topology),
        guarded=guarded,
    )
    return Faces(guard, closing)


def _face(office: Office, door: Door) -> Built:
    offered = served(door.face.name)
    guard = Guard(office.clock)
    return build(
        door.face,
        offered,
        office,
        version=version("alphaswarm"),
        clock=office.clock,
        bearer=door.bearer,
        changes=partial(run_changes, office),
        tasks=LedgerTasks(office, door.face.name, offered, guard),
    )


def _held(office: Office, issuer: Identity | None) -> AbstractContextManager[None]:
    sync_latch(office.pool, office.home)
    return issuer.local_login() if issuer else nullcontext()


def _check_bus(bus: Bus) -> None:
    if not bus.notify("ready", {}):
        raise StoreUnreachableError(
            "The bus (Valkey) does not answer.",
            hint="Run `alphaswarm doctor`; `alphaswarm up` starts the stores.",
            store="valkey",
        )
