"""The map of the suite as a page draws it: what the topology declares, and what answers now.

Everything is asked over the wire, as any client could: no part is up because a process says so.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

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
        issuers = {name: topology.issuer_url(name) for name in topology.issuers}
        ready, *found = await asyncio.gather(
            _json(wire, f"{base}/readyz"),
            *(_json(wire, face.prm_url) for face in faces),
            *(_metadata(wire, url) for url in issuers.values()),
        )
    checks = ready.get("checks", {})
    return {
        "base_url": base,
        "servers": [
            {"name": face.name, "url": face.url, "state": _state(of.get("resource"), face.audience)}
            for face, of in zip(faces, found, strict=False)
        ],
        "issuers": [
            {"name": name, "url": url, "state": _state(of.get("issuer"), url)}
            for (name, url), of in zip(issuers.items(), found[len(faces) :], strict=True)
        ],
        "stores": [
            {
                "name": name,
                "kind": getattr(topology.stores, name).kind,
                "state": {"ok": "up"}.get(checks.get(name, ""), "down" if checks else "unknown"),
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


async def _metadata(wire: httpx2.AsyncClient, issuer: str) -> dict[str, Any]:
    """Return the issuer's RFC 8414 document, or its OpenID Connect one."""
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    found = await _json(wire, f"{origin}/.well-known/oauth-authorization-server{parts.path}")
    return found or await _json(wire, f"{issuer}/.well-known/openid-configuration")


async def _json(wire: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    try:
        body = (await wire.get(url)).json()
    except (httpx2.HTTPError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
