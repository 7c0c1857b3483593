"""Without a control process nothing new is changed; research goes on (K8)."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from ledger.progress.events import history
from runtimes.base import Outcome, perform
from runtimes.context import RunContext, Workshop
from tests.kit.ledger import Desk
from tests.kit.work import KIND, Scripted
from topology.home import Home
from topology.latch import Latch


@pytest.mark.parametrize("mutates", [True, False])
def test_what_mutates_waits_for_somebody_to_watch_over_it(
    workshop: Workshop, desk: Desk, tmp_path: Path, *, mutates: bool
) -> None:
    home = Home(tmp_path)
    home.ensure()
    Latch.open(home.latch, create=True).close()  # nobody has ever said anything in it
    alone, went_on = dataclasses.replace(workshop, home=home), threading.Event()

    def script(running: RunContext) -> Outcome:
        running.mutates = mutates
        running.checkpoint()
        went_on.set()
        return Outcome()

    run = desk.submit(KIND, f"dead-man-{str(mutates).lower()}")
    work = threading.Thread(
        target=perform, args=(alone, KIND, run.run_id, lambda: Scripted(script))
    )
    work.start()
    try:
        if mutates:
            assert not went_on.wait(0.5)
            with Latch.open(home.latch) as latch:
                latch.beat()
        assert went_on.wait(30)
    finally:
        with Latch.open(home.latch) as latch:
            latch.beat()
        work.join(30)
    codes = [f.extras["code"] for f in history(workshop.pool, run.task_id) if f.stage == "warning"]
    assert codes == (["control_silent"] if mutates else [])
