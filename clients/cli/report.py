"""The status of a suite: addresses, stores, what is ready, who works, and the kill switch."""

from __future__ import annotations

import json
from typing import Any

from clients.cli import catalog, health, suite
from clients.cli.output import table
from clients.cli.place import Place
from topology import stores
from topology.engines import supervisor
from topology.errors import LatchUnreadableError
from topology.home import Home
from topology.latch import Latch
from topology.processes import Process

APPLICATION_ROLE = "alphaswarm_app"


def status(place: Place) -> dict[str, Any]:
    """Return the status of the public contract; works whether anything runs or not."""
    home, topology = place.home, place.topology
    found = health.probe(topology)
    valkey = stores.valkey_address(topology, home)
    engines = supervisor.status(home, topology)
    return {
        "running": found.alive,
        "ready": found.ready,
        "home": str(home.root),
        "base_url": topology.base_url,
        "issuer": topology.issuer_url(),
        "servers": {
            name: {
                "url": face.url,
                "audience": face.audience,
                "ready": found.ready and name in found.servers,
            }
            for name, face in topology.faces.items()
        },
        "postgres": {
            "dsn": stores.postgres_dsn(topology, home, APPLICATION_ROLE),
            "ready": engines.postgres.ready,
        },
        "valkey": {
            "url": valkey.url,
            "password_file": str(valkey.password_file) if valkey.password_file else None,
            "ready": engines.valkey.ready,
        },
        "warehouse": stores.warehouse(topology, home).as_uri(),
        "catalog": {"environment": catalog.environment(place), "role": catalog.ROLE},
        **switch(home),
        "workers": workers(home),
        "processes": {
            name: process.pid
            for name in (suite.SERVERS, suite.WORKERS)
            if (process := suite.running(home, name))
        },
    }


def switch(home: Home) -> dict[str, Any]:
    """Return ``halted`` and the state of the latch on this machine.

    ``absent`` is a home that has never been up; any other latch that cannot be read is halted.
    """
    if not (home.pg / "PG_VERSION").exists() and not home.latch.exists():
        return {"halted": False, "latch": "absent"}
    try:
        with Latch.open(home.latch) as latch:
            return {"halted": bool(latch.in_force()), "latch": "readable"}
    except LatchUnreadableError:
        return {"halted": True, "latch": "unreadable"}


def workers(home: Home) -> list[dict[str, Any]]:
    """Return the worker processes that live, by queue."""
    found = []
    for file in sorted(home.run.glob("worker-*.json")):
        try:
            facts = json.loads(file.read_text())
            alive = Process.of(int(facts["pid"])) is not None
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if alive:
            found.append({key: facts.get(key) for key in ("queues", "pid", "threads")})
    return sorted(found, key=lambda facts: facts["queues"] or [])


def as_text(found: dict[str, Any]) -> str:
    """Return the status as a person reads it."""
    state = "ready" if found["ready"] else "starting or ailing" if found["running"] else "stopped"
    rows = [(name, _word(s["ready"]), s["url"]) for name, s in found["servers"].items()]
    rows += [(name, _word(found[name]["ready"]), _where(found[name])) for name in _ENGINES]
    rows += [
        (f"worker {'+'.join(w['queues'])}", "ready", f"pid {w['pid']}, {w['threads']} threads")
        for w in found["workers"]
    ]
    alarm = "HALTED" if found["halted"] else "armed"
    lines = [
        f"AlphaSwarm is {state} at {found['base_url']}",
        f"home {found['home']}",
        f"kill switch {alarm} (latch {found['latch']})",
        "",
        table(("part", "state", "where"), rows),
    ]
    return "\n".join(lines)


_ENGINES = ("postgres", "valkey")


def _word(ready: object) -> str:
    return "ready" if ready else "stopped"


def _where(engine: dict[str, Any]) -> str:
    return str(engine.get("dsn") or engine.get("url"))
