"""What a suite answers over HTTP: is it ready, and which servers does it serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clients.errors import from_body
from clients.wire import client, json_of, reaching
from topology.errors import AlphaSwarmError, FaultError
from topology.services import Topology

if TYPE_CHECKING:
    import httpx2

PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """``alive``: something of ours answers; ``ready``: stores, migrations and keys are there.

    ``servers`` are those whose RFC 9728 document names their audience; ``problem`` is why the
    suite is not ready, ``skew_s`` how far its clock is ahead of ours.
    """

    alive: bool = False
    ready: bool = False
    servers: frozenset[str] = frozenset()
    problem: AlphaSwarmError | None = None
    skew_s: float | None = None


def probe(topology: Topology, *, timeout_s: float = PROBE_S) -> Health:
    """Ask the suite at ``topology.base_url``; never raises."""
    try:
        with reaching("The suite"), client(topology.base_url, timeout_s=timeout_s) as wire:
            if wire.get("/healthz").status_code != 200:
                return Health(problem=from_body(None))
            ready = wire.get("/readyz")
            served = frozenset(
                name
                for name, face in topology.faces.items()
                if _document(wire, face.prm_url).get("resource") == face.audience
            )
    except AlphaSwarmError as error:
        return Health(problem=error)
    good = ready.status_code == 200
    return Health(
        alive=True,
        ready=good,
        servers=served,
        problem=None if good else _not_ready(json_of(ready)),
        skew_s=_skew(ready),
    )


def issuer_metadata(topology: Topology, *, timeout_s: float = PROBE_S) -> dict[str, Any]:
    """Return the issuer's RFC 8414 document, empty where there is none."""
    issuer = topology.issuer_url()
    path = issuer.removeprefix(topology.base_url)
    with reaching("The issuer"), client(topology.base_url, timeout_s=timeout_s) as wire:
        return _document(wire, f"/.well-known/oauth-authorization-server{path}")


def _not_ready(body: object) -> AlphaSwarmError:
    checks = body.get("checks") if isinstance(body, dict) else None
    if not isinstance(checks, dict):
        return from_body(None)
    missing = {name: code for name, code in checks.items() if code != "ok"}
    return FaultError(
        "Not ready: " + ", ".join(f"{name} ({code})" for name, code in missing.items()) + ".",
        hint="Run `alphaswarm up` again: it starts what is missing.",
        code="store_unreachable",
        checks=missing,
    )


def _document(wire: httpx2.Client, url: str) -> dict[str, Any]:
    response = wire.get(url)
    body = json_of(response)
    return body if response.status_code == 200 and isinstance(body, dict) else {}


def _skew(response: httpx2.Response) -> float | None:
    import email.utils
    import time

    try:
        sent = email.utils.parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return None
    return sent.timestamp() - time.time()
