"""K12: losses, order rates, rejects, stale data and errors press the kill switch as ``system``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import audit, meters, runs
from ledger.halts import ActiveHalt, Halts, sync_latch
from ledger.pool import Pool, transaction
from runtimes import triggers
from tests.kit.ledger import Desk
from topology.home import Home
from topology.triggers import Trigger

TABLE = "alphaswarm_silver_triggers.bars_1m"
LIFT: dict[str, Any] = {"actor": "ann", "acr": "", "auth_time": 0, "reason": "looked at it"}


@pytest.fixture
def switch(pool: Pool, tmp_path: Path) -> Iterator[Halts]:
    """Yield the switch of a home of its own; what rules have pressed is lifted at the end."""
    home = Home(tmp_path)
    home.ensure()
    sync_latch(pool, home)
    opened = Halts(pool, home)
    yield opened
    for halt in opened.status().scopes:
        opened.lift(halt.scope, epoch=halt.epoch, **LIFT)


def halted(switch: Halts, scope: str) -> ActiveHalt | None:
    return next((halt for halt in switch.status().scopes if halt.scope == scope), None)


@pytest.mark.parametrize(
    ("meter", "orders"), [("loss", "flatten"), ("orders", "cancel"), ("rejects", "keep")]
)
def test_what_streams_report_presses_above_the_bound(
    pool: Pool, switch: Halts, meter: str, orders: Any
) -> None:
    name = f"stream-{meter}"
    scope = f"spec:bot/{name}"
    rule = {"mine": Trigger(meter=meter, above=10, window_s=60, scope=scope, orders=orders)}
    stream: dict[str, Any] = {"kind": "bot", "name": name, "run_id": "0" * 26}
    meters.add(pool, meter, value=10, **stream)
    assert triggers.look(pool, switch, rule) == []

    meters.add(pool, meter, value=0.5, **stream)
    meters.add(pool, meter, value=99, **{**stream, "name": "another"})
    assert triggers.look(pool, switch, rule) == ["mine"]

    pressed = halted(switch, scope)
    assert pressed is not None
    assert (pressed.actor, pressed.orders) == ("system", orders)
    assert pressed.reason == f"trigger mine: {meter} 10.5 is above 10"
    assert audit.tail(pool, limit=1, newest_first=True)[0].facts["trigger"] == "mine"
    assert triggers.look(pool, switch, rule) == []  # it is halted already
    switch.lift(scope, epoch=pressed.epoch, **LIFT)
    assert triggers.look(pool, switch, rule) == []  # a person has seen what was there


def test_failing_runs_press_once_there_are_enough(pool: Pool, switch: Halts, desk: Desk) -> None:
    scope = "spec:workflow/failing"
    rule = {"mine": Trigger(meter="failures", above=0.5, window_s=600, scope=scope, least=3)}

    def end(status: str, stage: str) -> list[str]:
        claim = desk.claimed(kind="workflow", name="failing")
        runs.finish(pool, claim, status=status, stage=stage, message="Over.")
        return triggers.look(pool, switch, rule)

    assert end("failed", "failed") == []
    assert end("failed", "failed") == []  # two say nothing
    assert end("succeeded", "done") == ["mine"]  # 2 of 3


def test_a_table_that_nothing_is_appended_to_presses(pool: Pool, switch: Halts) -> None:
    scope = "kind:rl"
    rule = {"mine": Trigger(meter="stale", above=60, scope=scope, table=TABLE)}
    assert triggers.look(pool, switch, rule) == []  # it has not begun

    with transaction(pool) as connection:
        connection.execute(
            "INSERT INTO lake_appends (table_name, key, sha256, row_count, run_id, snapshot_id,"
            " claimed_at, settled_at) VALUES (%s, 'k', '', 1, '', 1,"
            " clock_timestamp() - interval '2 minutes', clock_timestamp() - interval '2 minutes')",
            (TABLE,),
        )
    assert triggers.look(pool, switch, rule) == ["mine"]
    pressed = halted(switch, scope)
    assert pressed is not None
    switch.lift(scope, epoch=pressed.epoch, **LIFT)
    assert triggers.look(pool, switch, rule) == []  # it has 60 s again
