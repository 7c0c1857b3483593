"""A compose file: stores, migrations, servers and workers in hardened containers of one machine.

Where the stores are embedded, everything but the servers has no network at all: the containers
meet on Unix sockets in the shared home. The servers use the network of the machine, so that they
listen on its loopback and nowhere else.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from topology.fields import is_loopback
from topology.render.base import Files, yaml_text
from topology.render.secrets import needs
from topology.sections import EmbeddedPostgres, EmbeddedValkey
from topology.services import Topology

FILE = "compose.yaml"
HOME = "/var/lib/alphaswarm"
MAP = "/etc/alphaswarm/topology.yaml"
USER = "10001:10001"
STOP = "45s"
"""Workers put their runs down within 30 s of SIGTERM, servers end their streams within 3 s."""
_READY = (
    "import urllib.request as u; "
    "u.urlopen(u.Request('http://{host}:{port}/readyz', headers={{'Host': '{name}'}}), timeout=3)"
)


def render(topology: Topology, *, profile: str = "embedded") -> Files:
    """Return ``compose.yaml``; the map itself is mounted from beside it as ``topology.yaml``."""
    secrets = needs(topology)
    common = _common(topology, profile)
    services: dict[str, Any] = {}
    ready: dict[str, Any] = {}
    if _embedded(topology):
        services["stores"] = {
            **common,
            "command": ["python", "-m", "topology.engines", "run"],
            "network_mode": "none",
            "healthcheck": _check(["python", "-m", "topology.engines", "check"]),
        }
        ready = {"stores": {"condition": "service_healthy"}}
    services["migrate"] = {
        **common,
        **_reach(topology, "stores"),
        "command": ["python", "-m", "ledger.migrations"],
        "restart": "on-failure:5",
        "depends_on": ready,
    }
    after = {**ready, "migrate": {"condition": "service_completed_successfully"}}
    services["servers"] = {
        **common,
        **_doors(topology),
        "command": ["python", "-m", "servers"],
        "depends_on": after,
        "healthcheck": _check(["python", "-c", _probe(topology)]),
    }
    services["workers"] = {
        **common,
        **_reach(topology, "stores", "ingest"),
        "command": ["python", "-m", "runtimes.groups"],
        "depends_on": after,
    }
    document: dict[str, Any] = {"name": "alphaswarm", "services": services}
    if any("networks" in service for service in services.values()):
        document["networks"] = {"outside": {}}
    document["volumes"] = {"home": {}}
    files = [need for need in secrets if need.path is not None]
    if files:
        document["secrets"] = {n.name: {"file": f"./secrets/{n.name}"} for n in files}
    return {FILE: yaml_text(topology, [document], notes=_notes(topology))}


def _common(topology: Topology, profile: str) -> dict[str, Any]:
    secrets = needs(topology)
    variables = {n.variable: f"${{{n.variable}:?}}" for n in secrets if n.variable}
    mounts = [{"source": n.name, "target": str(n.path), "mode": 0o400} for n in secrets if n.path]
    common: dict[str, Any] = {
        "image": topology.deployment.image,
        "user": USER,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,
        "restart": "unless-stopped",
        "stop_grace_period": STOP,
        "tmpfs": ["/tmp:mode=1777,size=256m"],  # noqa: S108  inside the container
        "environment": {
            "ALPHASWARM_HOME": HOME,
            "ALPHASWARM_TOPOLOGY": MAP,
            "ALPHASWARM_PROFILE": profile,
            **variables,
        },
        "volumes": [f"home:{HOME}", f"./topology.yaml:{MAP}:ro"],
    }
    return {**common, "secrets": mounts} if mounts else common


def _embedded(topology: Topology) -> bool:
    stores = (topology.stores.postgres, topology.stores.valkey)
    return any(isinstance(store, EmbeddedPostgres | EmbeddedValkey) for store in stores)


def _reach(topology: Topology, *purposes: str) -> dict[str, Any]:
    """Return the network of a service that dials out for ``purposes`` only."""
    allowed = any(set(purposes) & set(entry.purposes) for entry in topology.egress.allow)
    return {"networks": ["outside"]} if allowed else {"network_mode": "none"}


def _doors(topology: Topology) -> dict[str, Any]:
    if all(is_loopback(host) for host in topology.listen.hosts):
        return {"network_mode": "host"}
    port = topology.listen.port
    return {"networks": ["outside"], "ports": [f"{port}:{port}"]}


def _probe(topology: Topology) -> str:
    host = next((h for h in topology.listen.hosts if is_loopback(h)), "127.0.0.1")
    return _READY.format(
        host=f"[{host}]" if ":" in host else host,
        port=topology.listen.port,
        name=urlsplit(topology.base_url).netloc,
    )


def _check(command: list[str]) -> dict[str, Any]:
    return {
        "test": ["CMD", *command],
        "interval": "10s",
        "timeout": "5s",
        "retries": 6,
        "start_period": "60s",
    }


def _notes(topology: Topology) -> list[str]:
    notes = ["Put topology.yaml beside this file, then: docker compose up --detach"]
    variables = [n.variable for n in needs(topology) if n.variable]
    files = [f"secrets/{n.name}" for n in needs(topology) if n.path]
    if variables:
        notes.append(f"Set in the environment: {' '.join(variables)}")
    if files:
        notes.append(f"Create with mode 0600: {' '.join(files)}")
    return notes
