"""From a body to a run of kind ``data``: parsed, locked, audited, queued; or only checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtimes import dispatch
from runtimes.specs.base import Spec, parse
from tools.audited import audited
from tools.registry import Office
from tools.runs import Submitted
from topology.canonical import sha256
from topology.principal import Principal

KIND = "data"
QUEUE = "batch"


def parsed(office: Office, body: Mapping[str, Any]) -> Spec:
    """Return the validated spec of ``body``, within the topology's limits; null keys default."""
    limits = office.topology.limits.spec
    given = {key: value for key, value in body.items() if value is not None}
    return parse(KIND, {"kind": KIND, **given}, limit=limits.bytes, depth=limits.depth)


def started(
    office: Office,
    caller: Principal,
    spec: Spec,
    *,
    action: str,
    dry_run: bool,
    dispatch_key: str | None,
    inputs: Mapping[str, str] | None = None,
) -> Submitted:
    """Lock the spec and start its run, with an audit row; a ``dry_run`` writes nothing."""
    body, given = spec.body(), dict(inputs or {})
    if dry_run:
        return Submitted(dry_run=True, spec_hash=sha256(body), spec=body)
    target = f"spec:{KIND}/{spec.name}"
    with audited(office, caller, action=action, target=target, args=body | given):
        handle = dispatch.submit(
            office.pool,
            spec,
            principal=caller,
            queue=QUEUE,
            clock=office.clock,
            inputs=given,
            dispatch_key=dispatch_key,
        )
    return Submitted(dry_run=False, **handle.body())
