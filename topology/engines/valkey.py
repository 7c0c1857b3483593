"""The embedded Valkey: Unix socket, password, append-only file; the queue survives a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from topology import processes, stores
from topology.engines import binaries
from topology.engines.trouble import failed
from topology.home import Home, explaining
from topology.processes import Process
from topology.sections import EmbeddedValkey

START_S = 10.0
LOADING_S = 120.0
_STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class Valkey:
    """One server on one home."""

    home: Home
    store: EmbeddedValkey

    def running(self) -> Process | None:
        """Return the server of this home."""
        return running(self.home)

    def ready(self) -> bool:
        """Tell whether it answers PING."""
        return ping(self.home) == b"+PONG"

    def start(self) -> Process:
        """Start it on the data that is there, and wait until that is loaded."""
        program = binaries.valkey(self.store)
        self._provide_password()
        log = self.home.logs / "valkey.log"
        said = log.stat().st_size if log.exists() else 0
        with _alone(self.home) as lock:
            process = processes.start(
                [str(program), "-"],
                log=log,
                environ=dict(os.environ),
                stdin=_configuration(self.home).encode(),
                keep=[lock],
            )
        if process is None or not self._wait_ready(process):
            text = log.read_text(errors="replace")[said:]
            raise failed("valkey", "does not start", text, log)
        return process

    def _wait_ready(self, process: Process) -> bool:
        begun = time.monotonic()
        while process.alive:
            answer = ping(self.home)
            if answer == b"+PONG":
                return True
            patience = LOADING_S if answer.startswith(b"-LOADING") else START_S
            if time.monotonic() - begun > patience:
                process.stop(*_STOP)
                return False
            time.sleep(0.01)
        return False

    def _provide_password(self) -> None:
        if not (self.home.secrets / stores.VALKEY_PASSWORD).exists():
            self.home.write_secret(stores.VALKEY_PASSWORD, secrets.token_urlsafe(32))


def running(home: Home) -> Process | None:
    """Return the living server that ``run/valkey.pid`` names, if its title names our socket."""
    try:
        process = Process.of(int((home.run / "valkey.pid").read_text()))
    except (OSError, ValueError):
        return None
    ours = f"unixsocket:{_socket(home)}"
    return process if process and ours in process.command() else None


def stop(home: Home) -> bool:
    """Stop the server; tell whether one ran."""
    process = running(home)
    if process and not process.stop(*_STOP):
        raise failed("valkey", "does not stop", "", home.logs / "valkey.log")
    return process is not None


def ping(home: Home) -> bytes:
    """Return the server's answer to PING without its line end, nothing when it is not there."""
    try:
        word = (home.secrets / stores.VALKEY_PASSWORD).read_bytes().strip()
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(1.0)
            wire.connect(_socket(home))
            wire.sendall(b"AUTH " + word + b"\r\nPING\r\n")
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := wire.recv(512)):
                answer += part
    except OSError:
        return b""
    return answer.rstrip(b"\r\n").rpartition(b"\r\n")[2]


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[int]:
    """Hold the lock that the server inherits and keeps for its life.

    Valkey has no lock of its own: two servers on one append-only file would ruin it. The children
    of a killed server may hold it for a moment.
    """
    path = home.run / "valkey.lock"
    with explaining(path):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not processes.until(lambda: _locks(lock), START_S):
            raise failed("valkey", "is still held by an earlier process", "")
        yield lock
    finally:
        os.close(lock)


def _locks(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _socket(home: Home) -> str:
    return str(home.sockets / stores.VALKEY_SOCKET)


def _configuration(home: Home) -> str:
    """Return the configuration, passed on stdin: an argument would show the password."""
    word = (home.secrets / stores.VALKEY_PASSWORD).read_text().strip()
    settings = {
        "port": "0",
        "unixsocket": _quoted(_socket(home)),
        "unixsocketperm": "700",
        "dir": _quoted(str(home.valkey)),
        "pidfile": _quoted(str(home.run / "valkey.pid")),
        "requirepass": word,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "set-proc-title": "yes",
        "always-show-logo": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(path: str | Path) -> str:
    safe = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    encoded = (chr(b) if b in safe else f"\\x{b:02x}" for b in os.fsencode(path))
    return f'"{"".join(encoded)}"'
