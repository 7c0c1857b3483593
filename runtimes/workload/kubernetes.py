"""Workloads as pods of a Kubernetes cluster, by its API (client 37).

Contract-tested only: against a server of ours that speaks the documented API.
"""

from __future__ import annotations

import builtins
import contextlib
import math
from collections.abc import Iterator
from typing import Any, ClassVar

from runtimes.specs.workload import ArgvProbe, HttpProbe, WorkloadSpec
from runtimes.workload.base import LABEL, Job, Provider, Status
from topology.credentials import CredentialRef
from topology.egress import Guard
from topology.errors import BinaryMissingError, FaultError, MissingError
from topology.home import write_private
from topology.processes import until
from topology.workloads import Cluster

CONTAINER = "workload"
PREFIX = "alphaswarm-"
PURPOSE = "workloads"
TIMEOUT_S = 20
KEPT_LINES = 2_000
"""Lines that are kept in the home of a pod that is deleted: its log goes with it."""
_GONE, _CONFLICT = 404, 409
_RESTARTS = {"never": "Never", "on_failure": "OnFailure", "always": "Always"}
_PHASES = {"Pending": "starting", "Running": "running", "Succeeded": "exited", "Failed": "exited"}


class KubernetesProvider(Provider):
    """Runs one pod for each workload; its secrets are a Secret of the same name."""

    name: ClassVar[str] = "kubernetes"

    def plan(self, spec: WorkloadSpec) -> dict[str, Any]:
        """Return where the pod would run; a cluster that does not answer is a fault."""
        with self._core() as (core, cluster):
            core.list_namespaced_pod(cluster.namespace, limit=1)
            return {
                "image": spec.image,
                "cluster": cluster.url,
                "namespace": cluster.namespace,
            }

    def apply(self, job: Job) -> None:
        """Create secret and pod; their name lets there be one for each run."""
        name = _name(job.run_id)
        meta = {"name": name, "labels": {LABEL: job.run_id}}
        secret = {"metadata": meta, "stringData": job.environ()}
        with self._core() as (core, cluster):
            for create, body in (
                (core.create_namespaced_secret, secret),
                (core.create_namespaced_pod, {"metadata": meta, "spec": _pod(job.spec, name)}),
            ):
                with _allowing(_CONFLICT):
                    create(cluster.namespace, body)

    def status(self, run_id: str) -> Status:
        """Ask the cluster."""
        pod = self._pod(run_id)
        if pod is None:
            return Status("absent")
        ours = next(iter(pod.status.container_statuses or ()), None)
        phase: Any = _PHASES.get(pod.status.phase, "lost")
        ended = ours.state.terminated if ours is not None and phase == "exited" else None
        return Status(
            phase,
            well=bool(ours.ready) if ours is not None and phase == "running" else None,
            restarts=ours.restart_count if ours is not None else 0,
            exit_code=ended.exit_code if ended is not None else None,
        )

    def logs(self, run_id: str, *, lines: int) -> builtins.list[str]:
        """Return what the cluster kept of its output, or we of a pod that is deleted."""
        said: str | None = None
        with self._core() as (core, cluster), _allowing(_GONE):
            said = core.read_namespaced_pod_log(_name(run_id), cluster.namespace, tail_lines=lines)
        if said is None:
            with contextlib.suppress(OSError):
                said = self._log(run_id).read_text(encoding="utf-8")
        return (said or "").splitlines()[-lines:]

    def stop(self, run_id: str, *, grace_s: float) -> bool:
        """Delete the pod; the cluster kills what has not ended after ``grace_s``."""
        self._delete(run_id, math.ceil(grace_s))
        return until(lambda: not self.status(run_id).alive, grace_s, poll_s=0.05)

    def kill(self, run_id: str) -> None:
        """Delete the pod without any grace."""
        self._delete(run_id, 0)
        if not until(lambda: not self.status(run_id).alive, TIMEOUT_S, poll_s=0.05):
            raise FaultError(
                "The cluster does not end the pod.",
                hint=f"Run kubectl delete pod {_name(run_id)} --force.",
                code="unreachable",
            )

    def list(self) -> builtins.list[str]:
        """Return the runs of the pods that carry our label and have not ended."""
        with self._core() as (core, cluster):
            found = core.list_namespaced_pod(cluster.namespace, label_selector=LABEL)
        return [
            pod.metadata.labels[LABEL]
            for pod in found.items
            if _PHASES.get(pod.status.phase) != "exited"
        ]

    def forget(self, run_id: str) -> None:
        """Remove the pod that has ended, its secret and its log."""
        self._delete(run_id, 0)
        self._log(run_id).unlink(missing_ok=True)

    def _delete(self, run_id: str, grace_s: int) -> None:
        """Keep the log, then delete pod and secret."""
        said = self.logs(run_id, lines=KEPT_LINES)
        if said:
            write_private(self._log(run_id), "\n".join(said) + "\n")
        with self._core() as (core, cluster):
            name = _name(run_id)
            with _allowing(_GONE):
                core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=grace_s)
            with _allowing(_GONE):
                core.delete_namespaced_secret(name, cluster.namespace)

    def _pod(self, run_id: str) -> Any:
        """Return the pod, or None."""
        found: Any = None
        with self._core() as (core, cluster), _allowing(_GONE):
            found = core.read_namespaced_pod(_name(run_id), cluster.namespace)
        return found  # noqa: RET504  None where there is none

    def _log(self, run_id: str) -> Any:
        return self.home.logs / f"workload-{run_id}.log"

    @contextlib.contextmanager
    def _core(self) -> Iterator[tuple[Any, Cluster]]:
        """Lend the core API; a cluster that does not answer or refuses is a `FaultError`."""
        client = _client()
        cluster = self.topology.workload.kubernetes
        if cluster is None:
            raise MissingError(
                "The topology names no cluster.",
                hint="Write workload.kubernetes: {url: ...} into it.",
            )
        Guard(self.topology.egress, PURPOSE).check(cluster.url)
        settings = client.Configuration(host=cluster.url, ssl_ca_cert=cluster.ca, retries=0)
        if cluster.credential is not None:
            source = self.topology.credentials[cluster.credential].source
            token = CredentialRef.parse(source).resolve().get_secret_value()
            settings.api_key = {"authorization": f"Bearer {token}"}
        try:
            with client.ApiClient(settings) as api:
                yield client.CoreV1Api(api), cluster
        except (client.OpenApiException, _http_error(), OSError) as error:
            raise FaultError(
                f"The cluster does not do it ({type(error).__name__}).",
                hint="See whether it runs; workload.kubernetes in the topology says where.",
                code="unreachable",
                said=str(getattr(error, "reason", error))[:300],
            ) from error


