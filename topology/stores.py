"""Where the stores are, embedded or by URL; an address never holds a password.

PostgreSQL passwords stand in ``secrets/ROLE.pgpass``, Valkey's in ``secrets/valkey.password``,
all 0600. The supervisor writes them for embedded engines; for remote stores they are written here
from the credential that the topology names, at each use, so that a rotated secret arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args
from urllib.parse import quote, urlencode, urlsplit

from topology.credentials import CredentialRef
from topology.errors import CredentialError, UnknownNameError, did_you_mean, nearest
from topology.home import Home, explaining
from topology.sections import RemotePostgres, RemoteValkey, Role
from topology.services import Topology

DATABASES = ("ledger", "lake")
POSTGRES_PORT = 5432
VALKEY_SOCKET = "valkey.sock"
VALKEY_PASSWORD = "valkey.password"  # noqa: S105  a file name


@dataclass(frozen=True, slots=True)
class ValkeyAddress:
    """A Unix socket or a host; ``url`` for display and clients, the password apart."""

    url: str
    socket: str | None
    password_file: Path | None

    def password(self) -> str | None:
        """Read the password; a missing file is a `CredentialError` that says what to start."""
        if self.password_file is None:
            return None
        return _read_secret(self.password_file)


def postgres_dsn(topology: Topology, home: Home, role: str, database: str = "ledger") -> str:
    """Return the libpq URL of ``database`` for ``role``, with ``passfile`` instead of a password.

    The port is always written, so that a ``PGPORT`` in the environment changes nothing.
    """
    return _postgres_url("postgresql", topology, home, role, database)


def catalog_uri(topology: Topology, home: Home, role: str) -> str:
    """Return the SQLAlchemy URL (psycopg 3) of the Iceberg catalog in database ``lake``."""
    return _postgres_url("postgresql+psycopg", topology, home, role, "lake")


def valkey_address(topology: Topology, home: Home) -> ValkeyAddress:
    """Return where Valkey listens."""
    store = topology.stores.valkey
    if isinstance(store, RemoteValkey):
        file = _materialised(topology, home, store.credential, home.secrets / VALKEY_PASSWORD)
        return ValkeyAddress(store.url, None, file)
    socket = str(home.sockets / VALKEY_SOCKET)
    return ValkeyAddress(f"unix://{quote(socket)}", socket, home.secrets / VALKEY_PASSWORD)


def warehouse(topology: Topology, home: Home) -> Path:
    """Return the folder of the Iceberg tables; a relative path starts at the home."""
    return home.root / topology.stores.warehouse.path


def pgpass(role: str, password: str) -> str:
    """Return a libpq password file for one role on any host (colons and backslashes escaped)."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:{role}:{escaped}\n"


def pgpass_file(home: Home, role: str) -> Path:
    """Return where the password of ``role`` stands."""
    return home.secrets / f"{role}.pgpass"


def _postgres_url(scheme: str, topology: Topology, home: Home, role: str, database: str) -> str:
    _known(role, get_args(Role), "database role")
    _known(database, DATABASES, "database")
    store = topology.stores.postgres
    options = {"passfile": str(pgpass_file(home, role))}
    if isinstance(store, RemotePostgres):
        _materialised(
            topology, home, store.credentials.get(cast("Role", role)), pgpass_file(home, role), role
        )
        authority = urlsplit(store.url).netloc
        options |= {"sslmode": store.sslmode} if store.sslmode else {}
    else:
        authority = ""
        options |= {"host": str(home.sockets), "port": str(POSTGRES_PORT)}
    return f"{scheme}://{role}@{authority}/{database}?{urlencode(options, quote_via=quote)}"


def _materialised(
    topology: Topology, home: Home, credential: str | None, path: Path, role: str | None = None
) -> Path | None:
    """Write the resolved credential to ``path`` where it changed; None without a credential."""
    if credential is None:
        return None
    reference = CredentialRef.parse(topology.credentials[credential].source)
    secret = reference.resolve().get_secret_value()
    text = pgpass(role, secret) if role else secret
    with explaining(path):
        current = path.read_text(encoding="utf-8") if path.exists() else None
    return path if current == text else home.write_secret(path.name, text)


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CredentialError(
            f"The password file {path.name!r} cannot be read: {error.strerror}.",
            hint="Start the stores first: alphaswarm up.",
            file=path.name,
        ) from error


def _known(name: str, choices: tuple[str, ...], family: str) -> None:
    if name not in choices:
        raise UnknownNameError(
            f"No {family} is called {name[:64]!r}.",
            hint=did_you_mean(name, choices),
            family=family,
            nearest=nearest(name, choices),
        )
