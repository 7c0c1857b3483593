"""Connections to the ledger: one pool per process, short transactions, errors a user can read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from topology.errors import FaultError, StoreUnreachableError

Connection: TypeAlias = psycopg.Connection[DictRow]
Pool: TypeAlias = "ConnectionPool[Connection]"

WAIT_S = 5.0
"""How long a caller waits for a free connection before the store counts as unreachable."""

_GIVE_UP_S = 2.0
"""How long the pool tries, ever more slowly, before the next caller makes it try at once again."""

_SETTINGS: dict[str, Any] = {
    "row_factory": dict_row,
    "connect_timeout": 5,
    "options": "-c timezone=UTC -c lock_timeout=30000 -c idle_in_transaction_session_timeout=60000",
}


def open_pool(
    dsn: str, *, name: str, min_size: int = 1, max_size: int = 8, wait_s: float = WAIT_S
) -> Pool:
    """Return a pool of connections to ``dsn``, a libpq URL without a password.

    Whoever waits longer than ``wait_s`` for a connection gets `StoreUnreachableError`.

    The pool connects in the background, so that a process can start before its store.
    """
    return ConnectionPool(
        dsn,
        connection_class=psycopg.Connection[DictRow],
        kwargs={**_SETTINGS, "application_name": name},
        min_size=min_size,
        max_size=max_size,
        name=name,
        timeout=wait_s,
        reconnect_timeout=_GIVE_UP_S,
        open=True,
    )


@contextmanager
def transaction(pool: Pool, *, wait_s: float | None = None) -> Iterator[Connection]:
    """Lend a connection for one transaction: committed at the end, rolled back by any exception.

    Every connection is tried before it is lent, so that a restarted server is not an error.
    ``wait_s`` is how long to wait for one, the pool's own time by default.
    """
    with reaching():
        connection = _working(pool, pool.timeout if wait_s is None else wait_s)
        try:
            with connection:
                yield connection
        finally:
            pool.putconn(connection)


@contextmanager
def direct(dsn: str, *, name: str) -> Iterator[Connection]:
    """Open a connection of its own in autocommit, for what a session holds: LISTEN and locks."""
    with reaching():
        connection = psycopg.Connection[DictRow].connect(
            dsn, autocommit=True, application_name=name, **_SETTINGS
        )
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def reaching() -> Iterator[None]:
    """Turn errors of psycopg into ours; what they say may hold SQL and addresses, so it is left.

    A server that does not answer is `StoreUnreachableError`; an operation that it refuses is a
    `FaultError` with the name of the refusal.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise unreachable(error) from error
    except (PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise unreachable(error) from error
    except psycopg.Error as error:
        raise FaultError(
            f"The ledger refused an operation ({type(error).__name__}).",
            hint="Run `alphaswarm doctor`; if it finds nothing, this is a bug worth reporting.",
            sqlstate=error.sqlstate or "",
        ) from error


def unreachable(error: Exception) -> StoreUnreachableError:
    """Return the one error for a ledger that does not answer."""
    return StoreUnreachableError(
        f"The ledger (PostgreSQL) does not answer ({type(error).__name__}).",
        hint="Run `alphaswarm doctor`; `alphaswarm up` starts the stores.",
        store="postgres",
    )


def _working(pool: Pool, wait_s: float) -> Connection:
    """Return a connection that answers; the pool's own check sleeps a second per broken one."""
    deadline = time.monotonic() + wait_s
    while True:
        connection = pool.getconn(timeout=max(deadline - time.monotonic(), 0.001))
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.OperationalError:
            pool.putconn(connection)  # found broken: the pool replaces it
        except BaseException:
            pool.putconn(connection)
            raise
        else:
            return connection
