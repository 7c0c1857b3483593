"""The map of the suite as a page draws it: what the topology declares, and what answers now.

Everything is asked over the wire, as any client could: no part is up because a process says so.
Nothing outside the suite is asked: of an external issuer the readiness of its keys is told.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2

from clients.session.calls import http_factory
from topology.services import Topology

PROBE_S = 3.0
STORES = ("postgres", "valkey")


async def seen(topology: Topology) -> dict[str, Any]:
    """Return ``{base_url, servers, issuers, stores, workers}``, each part with its ``state``.

    A state is ``up``, ``down`` or ``unknown``; workers have none here, because they listen to
    nobody: their runs tell.
    """
    base = topology.base_url
    async with http_factory(base)(timeout=httpx2.Timeout(PROBE_S)) as wire:
        faces = list(topology.faces.values())
        ready, *found = await asyncio.gather(
            _json(wire, f"{base}/readyz"), *(_json(wire, face.prm_url) for face in faces)
        )
    checks = ready.get("checks", {})
    return {
        "base_url": base,
        "servers": [
            {"name": face.name, "url": face.url, "state": _state(of.get("resource"), face.audience)}
            for face, of in zip(faces, found, strict=True)
        ],
        "issuers": [
            {"name": name, "url": topology.issuer_url(name), "state": _checked(checks, "keys")}
            for name in topology.issuers
        ],
        "stores": [
            {
                "name": name,
                "kind": getattr(topology.stores, name).kind,
                "state": _checked(checks, name),
            }
            for name in STORES
        ],
        "workers": [
            {"name": name, "processes": group.processes, "threads": group.threads}
            for name, group in topology.workers.items()
        ],
    }


def _state(said: object, expected: str) -> str:
    return "up" if said == expected else "down"


def _checked(checks: dict[str, str], name: str) -> str:
    return {"ok": "up", "": "unknown"}.get(checks.get(name, ""), "down")


async def _json(wire: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    try:
        body = (await wire.get(url)).json()
    except (httpx2.HTTPError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
