"""Network policies from ``egress``: nothing may pass but what the map lists."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from topology.render.base import stamp
from topology.render.pods import POD_LABEL, labels
from topology.sections import Allowed
from topology.services import Topology

_DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]


def policies(topology: Topology, servers: Sequence[str]) -> list[dict[str, Any]]:
    """Return the policies: deny all, then doors for servers, names, and each listed purpose.

    ``stores`` may be reached by every pod, ``ingest`` by workers alone, ``identity`` by servers.
    """
    workers = [f"workers-{queue}" for queue in topology.workers]
    everyone = [*servers, *workers]
    found = [_policy(topology, "deny-all", None, ["Ingress", "Egress"])]
    found.append(
        _policy(
            topology,
            "to-servers",
            servers,
            ["Ingress"],
            ingress=[{"ports": [{"protocol": "TCP", "port": topology.listen.port}]}],
        )
    )
    allow = topology.egress.allow
    if allow:
        dns = [{"to": [{"namespaceSelector": {}}], "ports": _DNS}]
        found.append(_policy(topology, "names", everyone, ["Egress"], egress=dns))
    reaching = {"stores": everyone, "ingest": workers, "stacks": workers, "identity": servers}
    for purpose, pods in reaching.items():
        rules = _rules(one for one in allow if purpose in one.purposes)
        if rules:
            found.append(_policy(topology, f"for-{purpose}", pods, ["Egress"], egress=rules))
    return found


def _rules(allowed: Iterable[Allowed]) -> list[dict[str, Any]]:
    rules = []
    for entry in allowed:
        rule: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": entry.port}]}
        block = _block(entry.host)
        if block is not None:
            rule = {"to": [{"ipBlock": {"cidr": block}}], **rule}
        rules.append(rule)
    return rules


def _block(host: str) -> str | None:
    try:
        return str(ipaddress.ip_network(host))
    except ValueError:
        return None


def _policy(
    topology: Topology, name: str, pods: Sequence[str] | None, types: list[str], **rules: Any
) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if pods is not None:
        chosen = {"matchExpressions": [{"key": POD_LABEL, "operator": "In", "values": list(pods)}]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name,
            "labels": labels(name),
            "namespace": topology.deployment.namespace,
            "annotations": {"alphaswarm/generated": stamp(topology)},
        },
        "spec": {"podSelector": chosen, "policyTypes": types, **rules},
    }