@contextlib.contextmanager
def _allowing(status: int) -> Iterator[None]:
    """Let an answer of this status pass: what was to be is so already."""
    try:
        yield
    except _client().ApiException as error:
        if error.status != status:
            raise


def _client() -> Any:
    try:
        import kubernetes.client
    except ImportError:
        raise BinaryMissingError(
            "The client of Kubernetes is not installed.",
            hint="Run pip install 'alphaswarm[kubernetes]'.",
            binary="kubernetes",
        ) from None
    return kubernetes.client


def _http_error() -> type[Exception]:
    import urllib3.exceptions

    found: type[Exception] = urllib3.exceptions.HTTPError
    return found


def _name(run_id: str) -> str:
    return f"{PREFIX}{run_id}"


def _pod(spec: WorkloadSpec, secret: str) -> dict[str, Any]:
    """Return the pod: no account of the cluster, no more rights than a program needs."""
    asked = spec.resources
    limits = {"memory": f"{asked.memory_mb}Mi"}
    if asked.cpus is not None:
        limits["cpu"] = str(asked.cpus)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "envFrom": [{"secretRef": {"name": secret}}],
        "resources": {"limits": limits, "requests": limits},
        "ports": [{"containerPort": port} for port in spec.ports],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if spec.argv:
        container["command"] = list(spec.argv)
    if spec.health is not None:
        container["livenessProbe"] = container["readinessProbe"] = _probe(spec)
        container["startupProbe"] = _startup(spec)
    return {
        "restartPolicy": _RESTARTS[spec.restart.policy],
        "terminationGracePeriodSeconds": math.ceil(spec.halt_grace_s),
        "automountServiceAccountToken": False,
        "containers": [container],
    }


def _probe(spec: WorkloadSpec) -> dict[str, Any]:
    probe = spec.health
    assert probe is not None  # noqa: S101  asked for only then
    if isinstance(probe, ArgvProbe):
        how: dict[str, Any] = {"exec": {"command": list(probe.argv)}}
    elif isinstance(probe, HttpProbe):
        how = {"httpGet": {"port": probe.port, "path": probe.path}}
    else:
        how = {"tcpSocket": {"port": probe.port}}
    return {
        **how,
        "periodSeconds": math.ceil(probe.every_s),
        "timeoutSeconds": math.ceil(probe.timeout_s),
        "failureThreshold": probe.failures,
    }


def _startup(spec: WorkloadSpec) -> dict[str, Any]:
    """Return the probe that gives it ``start_s`` until the first yes."""
    assert spec.health is not None  # noqa: S101  asked for only then
    return {
        **_probe(spec),
        "periodSeconds": 1,
        "failureThreshold": max(1, math.ceil(spec.health.start_s)),
    }
