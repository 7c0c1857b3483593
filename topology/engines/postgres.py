"""The embedded PostgreSQL: first start, start, stop; Unix socket and scram only."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from topology import processes, stores
from topology.engines import account, binaries, roles
from topology.engines.account import Account
from topology.engines.trouble import failed
from topology.errors import EngineVersionError
from topology.home import Home, explaining, write_private
from topology.processes import Process
from topology.sections import EmbeddedPostgres

VERSION = "18"
START_S = 10.0
RECOVERY_S = 120.0
"""How long crash recovery may take once the server says that it is on its way."""

_FAST_STOP = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
_LEFT_OVER = ("lock file", "pre-existing shared memory")


@dataclass(frozen=True, slots=True)
class Postgres:
    """One server on one home.

    ``lock`` is the home's lock file, held by the caller; the programs that prepare a cluster hold
    it too, so that nobody starts again beside those that a killed supervisor left at work.
    """

    home: Home
    store: EmbeddedPostgres
    lock: int | None = None

    def running(self) -> Process | None:
        """Return the postmaster that serves this home."""
        return running(self.home)

    def ready(self) -> bool:
        """Tell whether it takes connections."""
        return self._isready() == 0

    def start(self) -> Process:
        """Start it, making the cluster where it is missing."""
        programs = binaries.postgres(self.store)
        check_version(self.home)
        as_whom = account.choose(self.home)
        programs = account.settle(self.home, as_whom, programs, self.store.state_dir)
        if not (self.home.pg / "PG_VERSION").exists():
            _initialise(self.home, as_whom, programs, holding(self.lock))
        return self._launch(as_whom, programs)

    def complete(self) -> None:
        """Make what a running server lacks: a supervisor may have died right after its start."""
        roles.provide(self.home, binaries.postgres(self.store) / "psql", holding(self.lock))

    def _launch(self, as_whom: Account, programs: Path) -> Process:
        """Start the postmaster; while a killed one's children still end, try again."""
        forget_dead(self.home)
        argv = [*as_whom.prefix, str(programs / "postgres"), *self._settings()]
        log = self.home.logs / "postgres.log"
        deadline = time.monotonic() + START_S
        while True:
            said = log.stat().st_size if log.exists() else 0
            process = processes.start(argv, log=log, environ=binaries.environment())
            if process and self._wait_ready(process):
                return process
            text = log.read_text(errors="replace")[said:]
            again = any(words in text for words in _LEFT_OVER)
            if not again or time.monotonic() > deadline:
                raise failed("postgres", "does not start", text, log)
            time.sleep(0.25)
            forget_dead(self.home)

    def _wait_ready(self, process: Process) -> bool:
        """Wait until it answers; False when it ended or kept silent."""
        begun = time.monotonic()
        while process.alive:
            answer = self._isready()
            if answer == 0:
                return True
            patience = RECOVERY_S if answer == 1 else START_S
            if time.monotonic() - begun > patience:
                process.stop(*_FAST_STOP)
                return False
            time.sleep(0.02)
        return False

    def _isready(self) -> int:
        """Return 0 ready, 1 starting up or stopping, 2 no answer."""
        program = str(binaries.postgres(self.store) / "pg_isready")
        argv = [program, "-q", "-h", str(self.home.sockets), "-p", str(stores.POSTGRES_PORT)]
        argv += ["-U", "alphaswarm", "-d", "postgres"]  # else libpq asks for our account's name
        return subprocess.run(argv, env=binaries.environment(), check=False).returncode

    def _settings(self) -> list[str]:
        folder = str(self.home.sockets).replace('"', '""')
        settings = {
            "listen_addresses": "",
            "port": str(stores.POSTGRES_PORT),
            "unix_socket_directories": f'"{folder}"',
            "unix_socket_permissions": "0700",
            "max_connections": str(self.store.max_connections),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        options = [f"{name}={value}" for name, value in settings.items()]
        return [
            "-D",
            str(self.home.pg.resolve()),
            *(part for option in options for part in ("-c", option)),
        ]


def holding(lock: int | None) -> tuple[int, ...]:
    """Return the files that a program keeps open."""
    return () if lock is None else (lock,)


def running(home: Home) -> Process | None:
    """Return the living postmaster that ``postmaster.pid`` names, if it is this home's."""
    try:
        first = (home.pg / "postmaster.pid").read_text().splitlines()[0]
        process = Process.of(abs(int(first)))
    except (OSError, ValueError, IndexError):
        return None
    ours = f" -D {home.pg.resolve()} "
    return process if process and ours in process.command() else None


def stop(home: Home) -> bool:
    """Stop the server and any child that a killed postmaster left; tell whether one ran."""
    postmaster = running(home)
    left = [p for p in processes.working_in(home.pg) if p != postmaster]
    if postmaster and not postmaster.stop(*_FAST_STOP):
        raise failed("postgres", "does not stop", "", home.logs / "postgres.log")
    for orphan in left:
        orphan.stop((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
    return postmaster is not None or bool(left)


def forget_dead(home: Home) -> None:
    """Remove lock files whose pid is no server of this home: a zombie's, or one used again.

    PostgreSQL itself only asks whether the pid exists. While any process still works in the data
    folder, or where that cannot be seen, nothing is removed: somebody may be writing.
    """
    busy = running(home) or next(processes.working_in(home.pg), None)
    if busy or not processes.SEES_FOLDERS:
        return
    with explaining(home.pg):
        (home.pg / "postmaster.pid").unlink(missing_ok=True)
        (home.sockets / f".s.PGSQL.{stores.POSTGRES_PORT}.lock").unlink(missing_ok=True)


def check_version(home: Home) -> None:
    """Refuse data of another major version."""
    file = home.pg / "PG_VERSION"
    found = file.read_text().strip() if file.exists() else VERSION
    if found != VERSION:
        raise EngineVersionError(
            f"The home's data belongs to PostgreSQL {found[:16]}, this is {VERSION}.",
            hint="Convert it with pg_upgrade, or set ALPHASWARM_HOME to a new folder.",
            engine="postgres",
            found=found[:16],
            wanted=VERSION,
        )


def _initialise(home: Home, as_whom: Account, programs: Path, held: tuple[int, ...]) -> None:
    """Make the cluster aside and move it into place, so that a killed start leaves no half one."""
    target = home.pg.resolve()
    with explaining(target):
        aside, word = target.with_name("pg.new"), target.with_name("pg.word")
        shutil.rmtree(aside, ignore_errors=True)
        password = secrets.token_urlsafe(32)
        write_private(word, f"{password}\n")
        as_whom.own(word, mode=0o600)
    argv = [*as_whom.prefix, str(programs / "initdb"), "-D", str(aside)]
    argv += ["-U", "alphaswarm", "--auth=scram-sha-256", f"--pwfile={word}", "--encoding=UTF8"]
    argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    try:
        done = subprocess.run(
            argv,
            env=binaries.environment(),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            pass_fds=held,
        )
    finally:
        word.unlink(missing_ok=True)
    if done.returncode != 0:
        shutil.rmtree(aside, ignore_errors=True)
        raise failed("postgres", "cannot make its data folder", done.stdout + done.stderr)
    home.write_secret("alphaswarm.pgpass", stores.pgpass("alphaswarm", password))
    with explaining(target):
        target.rmdir()
        aside.rename(target)
