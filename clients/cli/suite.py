"""Start and stop a suite by command: engines, migrations, servers, workers; `down` leaves nothing.

Two launchers are started detached, with a pid file each: of the servers, and of the keeper of the
worker groups. Whatever else runs is a descendant of those and carries our mark in its environment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.cli import catalog, health
from clients.cli.place import MARK, PORT, Place, python, record_port, recorded_port, tail
from topology import launching, processes
from topology.engines import supervisor
from topology.errors import AlphaSwarmError, BadInputError, FaultError
from topology.home import Home, explaining
from topology.launching import Orders
from topology.processes import Process

READY_S = 60.0
PATIENCE_S = 120.0
"""How long a second `up` or `down` waits for the first."""
ENGINES, SERVERS, WORKERS, WORKLOADS = "engines", "servers", "workers", "workloads"
COMMANDS = {SERVERS: "servers", WORKERS: "runtimes.groups"}
_STOP = ((signal.SIGTERM, 40.0), (signal.SIGKILL, 5.0))
_WORKLOADS = ((signal.SIGTERM, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_STRAY = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Started:
    """What `up` did: the processes it started (none: all was running) and the seconds it took."""

    place: Place
    started: tuple[str, ...]
    seconds: float


def up(place: Place, *, only: Sequence[str] = (), say: Say = lambda _: None) -> Started:
    """Start what does not run yet and return when the servers are ready.

    Raises `BadInputError` for a port that is taken or differs from the running suite's, and
    ``not_ready`` with the log's tail for a process that ends.
    """
    began = time.monotonic()
    for name in only:
        place.face(name)
    place.home.ensure()
    started: list[str] = []
    with alone(place.home):
        try:
            _start(place, tuple(only), started, say)
        except BaseException:
            _undo(place.home, started)
            raise
    return Started(place, tuple(started), time.monotonic() - began)


def _start(place: Place, only: tuple[str, ...], started: list[str], say: Say) -> None:
    """Start what is missing and note it in ``started``, which a failure stops again.

    The servers load for longer than migrations run, and wait for those; so they start first.
    """
    home = place.home
    missing = [name for name in (SERVERS, WORKERS) if not running(home, name)]
    if SERVERS in missing:
        _free_port(place)
    else:
        _same_port(place)
    if missing:
        say("Starting PostgreSQL and Valkey")
    if supervisor.up(home, place.topology).changed:
        started.append(ENGINES)
    catalog.write(place)
    record_port(home, place.topology.listen.port)
    steps = {SERVERS: ("issuer", *only) if only else (), WORKERS: ()}
    for name in missing:
        say(f"Starting the {name}")
        started.append(name)
        _launch(place, name, steps[name])
        if name == missing[0]:
            _migrate(place)
    _wait_ready(place, only)


def down(home: Home) -> tuple[str, ...]:
    """Stop everything of this home and return what was stopped; a second call finds nothing."""
    if not home.run.is_dir():
        return ()
    with alone(home):
        stopped = _stop(home, (WORKERS, SERVERS))
        stopped += _stop_workloads(home)
        strays = list(marked(home))
        _stop_all(strays, _STRAY)
        _forget(home)
        engines = supervisor.down(home)
    ran = [e.name for e in (engines.postgres, engines.valkey) if e.state == "stopped"]
    return (*stopped, *(["strays"] if strays else []), *ran)


def _stop(home: Home, names: Sequence[str]) -> list[str]:
    found = {name: process for name in names if (process := running(home, name))}
    _stop_all(list(found.values()), _STOP)
    for name in names:
        _pid_file(home, name).unlink(missing_ok=True)
    return list(found)


def _stop_workloads(home: Home) -> list[str]:
    """Stop the workloads of this home by their launchers; the record follows at the next `up`."""
    found = [state.process for _, state in launching.states(home)]
    found = [one for one in found if f"-m {launching.MODULE}" in one.command() and one.alive]
    _stop_all(found, _WORKLOADS)
    return [WORKLOADS] if found else []


def _undo(home: Home, started: Sequence[str]) -> None:
    """Stop what a failed `up` has started; what ran before goes on."""
    _stop(home, [name for name in started if name in COMMANDS])
    if SERVERS in started:
        (home.run / PORT).unlink(missing_ok=True)
    if ENGINES in started:
        supervisor.down(home)


def running(home: Home, name: str) -> Process | None:
    """Return the process ``servers`` or ``workers`` of this home if it lives and is ours."""
    process = Process.read(_pid_file(home, name))
    return process if process and f"-m {COMMANDS[name]}" in process.command() else None


def marked(home: Home) -> Iterator[Process]:
    """Yield every process that carries this home's mark in its environment (Linux).

    Never this one or one that it was started by: a mark that somebody exported in a shell must not
    end that shell.
    """
    spared = set(_lineage())
    for found in processes.carrying(MARK, str(home.root)):
        if found.pid not in spared:
            yield found


def port_taken(place: Place) -> str | None:
    """Return the address of ours that another program listens on, or None."""
    port = place.topology.listen.port
    for host in place.topology.listen.hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    return f"{host} port {port}"
    return None


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Let one `up` or `down` of a home act at a time; the kernel frees the lock of a killed one."""
    with explaining(home.run):
        lock = os.open(home.run / "suite.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not processes.until(lambda: _locks(lock), PATIENCE_S, poll_s=0.05):
            raise FaultError(
                "Another command is still starting or stopping this suite.",
                hint="Wait for it to end, then try again.",
            )
        yield
    finally:
        os.close(lock)


def _same_port(place: Place) -> None:
    there, wanted = recorded_port(place.home), place.topology.listen.port
    if there is not None and there != wanted:
        raise BadInputError(
            f"The suite of this home already runs on port {there}, not {wanted}.",
            hint="Stop it with `alphaswarm down` first, or leave the port out.",
            port=there,
        )


def _free_port(place: Place) -> None:
    taken = port_taken(place)
    if taken is not None:
        raise BadInputError(
            f"Another program already listens on {taken}.",
            hint="Choose another port: `alphaswarm up --port N`, or set ALPHASWARM_PORT.",
            code="port_taken",
            port=place.topology.listen.port,
        )


def _migrate(place: Place) -> None:
    argv = python("ledger.migrations")
    done = subprocess.run(
        argv, env=place.environ(), capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        raise FaultError(
            "The databases could not be brought up to date.",
            hint="Read the last lines, then run `alphaswarm up` again; nothing was half done.",
            code="store_unreachable",
            said=(done.stderr or done.stdout).splitlines()[-8:],
        )


def _launch(place: Place, name: str, arguments: tuple[str, ...]) -> None:
    log = place.home.logs / f"{name}.log"
    argv = python(COMMANDS[name], *arguments)
    process = launching.start(name, argv, Orders(), log=log, environ=place.environ())
    if process is None:
        raise _ended(place, name)
    process.write(_pid_file(place.home, name))


def _wait_ready(place: Place, only: tuple[str, ...]) -> None:
    wanted = set(only or place.topology.faces)
    deadline = time.monotonic() + READY_S
    while True:
        for name in (SERVERS, WORKERS):
            if not running(place.home, name):
                raise _ended(place, name)
        found = health.probe(place.topology)
        if found.ready and wanted <= found.servers:
            return
        if time.monotonic() > deadline:
            raise found.problem or FaultError(
                "The servers are not ready.",
                hint="Run `alphaswarm doctor`, and `alphaswarm down` to stop them.",
                code="unreachable",
                missing=sorted(wanted - found.servers),
            )
        time.sleep(0.05)


def _ended(place: Place, name: str) -> AlphaSwarmError:
    return FaultError(
        f"The {name} ended while they started.",
        hint=f"The reason stands in {name}.log in the home's logs folder; the end of it is here.",
        code="unreachable",
        said=tail(place.home.logs / f"{name}.log"),
    )


def _stop_all(found: Sequence[Process], signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal to all that still live, then wait for all of them together."""
    for number, timeout_s in signals:
        for process in found:
            process.send(number)
        if processes.until(lambda: not any(process.alive for process in found), timeout_s):
            return


def _forget(home: Home) -> None:
    (home.run / PORT).unlink(missing_ok=True)
    for note in home.run.glob("worker-*.json"):
        note.unlink(missing_ok=True)


def _lineage() -> Iterator[int]:
    """Yield our pid, our parent's, and so on (Linux)."""
    pid = os.getpid()
    while pid > 1:
        yield pid
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        pid = int(stat.rpartition(")")[2].split()[1])


def _pid_file(home: Home, name: str) -> Path:
    return home.run / f"{name}.pid"


def _locks(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
