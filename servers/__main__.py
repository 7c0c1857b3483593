"""``python -m servers [NAME...]``: serve the suite, or some of it, until told to stop."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import uvicorn
from starlette.types import ASGIApp

import auth.store
from ledger import health
from ledger.identity import IdentityStore
from ledger.pool import Pool
from servers import everything
from servers.answers import plain
from servers.identity.compose import ledger_sink, open_identity
from servers.office import open_office
from topology import redact, services
from topology.clock import SystemClock
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    StoreUnreachableError,
    UnknownNameError,
    did_you_mean,
)
from topology.home import Home
from topology.services import Topology

STOP_S = 3
"""How long requests that still run may take to end; a client may hold a stream for ever."""
MIGRATIONS_S = 30.0
POLL_S = 0.1
EXIT_USAGE = 2
EXIT_FAULT = 5
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_log = logging.getLogger("servers")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return 0, or 2 or 5 with the error object on stderr.

    2: something to correct (a name, the topology, a taken port); 5: a store does not answer.
    """
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a server, or issuer; all if none")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    redact.install("uvicorn")
    # A pool that cannot connect says so at every attempt; whoever asks it gets a clear error.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    try:
        _serve(services.load(), Home.from_environment(), chosen.names)
    except AlphaSwarmError as error:
        print(json.dumps(plain(error)), file=sys.stderr)  # noqa: T201 - the answer of a command
        return EXIT_FAULT if isinstance(error, FaultError) else EXIT_USAGE
    return 0


def listen(topology: Topology) -> list[socket.socket]:
    """Return sockets bound to every address of the topology that this machine has.

    A taken port raises `BadInputError` with code ``port_taken``.
    """
    port = topology.listen.port
    bound: list[socket.socket] = []
    for host in topology.listen.hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            bound.append(socket.create_server((host, port), family=family, backlog=1024))
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:
                _log.warning("this machine has no %s; not listening there", host)
                continue
            for one in bound:
                one.close()
            raise _refusal(host, port, error) from error
    if not bound:
        raise BadInputError(
            "None of the addresses to listen on exists here.",
            hint="Correct listen.hosts in the topology.",
            path="listen.hosts",
        )
    return bound


def await_migrations(pool: Pool, *, within_s: float = MIGRATIONS_S) -> None:
    """Return when the ledger is migrated, so that servers may start while that still runs.

    A ledger that does not answer raises at once; one that stays behind does after ``within_s``.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            return health.check(pool)
        except StoreUnreachableError:
            raise
        except FaultError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def _serve(topology: Topology, home: Home, names: Sequence[str]) -> None:
    for name in names:
        if name not in everything.names(topology):
            raise UnknownNameError(
                f"No server is called {name[:64]!r}.",
                hint=did_you_mean(name, everything.names(topology)),
            )
    home.ensure()
    clock = SystemClock()
    with ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in listen(topology)]
        office = stack.enter_context(open_office(topology, home, clock))
        await_migrations(office.pool)
        store, sink = IdentityStore(office.pool, auth.store), ledger_sink(office.pool)
        identity = open_identity(topology, home, store, sink, clock) if topology.embedded else None
        app = everything.suite(office, identity, names)
        server = _Server(_config(app), closing=app.close)
        server.run(sockets=sockets)
        if not server.started:
            raise FaultError("The servers did not start.", hint="The log above says why.")


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=STOP_S,
    )


class _Server(uvicorn.Server):
    """Ends open streams as soon as it is told to stop; the library would wait for them."""

    def __init__(self, config: uvicorn.Config, *, closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it is over, then wait for what still runs."""
        self._closing()
        await super().shutdown(sockets)


def _refusal(host: str, port: int, error: OSError) -> BadInputError:
    if error.errno == errno.EADDRINUSE:
        return BadInputError(
            f"Port {port} on {host} is taken by another program.",
            hint="`alphaswarm status` shows whether it is this suite; `up --port N` uses another.",
            code="port_taken",
            host=host,
            port=port,
        )
    return BadInputError(
        f"Port {port} on {host} cannot be used: {error.strerror}.",
        hint="Correct `listen` in the topology.",
        code="port_taken",
        host=host,
        port=port,
    )


if __name__ == "__main__":
    sys.exit(main())
