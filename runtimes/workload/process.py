"""Workloads as processes of this machine, each under a launcher of its own."""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from clients.cli.place import MARK as SUITE
from runtimes.specs.workload import WorkloadSpec
from runtimes.workload.base import MARK, PATH, Job, Provider, Status, WorkloadFailedError
from topology import launching
from topology.errors import BinaryMissingError
from topology.home import explaining
from topology.latch import scopes_of
from topology.launching import Orders, Probe, State
from topology.processes import carrying, until

LOG_BYTES = 64 * 1024 * 1024
KILL_S = 5.0
_MB = 1024 * 1024


class ProcessProvider(Provider):
    """Starts programs as detached processes; state and log lie in the home."""

    name: ClassVar[str] = "process"

    def plan(self, spec: WorkloadSpec) -> dict[str, Any]:
        """Return the program by path and SHA-256: an approval is one of exactly that file."""
        program = Path(_program(spec)).resolve()
        with explaining(program), program.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"program": str(program), "program_sha256": digest}

    def apply(self, job: Job) -> None:
        """Start the program unless one was started for this run.

        The launcher inherits the run's lock, so that a second one cannot even begin.
        """
        with self._alone(job.run_id) as lock:
            if lock is None or launching.state_file(self.home, job.run_id).exists():
                return
            started = launching.start(
                f"workload/{job.spec.name}",
                [_program(job.spec), *(job.spec.argv or ())[1:]],
                self._orders(job, lock),
                log=self._log(job.run_id),
                environ=launching.own_environment(_suite()),
                keep=[lock],
            )
        if started is None:
            raise WorkloadFailedError(
                f"The launcher of {job.spec.name} ended at once.",
                hint="The log holds the reason.",
                said=self.logs(job.run_id, lines=5),
            )

    def status(self, run_id: str) -> Status:
        """Read what the launcher said last, and see whether it still lives."""
        state = State.read(launching.state_file(self.home, run_id))
        if state is None:
            return Status("starting" if self._locked(run_id) else "absent")
        facts = {"well": state.well, "restarts": state.restarts, "exit_code": state.exit_code}
        if state.phase == "exited":
            halt = {"why": state.why, "epoch": state.epoch, "scope": state.scope}
            return Status("exited", **facts, **halt)  # type: ignore[arg-type]  # as State has them
        if not state.process.alive:
            return Status("lost", restarts=state.restarts)
        return Status("running", **facts)  # type: ignore[arg-type]  # as State has them

    def logs(self, run_id: str, *, lines: int) -> builtins.list[str]:
        """Return the end of the log file."""
        try:
            with self._log(run_id).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - lines * 500))
                found = file.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return found[-lines:]

    def stop(self, run_id: str, *, grace_s: float) -> bool:
        """Send SIGTERM to the program, by its launcher."""
        state = State.read(launching.state_file(self.home, run_id))
        if state is None:
            return not self._locked(run_id)
        state.process.send(signal.SIGTERM)
        return state.process.wait(grace_s) and not self._marked(run_id)

    def kill(self, run_id: str) -> None:
        """End the launcher with all that it keeps; what it lost is found by its environment."""
        until(lambda: self._said(run_id) or not self._locked(run_id), KILL_S)
        state = State.read(launching.state_file(self.home, run_id))
        if state is not None:
            state.process.stop((signal.SIGQUIT, KILL_S), (signal.SIGKILL, KILL_S))
        for process in self._marked(run_id):
            process.stop((signal.SIGKILL, KILL_S))

    def list(self) -> builtins.list[str]:
        """Return the runs whose launchers live."""
        return [run_id for run_id, state in launching.states(self.home) if state.process.alive]

    def forget(self, run_id: str) -> None:
        """Remove state, lock and log."""
        log = self._log(run_id)
        for file in (log, log.with_name(f"{log.name}.1"), self._lock(run_id)):
            file.unlink(missing_ok=True)
        launching.state_file(self.home, run_id).unlink(missing_ok=True)

    def _orders(self, job: Job, lock: int) -> Orders:
        spec = job.spec
        folder = self.home.workloads / spec.name
        with explaining(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        ours = {"PATH": PATH, "HOME": str(folder), "LANG": "C.UTF-8"}
        return Orders(
            environ={**ours, **job.environ()},
            folder=str(folder),
            limits=_limits(spec),
            restart=spec.restart.policy,
            most=spec.restart.most,
            pause_s=spec.restart.pause_s,
            probe=Probe(**spec.health.model_dump()) if spec.health else None,
            state=str(launching.state_file(self.home, job.run_id)),
            latch=str(self.home.latch),
            scopes=scopes_of(spec.kind, spec.name, job.run_id),
            halt_grace_s=spec.halt_grace_s,
            lock=lock,
            log_bytes=LOG_BYTES,
        )

    @contextlib.contextmanager
    def _alone(self, run_id: str) -> Iterator[int | None]:
        """Hold the lock of a run, or yield None: its launcher, or another worker, has it."""
        with explaining(self._lock(run_id)):
            lock = os.open(self._lock(run_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield lock if _locks(lock) else None
        finally:
            os.close(lock)

    def _locked(self, run_id: str) -> bool:
        if not self._lock(run_id).exists():
            return False
        with self._alone(run_id) as lock:
            return lock is None

    def _said(self, run_id: str) -> bool:
        return launching.state_file(self.home, run_id).exists()

    def _marked(self, run_id: str) -> builtins.list[Any]:
        return [found for found in carrying(MARK, run_id) if found.pid != os.getpid()]

    def _lock(self, run_id: str) -> Path:
        return self.home.run / f"workload-{run_id}.lock"

    def _log(self, run_id: str) -> Path:
        return self.home.logs / f"workload-{run_id}.log"


def _program(spec: WorkloadSpec) -> str:
    argv = spec.argv or ("",)
    found = shutil.which(argv[0], path=PATH)
    if found is None or not Path(found).is_absolute():
        raise BinaryMissingError(
            f"There is no program {argv[0]!r} on this machine.",
            hint=f"Name it by its absolute path, or one that lies on {PATH}.",
            binary=argv[0],
        )
    return found


def _limits(spec: WorkloadSpec) -> dict[str, int]:
    asked = spec.resources
    limits = {
        "core": 0,
        "as": asked.memory_mb * _MB,
        "cpu": asked.cpu_s,
        "nofile": asked.files,
        "fsize": asked.file_mb * _MB if asked.file_mb else None,
    }
    return {name: value for name, value in limits.items() if value is not None}


def _suite() -> dict[str, str]:
    """Return the mark by which `down` knows the processes of its suite."""
    return {SUITE: os.environ[SUITE]} if SUITE in os.environ else {}


def _locks(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
