"""An export to download: submitted as the tool does and done in this thread."""

from __future__ import annotations

from typing import Any

from ledger import runs
from runtimes import dispatch
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data.runtime import DataRuntime
from runtimes.specs.base import parse
from tests.kit.office import ANNA


def submitted(workshop: Workshop, table: str, **more: Any) -> runs.Run:
    """Return a queued export of ``table``."""
    body = {"kind": "data", "task": "export", "name": "crate", "table": table, **more}
    handle = dispatch.submit(
        workshop.pool, parse("data", body), principal=ANNA, queue="batch", clock=workshop.clock
    )
    return runs.get(workshop.pool, handle.run_id)


def exported(workshop: Workshop, table: str, **more: Any) -> runs.Run:
    """Return an export of ``table`` that has ended."""
    run = submitted(workshop, table, **more)
    perform(workshop, "data", run.run_id, DataRuntime)
    return runs.get(workshop.pool, run.run_id)
