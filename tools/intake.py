"""How `ingest` becomes a run: a source is a provider's name or a file that may be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtimes import dispatch
from runtimes.data import sources
from runtimes.specs.base import Spec, parse
from runtimes.specs.data import PROVIDERS
from tools.audited import audited
from tools.registry import Office
from tools.runs import Submitted
from topology.canonical import sha256
from topology.principal import Principal

KIND = "data"
QUEUE = "batch"
FILES = "files"


def submit(
    office: Office,
    caller: Principal,
    wanted: Mapping[str, Any],
    *,
    dry_run: bool,
    dispatch_key: str | None,
) -> Submitted:
    """Check what is wanted, and unless ``dry_run`` lock it and start the run.

    The digest of a file's bytes is part of the run's inputs: a run that finds other bytes is
    refused, and the same path with other content is other work.
    """
    spec, inputs = _spec(office, wanted)
    body = spec.body()
    if dry_run:
        return Submitted(dry_run=True, spec_hash=sha256(body), spec=body)
    target = f"spec:{KIND}/{spec.name}"
    with audited(office, caller, action="ingest", target=target, args=body | inputs):
        handle = dispatch.submit(
            office.pool,
            spec,
            principal=caller,
            queue=QUEUE,
            clock=office.clock,
            inputs=inputs,
            dispatch_key=dispatch_key,
        )
    return Submitted(dry_run=False, **handle.body())


def _spec(office: Office, wanted: Mapping[str, Any]) -> tuple[Spec, dict[str, str]]:
    source = str(wanted["source"])
    allowed = (office.home.inbox, *(Path(f) for f in office.topology.ingest.folders))
    body: dict[str, Any] = {
        "kind": KIND,
        "provider": source,
        "table": wanted["table"],
        "symbols": wanted["symbols"],
        "reading": wanted["reading"],
    }
    inputs: dict[str, str] = {}
    if source not in PROVIDERS or source == FILES:
        path = sources.locate(source, allowed)
        body |= {"provider": FILES, "path": sources.written(path, allowed)}
        inputs = {"payload_sha256": sources.digest(path)}
    body["name"] = wanted["name"] or named_after(source)
    return parse(KIND, body, **_limits(office)), inputs


def named_after(source: str) -> str:
    """Return a spec name for a source: ``ingest-`` and what names allow of the file's stem."""
    stem = Path(source).name.partition(".")[0].lower()
    return f"ingest-{re.sub(r'[^a-z0-9_-]+', '-', stem).strip('-')[:50] or 'file'}"


def _limits(office: Office) -> dict[str, int]:
    limits = office.topology.limits.spec
    return {"limit": limits.bytes, "depth": limits.depth}
