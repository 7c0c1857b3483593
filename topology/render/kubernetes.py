"""Kubernetes manifests: one deployment per server, per queue, and a network that denies first.

Stores live elsewhere (``kind: url``): embedded engines belong to one machine. Everything is plain
objects in one namespace; secrets are named and never rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from topology.fields import is_loopback
from topology.render.base import Files, refusal, stamp, yaml_text
from topology.render.network import policies
from topology.render.pods import POD_LABEL, deployment, labels
from topology.sections import EmbeddedPostgres, EmbeddedValkey
from topology.services import Topology

FILE = "kubernetes.yaml"
ISSUER = "issuer"


def render(topology: Topology, *, profile: str = "embedded") -> Files:
    """Return ``kubernetes.yaml``.

    Raises `TopologyError` where a map cannot run there: embedded stores, a base URL on loopback.
    """
    _deployable(topology)
    names = [*([ISSUER] if topology.embedded else []), *topology.faces]
    faces = [item for name in names for item in _face(topology, name, profile)]
    queues = [
        deployment(
            topology,
            f"workers-{queue}",
            ["python", "-m", "runtimes.groups", queue],
            profile=profile,
            replicas=1,
        )
        for queue in topology.workers
    ]
    documents = [
        _object(topology, "v1", "Namespace", topology.deployment.namespace),
        _account(topology),
        _volume(topology),
        *faces,
        *queues,
        _ingress(topology, names),
        *policies(topology, names),
    ]
    return {FILE: yaml_text(topology, documents, notes=_notes(topology))}


def _deployable(topology: Topology) -> None:
    stores = topology.stores
    for name, store in (("postgres", stores.postgres), ("valkey", stores.valkey)):
        if isinstance(store, EmbeddedPostgres | EmbeddedValkey):
            raise refusal(
                f"stores.{name}",
                "an embedded engine belongs to one machine, a cluster has many",
                hint="Write a profile with kind: url for both stores, and render that.",
            )
    if is_loopback(urlsplit(topology.base_url).hostname or ""):
        raise refusal(
            "base_url",
            "this address means the machine that reads it; a cluster needs a name",
            hint="Write a profile with an https base_url, and render that.",
        )
    if all(is_loopback(host) for host in topology.listen.hosts):
        raise refusal(
            "listen.hosts",
            "nothing outside its own pod reaches a server on loopback",
            hint='Write hosts: ["0.0.0.0"] in the profile; the network policies keep others out.',
        )


def _object(topology: Topology, api: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": labels(name)}
    if kind != "Namespace":
        metadata["namespace"] = topology.deployment.namespace
    metadata["annotations"] = {"alphaswarm/generated": stamp(topology)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def _account(topology: Topology) -> dict[str, Any]:
    return _object(
        topology, "v1", "ServiceAccount", "alphaswarm", automountServiceAccountToken=False
    )


def _volume(topology: Topology) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": topology.deployment.storage}},
    }
    if topology.deployment.storage_class is not None:
        spec["storageClassName"] = topology.deployment.storage_class
    return _object(topology, "v1", "PersistentVolumeClaim", "alphaswarm", spec=spec)


def _face(topology: Topology, name: str, profile: str) -> list[dict[str, Any]]:
    port = topology.listen.port
    command = ["python", "-m", "servers", name]
    made = deployment(topology, name, command, profile=profile, replicas=2, port=port)
    spec = {
        "selector": {POD_LABEL: name},
        "ports": [{"name": "http", "port": port, "targetPort": "http"}],
    }
    return [
        made,
        _object(topology, "v1", "Service", name, spec=spec),
        _object(
            topology,
            "policy/v1",
            "PodDisruptionBudget",
            name,
            spec={"minAvailable": 1, "selector": {"matchLabels": {POD_LABEL: name}}},
        ),
    ]


def _ingress(topology: Topology, names: Sequence[str]) -> dict[str, Any]:
    """Route every public path to the server it belongs to; all other paths end at the ingress."""
    host = urlsplit(topology.base_url).hostname or ""
    wanted = [("/chat/stream", "control" if "control" in names else names[-1])]
    if "control" in names:
        wanted.append(("/console", "control"))
    if topology.embedded:
        path = topology.issuer_url().removeprefix(topology.base_url)
        known = f"/.well-known/oauth-authorization-server{path}"
        wanted = [(path, ISSUER), (known, ISSUER), *wanted]
    for name, face in topology.faces.items():
        wanted += [(face.path, name), (urlsplit(face.prm_url).path, name)]
    paths = [
        {
            "path": path,
            "pathType": "Prefix",
            "backend": {"service": {"name": name, "port": {"name": "http"}}},
        }
        for path, name in wanted
    ]
    spec = {
        "tls": [{"hosts": [host], "secretName": "alphaswarm-tls"}],
        "rules": [{"host": host, "http": {"paths": paths}}],
    }
    return _object(topology, "networking.k8s.io/v1", "Ingress", "alphaswarm", spec=spec)


def _notes(topology: Topology) -> list[str]:
    namespace = topology.deployment.namespace
    notes = [
        "Validated against the Kubernetes schemas; never run against a cluster by its authors.",
        f"kubectl -n {namespace} create configmap alphaswarm-topology --from-file topology.yaml",
        "Bring a TLS secret alphaswarm-tls, and a secret alphaswarm-NAME with the key `value` for",
        f"each credential: {' '.join(topology.credentials) or 'none'}",
    ]
    named = [e.host for e in topology.egress.allow if not _is_address(e.host)]
    if named:
        notes.append(
            "A NetworkPolicy knows addresses, not names. These names are limited to their port "
            f"only: {' '.join(named)}"
        )
    return notes


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host
