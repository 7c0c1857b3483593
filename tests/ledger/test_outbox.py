"""The outbox: what was recorded is sent, in time, at least once, until somebody has the run."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any

import psycopg
import pytest

from ledger import outbox, runs
from ledger.pool import Pool, transaction
from tests.kit.ledger import Desk


@pytest.fixture(autouse=True)
def quiet(superuser: psycopg.Connection[Any]) -> None:
    """Settle what other tests have left."""
    superuser.execute("UPDATE outbox SET settled_at = now() WHERE settled_at IS NULL")


def drained(pool: Pool) -> list[str]:
    sent: list[outbox.Outgoing] = []
    outbox.drain(pool, sent.append)
    return [message.run_id for message in sent]


def test_a_message_is_sent_in_order_and_then_rests(desk: Desk, pool: Pool) -> None:
    ids = [desk.submit().run_id for _ in range(3)]
    sent: list[outbox.Outgoing] = []
    assert outbox.drain(pool, sent.append) == 3
    assert [message.run_id for message in sent] == ids
    assert sent[0] == outbox.Outgoing(ids[0], "backtest", "interactive", "backtest")
    assert drained(pool) == []


def test_what_was_not_sent_stays_due(desk: Desk, pool: Pool) -> None:
    ids = [desk.submit().run_id for _ in range(3)]
    tried = []

    def send(message: outbox.Outgoing) -> None:
        tried.append(message.run_id)
        if len(tried) == 2:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        outbox.drain(pool, send)
    assert tried == ids[:2]
    assert drained(pool) == ids


def test_a_wiped_queue_makes_unclaimed_messages_due_again(desk: Desk, pool: Pool) -> None:
    ids = [desk.submit().run_id for _ in range(4)]
    assert drained(pool) == ids
    runs.claim(pool, "backtest", ids[1], worker="one")
    runs.cancel(pool, ids[2], by="ann")
    assert outbox.resend(pool) == 2
    assert drained(pool) == [ids[0], ids[3]]
    assert len(outbox.marker(pool)) == 32
    assert outbox.marker(pool) == outbox.marker(pool)


def test_an_unclaimed_message_is_sent_again_after_a_growing_while(desk: Desk, pool: Pool) -> None:
    run_id = desk.submit().run_id
    waits = []
    for _ in range(8):
        assert drained(pool) == [run_id]
        with transaction(pool) as connection:
            row = connection.execute(
                "SELECT round(extract(epoch FROM next_send_at - clock_timestamp())) AS wait"
                " FROM outbox WHERE run_id = %s",
                (run_id,),
            ).fetchone()
            connection.execute(
                "UPDATE outbox SET next_send_at = clock_timestamp() WHERE run_id = %s", (run_id,)
            )
        assert row is not None
        waits.append(int(row["wait"]))
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_two_relays_share_the_work(desk: Desk, pool: Pool) -> None:
    ids = [desk.submit().run_id for _ in range(20)]
    sent: list[str] = []

    def send(message: outbox.Outgoing) -> None:
        time.sleep(0.005)
        sent.append(message.run_id)

    def relay() -> None:
        outbox.drain(pool, send)

    crowd = [threading.Thread(target=relay) for _ in range(3)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sorted(sent) == sorted(ids)


def test_a_relay_in_front_of_a_hung_queue_holds_up_nobody(desk: Desk, pool: Pool) -> None:
    taken, dropped = desk.submit(), desk.submit()
    hung, go_on = threading.Event(), threading.Event()

    def send(_: outbox.Outgoing) -> None:
        hung.set()
        go_on.wait(10)

    relay = threading.Thread(target=lambda: outbox.drain(pool, send))
    relay.start()
    hung.wait(10)
    started = time.monotonic()
    assert runs.claim(pool, "backtest", taken.run_id, worker="one") is not None
    assert runs.cancel(pool, dropped.run_id, by="ann").status == "cancelled"
    assert time.monotonic() - started < 1
    go_on.set()
    relay.join()
    assert outbox.resend(pool) == 0


def test_a_message_for_a_run_that_is_taken_settles_itself(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed()
    with transaction(pool) as connection:
        outbox.again(connection, claim.run_id)
    assert drained(pool) == [claim.run_id]
    assert outbox.resend(pool) == 0
    with transaction(pool) as connection:
        outbox.again(connection, claim.run_id)
    assert runs.claim(pool, "backtest", claim.run_id, worker="two") is None
    assert outbox.resend(pool) == 0


def test_a_relay_whose_connection_breaks_listens_again(
    desk: Desk, app_dsn: str, superuser: psycopg.Connection[Any]
) -> None:
    with closing(outbox.wakeups(app_dsn, stop=lambda: False, poll_s=0.2)) as woken:
        next(woken)
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'relay'"
        )
        next(woken)
        desk.submit()
        next(woken)


def test_a_relay_is_woken_within_milliseconds(desk: Desk, pool: Pool, app_dsn: str) -> None:
    stop = threading.Event()
    woken: list[float] = []

    def listen() -> None:
        for _ in outbox.wakeups(app_dsn, stop=stop.is_set, poll_s=30):
            woken.append(time.monotonic())
            if len(woken) == 4:
                return

    relay = threading.Thread(target=listen)
    relay.start()
    while not woken:
        time.sleep(0.01)
    delays = []
    for turn in (1, 2, 3):
        time.sleep(0.05)
        desk.submit()
        committed = time.monotonic()
        while len(woken) <= turn:
            time.sleep(0.001)
        delays.append(woken[turn] - committed)
    relay.join(timeout=5)
    assert sorted(delays)[1] < 0.1
