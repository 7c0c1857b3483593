"""What every provider of workloads can do, in words that do not depend on it."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import SecretStr

from runtimes.specs.workload import WorkloadSpec
from topology.errors import FaultError
from topology.home import Home
from topology.services import Topology

LABEL = "alphaswarm.run"
"""The label of a container that names its run; a process has it in its environment."""
MARK = "ALPHASWARM_RUN"
PATH = "/usr/local/bin:/usr/bin:/bin"
TAIL = 20
"""Lines of the log that an error shows."""

Phase = Literal["absent", "starting", "running", "exited", "lost"]


class WorkloadFailedError(FaultError):
    """A workload cannot be started, or ended with an error and is not started again."""

    code = "workload_failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One workload to start: the run that it belongs to, its spec and the secrets it is given."""

    run_id: str
    spec: WorkloadSpec
    secrets: Mapping[str, SecretStr]

    def environ(self) -> dict[str, str]:
        """Return its whole environment, secrets in clear."""
        given = {name: secret.get_secret_value() for name, secret in self.secrets.items()}
        return {**given, MARK: self.run_id}


@dataclass(frozen=True, slots=True)
class Status:
    """What a provider knows of a workload.

    ``lost`` is one that is gone without anybody knowing how it ended. ``well`` is None where nobody
    asks. ``why`` says who asked for its end, ``epoch`` and ``scope`` name the halt.
    """

    phase: Phase
    well: bool | None = None
    restarts: int = 0
    exit_code: int | None = None
    why: Literal["", "stopped", "halted"] = ""
    epoch: int = 0
    scope: str = ""

    @property
    def alive(self) -> bool:
        """Tell whether something of it may be at work."""
        return self.phase in ("starting", "running")


class Provider(ABC):
    """Starts, shows and ends workloads, each known by the id of its run.

    Every method may raise `topology.errors.FaultError` where the place cannot be reached.
    """

    name: ClassVar[str]

    def __init__(self, topology: Topology, home: Home) -> None:
        self.topology, self.home = topology, home

    @abstractmethod
    def plan(self, spec: WorkloadSpec) -> dict[str, Any]:
        """Return what the start would rest on, as facts of the plan; raise if it cannot be."""

    @abstractmethod
    def apply(self, job: Job) -> None:
        """Start the workload; one that was started for this run before is left alone."""

    @abstractmethod
    def status(self, run_id: str) -> Status:
        """Look without touching."""

    @abstractmethod
    def logs(self, run_id: str, *, lines: int) -> builtins.list[str]:
        """Return the last lines that it wrote, also after its end."""

    @abstractmethod
    def stop(self, run_id: str, *, grace_s: float) -> bool:
        """Ask it to end and wait at most ``grace_s``; tell whether it is gone."""

    @abstractmethod
    def kill(self, run_id: str) -> None:
        """End all of it at once, and return when it is gone."""

    @abstractmethod
    def list(self) -> builtins.list[str]:
        """Return the runs whose workloads are alive here."""

    @abstractmethod
    def forget(self, run_id: str) -> None:
        """Remove what is left of a workload that has ended: its log too."""

    def end(self, run_id: str, *, grace_s: float) -> None:
        """Stop it, and kill what did not stop."""
        if not self.stop(run_id, grace_s=grace_s):
            self.kill(run_id)
