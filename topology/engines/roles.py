"""Roles and databases of the embedded PostgreSQL, made once and completed at every start.

SQL goes through the wheel's ``psql`` on stdin. It carries scram verifiers (RFC 5802), never
passwords, so that a server's log cannot hold one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import subprocess
from pathlib import Path

from topology import stores
from topology.engines import binaries
from topology.engines.trouble import failed
from topology.errors import EngineError
from topology.home import Home, explaining, write_private

OWNER = "alphaswarm_owner"
LOGINS = (OWNER, "alphaswarm_app", "alphaswarm_writer", "alphaswarm_reader")
_ITERATIONS = 4096
_DONE = "alphaswarm.done"


def provide(home: Home, psql: Path, held: tuple[int, ...] = ()) -> None:
    """Make what is missing: roles without a password file get a new password.

    psql keeps the files ``held`` open, the home's lock among them.
    """
    done = home.pg / _DONE
    lacking = [role for role in LOGINS if not stores.pgpass_file(home, role).exists()]
    if done.exists() and not lacking:
        return
    if not stores.pgpass_file(home, "alphaswarm").exists():
        raise EngineError(
            "The home has PostgreSQL data but not the password of its superuser.",
            hint="Put the home's secrets folder back from your backup.",
            engine="postgres",
        )
    words = {role: secrets.token_urlsafe(32) for role in lacking}
    logins = "".join(_login(role, word) for role, word in words.items())
    _run(home, psql, logins + _DATABASES, held)
    for role, word in words.items():
        home.write_secret(f"{role}.pgpass", stores.pgpass(role, word))
    with explaining(done):
        write_private(done, "roles and databases were made\n")


def verifier(password: str, salt: bytes) -> str:
    """Return the ``SCRAM-SHA-256$...`` text that PostgreSQL stores (RFC 5802 s.3)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def _login(role: str, password: str) -> str:
    """SQL that makes a login role or gives it a new password."""
    return f"""
SELECT 'CREATE ROLE {role} LOGIN' WHERE NOT EXISTS
  (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
  PASSWORD '{verifier(password, secrets.token_bytes(16))}';
"""  # noqa: S608  both are ours


_DATABASES = "".join(
    f"""
SELECT 'CREATE DATABASE {name} OWNER {OWNER}' WHERE NOT EXISTS
  (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
REVOKE ALL ON DATABASE {name} FROM PUBLIC;
GRANT CONNECT ON DATABASE {name} TO {", ".join(LOGINS)};
"""  # noqa: S608  the names are ours
    for name in stores.DATABASES
)


def _run(home: Home, psql: Path, sql: str, held: tuple[int, ...]) -> None:
    """Run SQL as the superuser; the first error stops it."""
    argv = [str(psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(home.sockets)]
    argv += ["-p", str(stores.POSTGRES_PORT), "-U", "alphaswarm", "-d", "postgres", "-f", "-"]
    environ = {**binaries.environment(), "PGPASSFILE": str(stores.pgpass_file(home, "alphaswarm"))}
    done = subprocess.run(
        argv,
        env=environ,
        input=sql,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        pass_fds=held,
    )
    if done.returncode != 0:
        raise failed("postgres", "refuses its first roles", done.stderr)
