"""One deployment: the container, its limits on itself, its probes, what it mounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from topology.render.base import stamp
from topology.render.compose import HOME, MAP
from topology.render.secrets import SecretNeed, needs
from topology.services import Topology

POD_LABEL = "app.kubernetes.io/component"
SHARED = ("warehouse", "artifacts", "inbox", "keys")
"""Folders of the home that all pods see; sockets, latch and logs are each pod's own."""
USER = 10_001
GRACE_S = 45


def labels(name: str) -> dict[str, str]:
    """Return the labels of an object called ``name``."""
    return {"app.kubernetes.io/name": "alphaswarm", POD_LABEL: name}


def deployment(
    topology: Topology,
    name: str,
    command: Sequence[str],
    *,
    profile: str,
    replicas: int,
    port: int | None = None,
) -> dict[str, Any]:
    """Return a Deployment; a ``port`` makes it a server with probes."""
    pod = {
        "serviceAccountName": "alphaswarm",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            _container(topology, "migrate", ["python", "-m", "ledger.migrations"], profile)
        ],
        "containers": [
            {**_container(topology, name, command, profile), **_probes(topology, port)},
        ],
        "volumes": _volumes(needs(topology)),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": labels(name),
            "namespace": topology.deployment.namespace,
            "annotations": {"alphaswarm/generated": stamp(topology)},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {POD_LABEL: name}},
            "template": {"metadata": {"labels": labels(name)}, "spec": pod},
        },
    }


def _container(
    topology: Topology, name: str, command: Sequence[str], profile: str
) -> dict[str, Any]:
    secrets = needs(topology)
    environment: list[dict[str, Any]] = [
        {"name": "ALPHASWARM_HOME", "value": HOME},
        {"name": "ALPHASWARM_TOPOLOGY", "value": MAP},
        {"name": "ALPHASWARM_PROFILE", "value": profile},
    ]
    environment += [
        {
            "name": need.variable,
            "valueFrom": {"secretKeyRef": {"name": f"alphaswarm-{need.name}", "key": "value"}},
        }
        for need in secrets
        if need.variable
    ]
    return {
        "name": name,
        "image": topology.deployment.image,
        "command": list(command),
        "env": environment,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}},
        "volumeMounts": _mounts(secrets),
    }


def _probes(topology: Topology, port: int | None) -> dict[str, Any]:
    if port is None:
        return {}
    # A probe dials the pod's address; only the public name is answered.
    host = [{"name": "Host", "value": urlsplit(topology.base_url).netloc}]

    def probe(path: str, **rest: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": "http", "httpHeaders": host}, **rest}

    return {
        "ports": [{"name": "http", "containerPort": port}],
        "startupProbe": probe("/healthz", periodSeconds=2, failureThreshold=60),
        "livenessProbe": probe("/healthz", periodSeconds=10, timeoutSeconds=5),
        "readinessProbe": probe("/readyz", periodSeconds=5, timeoutSeconds=5),
    }


def _mounts(secrets: Sequence[SecretNeed]) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "home", "mountPath": HOME},
        *({"name": "shared", "mountPath": f"{HOME}/{part}", "subPath": part} for part in SHARED),
        {"name": "map", "mountPath": MAP, "subPath": "topology.yaml", "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108  inside the container
    ]
    mounts += [
        {
            "name": f"secret-{need.name}",
            "mountPath": str(need.path),
            "subPath": "value",
            "readOnly": True,
        }
        for need in secrets
        if need.path
    ]
    return mounts


def _volumes(secrets: Sequence[SecretNeed]) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "home", "emptyDir": {}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": "alphaswarm"}},
        {"name": "map", "configMap": {"name": "alphaswarm-topology"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    volumes += [
        {
            "name": f"secret-{need.name}",
            "secret": {"secretName": f"alphaswarm-{need.name}", "defaultMode": 0o400},
        }
        for need in secrets
        if need.path
    ]
    return volumes
