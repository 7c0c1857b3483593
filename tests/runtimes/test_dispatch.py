"""Dispatch records everything or nothing; the relay tells the queue as often as it must."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dramatiq.brokers.redis import RedisBroker

from ledger import runs
from ledger.halts import Halts
from ledger.pool import Pool, transaction
from runtimes import dispatch
from runtimes.specs.base import Spec, parse
from topology.clock import SystemClock
from topology.errors import BadInputError, HaltedError
from topology.home import Home
from topology.principal import Principal
from topology.services import Topology
from topology.stores import valkey_address

ANNA = Principal(subject="anna", client_id="tests")
BERT = Principal(subject="bert", client_id="tests")


def spec(name: str = "dispatched", **body: Any) -> Spec:
    """Return a small backtest spec."""
    raw: dict[str, Any] = {
        "kind": "backtest",
        "name": name,
        "universe": {"symbols": ["AAPL.NASDAQ"]},
        "data": {"start": "2001-01-01", "end": "2001-12-31"},
        "strategy": {"name": "buy_and_hold"},
    }
    return parse("backtest", raw | body)


@pytest.fixture
def broker(topology: Topology, migrated: Home) -> Iterator[RedisBroker]:
    """Yield the broker of the test home, emptied."""
    opened = dispatch.make_broker(valkey_address(topology, migrated))
    opened.client.flushdb()
    yield opened
    opened.close()
    opened.client.close()


def submit(pool: Pool, wanted: Spec, **more: Any) -> dispatch.Handle:
    principal = more.pop("principal", ANNA)
    return dispatch.submit(
        pool, wanted, principal=principal, queue="interactive", clock=SystemClock(), **more
    )


def waiting(pool: Pool, run_id: str) -> int:
    """Return how often a run's message was sent; -1 where there is no message."""
    with transaction(pool) as connection:
        row = connection.execute("SELECT sends FROM outbox WHERE run_id = %s", (run_id,)).fetchone()
    return -1 if row is None else int(row["sends"])


def settle_all(pool: Pool) -> None:
    with transaction(pool) as connection:
        connection.execute("UPDATE outbox SET settled_at = now() WHERE settled_at IS NULL")


def test_a_submit_leaves_a_spec_a_queued_run_and_one_message(pool: Pool) -> None:
    handle = submit(pool, spec())

    run = runs.get(pool, handle.run_id)
    assert dataclasses.asdict(handle) == {
        "run_id": run.run_id,
        "task_id": run.task_id,
        "status": "queued",
        "spec_hash": run.spec_sha256,
        "result_uri": f"run://{run.run_id}",
    }
    assert (run.requested_by, run.inputs, run.snapshot_ids) == ("anna", {}, None)
    assert waiting(pool, run.run_id) == 0


def test_the_same_spec_is_one_version_and_two_runs(pool: Pool) -> None:
    first, second = submit(pool, spec()), submit(pool, spec())

    assert first.spec_hash == second.spec_hash
    assert first.run_id != second.run_id


def test_a_repeated_dispatch_key_returns_the_first_handle(pool: Pool) -> None:
    first = submit(pool, spec(), dispatch_key="monday")
    second = submit(pool, spec(), dispatch_key="monday")

    assert second == first


def test_a_dispatch_key_belongs_to_its_subject(pool: Pool) -> None:
    annas = submit(pool, spec(), dispatch_key="mine")
    berts = submit(pool, spec(), dispatch_key="mine", principal=BERT)

    assert annas.run_id != berts.run_id


def test_a_dispatch_key_of_other_work_is_refused_and_writes_nothing(pool: Pool) -> None:
    submit(pool, spec(), dispatch_key="tuesday")
    before = len(runs.listing(pool, kind="backtest", limit=200))

    with pytest.raises(BadInputError) as refused:
        submit(pool, spec("another"), dispatch_key="tuesday")

    assert refused.value.wire_code == "idempotency_conflict"
    assert len(runs.listing(pool, kind="backtest", limit=200)) == before


def test_eight_submits_with_one_key_make_one_run(pool: Pool) -> None:
    with ThreadPoolExecutor(8) as crowd:
        handles = list(crowd.map(lambda _: submit(pool, spec(), dispatch_key="crowd"), range(8)))

    assert len({handle.run_id for handle in handles}) == 1


def test_nothing_is_recorded_while_a_halt_covers_the_spec(pool: Pool, migrated: Home) -> None:
    halts = Halts(pool, migrated)
    scope = "spec:backtest/never-recorded"
    epoch = halts.press(scope, actor="anna", acr="", auth_time=0, reason="a drill")
    try:
        with pytest.raises(HaltedError) as refused:
            submit(pool, spec("never-recorded"))
        submit(pool, spec("not-stopped"))
    finally:
        halts.lift(scope, epoch=epoch, actor="anna", acr="", auth_time=0, reason="over")

    assert refused.value.facts["scope"] == scope
    assert runs.listing(pool, kind="backtest", name="never-recorded") == []


def test_the_relay_sends_each_message_once_and_again_when_the_queue_was_wiped(
    pool: Pool, broker: RedisBroker
) -> None:
    settle_all(pool)
    relay = dispatch.Relay(pool, broker)
    relay.pump()
    sent = [submit(pool, spec()).run_id for _ in range(3)]

    assert relay.pump() == 3
    assert relay.pump() == 0
    assert broker.do_qsize("interactive") == 3

    broker.client.flushdb()
    assert relay.pump() == 3
    assert broker.do_qsize("interactive") == 3
    assert {waiting(pool, run_id) for run_id in sent} == {2}


def test_a_message_names_its_actor_by_kind_and_carries_the_run(
    pool: Pool, broker: RedisBroker
) -> None:
    settle_all(pool)
    relay = dispatch.Relay(pool, broker)
    relay.pump()
    handle = submit(pool, spec())
    relay.pump()

    message = next(iter(broker.consume("interactive", timeout=100)))

    assert message is not None
    assert (message.actor_name, message.args) == ("backtest", ("backtest", handle.run_id))
