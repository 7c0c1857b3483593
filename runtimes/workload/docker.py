"""Workloads as containers of a Docker Engine, by its API on a Unix socket (SDK 7.2).

Contract-tested only: against a server of ours that speaks the documented API.
"""

from __future__ import annotations

import builtins
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, ClassVar

from runtimes.specs.workload import ArgvProbe, WorkloadSpec
from runtimes.workload.base import LABEL, Job, Provider, Status
from topology.errors import BadInputError, BinaryMissingError, FaultError, MissingError
from topology.processes import until

PREFIX = "alphaswarm-"
TIMEOUT_S = 20
_MB = 1024 * 1024
_NS = 1_000_000_000
_PHASES = {
    "created": "starting",
    "running": "running",
    "paused": "running",
    "restarting": "running",
    "removing": "exited",
    "exited": "exited",
    "dead": "exited",
}
_WELL = {"healthy": True, "unhealthy": False}
_RESTARTS = {"never": "no", "on_failure": "on-failure", "always": "always"}


class DockerProvider(Provider):
    """Runs images that the engine already has; nothing is pulled from here."""

    name: ClassVar[str] = "docker"

    def plan(self, spec: WorkloadSpec) -> dict[str, Any]:
        """Return the image by its id; one that the engine does not have is ``not_found``."""
        if spec.health is not None and not isinstance(spec.health, ArgvProbe):
            raise BadInputError(
                "Docker asks a container by a command of its own only.",
                hint="Use health: {kind: argv, argv: [...]}.",
                code="invalid_spec",
                errors=[{"path": "health.kind", "value": spec.health.kind}],
            )
        with self._client() as client:
            try:
                image = client.inspect_image(spec.image)
            except _errors().NotFound:
                raise MissingError(
                    f"The engine has no image {spec.image}.",
                    hint=f"Run docker pull {spec.image} first.",
                ) from None
            return {"image": spec.image, "image_id": image["Id"]}

    def apply(self, job: Job) -> None:
        """Create and start the container; its name lets there be one for each run."""
        with self._client() as client:
            with contextlib.suppress(_Conflict):
                self._create(client, job)
            if self._state(client, job.run_id)["Status"] == "created":
                client.start(_name(job.run_id))

    def status(self, run_id: str) -> Status:
        """Ask the engine."""
        with self._client() as client:
            try:
                found = client.inspect_container(_name(run_id))
            except _errors().NotFound:
                return Status("absent")
        state = found["State"]
        phase: Any = _PHASES.get(state["Status"], "lost")
        return Status(
            phase,
            well=_WELL.get((state.get("Health") or {}).get("Status", "")),
            restarts=int(found.get("RestartCount", 0)),
            exit_code=int(state["ExitCode"]) if phase == "exited" else None,
        )

    def logs(self, run_id: str, *, lines: int) -> builtins.list[str]:
        """Return what the engine kept of its output."""
        with self._client() as client:
            try:
                said: bytes = client.logs(_name(run_id), tail=lines)
            except _errors().NotFound:
                return []
        return said.decode(errors="replace").splitlines()[-lines:]

    def stop(self, run_id: str, *, grace_s: float) -> bool:
        """Send SIGTERM, after which the engine restarts nothing; wait for the end."""
        self._signal(run_id, "SIGTERM")
        return until(lambda: not self.status(run_id).alive, grace_s, poll_s=0.05)

    def kill(self, run_id: str) -> None:
        """Send SIGKILL to the container, which ends everything in it."""
        self._signal(run_id, "SIGKILL")
        if not until(lambda: not self.status(run_id).alive, TIMEOUT_S, poll_s=0.05):
            raise FaultError(
                "The engine does not end the container.",
                hint=f"Run docker kill {_name(run_id)}.",
                code="unreachable",
            )

    def list(self) -> builtins.list[str]:
        """Return the runs of the containers that carry our label and run."""
        with self._client() as client:
            found = client.containers(filters={"label": [LABEL]})
        return [one["Labels"][LABEL] for one in found]

    def forget(self, run_id: str) -> None:
        """Remove the container that has ended."""
        with self._client() as client, contextlib.suppress(_errors().NotFound):
            client.remove_container(_name(run_id))

    def _create(self, client: Any, job: Job) -> None:
        spec, limits = job.spec, job.spec.resources
        host = client.create_host_config(
            mem_limit=limits.memory_mb * _MB,
            nano_cpus=int(limits.cpus * _NS) if limits.cpus else None,
            ulimits=_ulimits(spec),
            restart_policy=_restart(spec),
            port_bindings={port: ("127.0.0.1", port) for port in spec.ports},
            init=True,
        )
        try:
            client.create_container(
                spec.image,
                command=list(spec.argv) if spec.argv else None,
                name=_name(job.run_id),
                environment=job.environ(),
                labels={LABEL: job.run_id},
                ports=list(spec.ports),
                host_config=host,
                healthcheck=_healthcheck(spec),
            )
        except _errors().APIError as error:
            if error.status_code == 409:
                raise _Conflict from None
            raise

    def _state(self, client: Any, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = client.inspect_container(_name(run_id))["State"]
        return found

    def _signal(self, run_id: str, name: str) -> None:
        with self._client() as client:
            try:
                client.kill(_name(run_id), name)
            except _errors().APIError as error:
                if error.status_code not in (404, 409):  # not there, or not running
                    raise

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        """Lend a client; an engine that does not answer or refuses is a `FaultError`."""
        errors = _errors()
        import docker

        try:
            with socket.socket(socket.AF_UNIX) as trial:  # the library leaks one where nobody is
                trial.connect(self.topology.workload.docker)
            client = docker.APIClient(
                base_url=f"unix://{self.topology.workload.docker}", timeout=TIMEOUT_S
            )
            with contextlib.closing(client):
                yield client
        except errors.NotFound:
            raise
        except (errors.DockerException, OSError) as error:
            raise FaultError(
                f"The Docker Engine does not do it ({type(error).__name__}).",
                hint="See whether it runs; workload.docker in the topology names its socket.",
                code="unreachable",
                socket=self.topology.workload.docker,
                said=str(error)[:300],
            ) from error


class _Conflict(Exception):  # noqa: N818  no error: the container is there already
    pass


def _errors() -> Any:
    try:
        import docker.errors
    except ImportError:
        raise BinaryMissingError(
            "The library of the Docker Engine is not installed.",
            hint="Run pip install 'alphaswarm[docker]'.",
            binary="docker",
        ) from None
    return docker.errors


def _name(run_id: str) -> str:
    return f"{PREFIX}{run_id}"


def _ulimits(spec: WorkloadSpec) -> list[Any]:
    import docker.types

    asked = spec.resources
    limits = {"core": 0, "cpu": asked.cpu_s, "nofile": asked.files}
    limits["fsize"] = asked.file_mb * _MB if asked.file_mb else None
    return [
        docker.types.Ulimit(name=name, soft=value, hard=value)
        for name, value in limits.items()
        if value is not None
    ]


def _restart(spec: WorkloadSpec) -> dict[str, Any]:
    """Return Docker's policy; its ``always`` knows no number."""
    policy: dict[str, Any] = {"Name": _RESTARTS[spec.restart.policy]}
    if spec.restart.policy == "on_failure":
        policy["MaximumRetryCount"] = spec.restart.most
    return policy


def _healthcheck(spec: WorkloadSpec) -> dict[str, Any] | None:
    if not isinstance(spec.health, ArgvProbe):
        return None
    probe = spec.health
    return {
        "test": ["CMD", *probe.argv],
        "interval": int(probe.every_s * _NS),
        "timeout": int(probe.timeout_s * _NS),
        "start_period": int(probe.start_s * _NS),
        "retries": probe.failures,
    }
