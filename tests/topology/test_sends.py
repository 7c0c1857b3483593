"""The order gateway's last look: no send is later than the halt that covers it (K4, K8, S7)."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from topology.drain import drained
from topology.errors import HaltedError
from topology.latch import ORDERS, Latch, scopes_of
from topology.sends import Sends

SCOPES = scopes_of("bot", "toy", "0" * 26)
PACE_S = 0.01
_SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def latch(tmp_path: Path) -> Iterator[Latch]:
    """Yield a latch that somebody watches over."""
    with Latch.open(tmp_path / "halt.latch", create=True) as opened:
        opened.beat()
        yield opened


def gateway(path: Path, orders: Path, stop: Event) -> None:
    """Send an order each 10 ms to a venue (a file of times), until a halt or the end."""
    with Latch.open(path) as latch, Sends(latch, SCOPES, heartbeat_s=30) as gate:
        while not stop.is_set():
            try:
                with gate.sending(), orders.open("a") as venue:
                    time.sleep(0.001)  # the hand-over takes a moment
                    venue.write(f"{time.time_ns()}\n")
            except HaltedError:
                return
            time.sleep(PACE_S)


@pytest.mark.parametrize("scope", ["all", "kind:bot", "spec:bot/toy"])
def test_no_order_is_sent_after_the_time_of_the_halt(
    latch: Latch, tmp_path: Path, scope: str
) -> None:
    """S7: three gateways at 100 orders a second; a press waits for the sends under way."""
    stop, files = _SPAWN.Event(), [tmp_path / f"venue-{n}" for n in range(3)]
    gateways = [_SPAWN.Process(target=gateway, args=(latch.path, file, stop)) for file in files]
    for one in gateways:
        one.start()
    try:
        deadline = time.monotonic() + 60
        while not all(file.exists() and file.stat().st_size > 400 for file in files):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        latch.press(scope, orders="keep")
        for one in gateways:
            one.join(30)
            assert one.exitcode == 0  # halted, not stopped by us
    finally:
        stop.set()
    pressed = latch.pressed(SCOPES)
    assert pressed is not None
    with Latch.open(latch.path) as fresh:
        stamped = fresh.pressed(SCOPES)
    assert stamped is not None
    sent = [int(line) for file in files for line in file.read_text().split()]
    assert len(sent) > 60
    assert max(sent) < stamped.at_ns


def test_what_nobody_watches_over_sends_nothing(latch: Latch) -> None:
    """K8: the dead man's switch; a halt is not needed to stop."""
    with Sends(latch, SCOPES, heartbeat_s=30) as gate, gate.sending():
        pass
    with (
        Sends(latch, SCOPES, heartbeat_s=0) as gate,
        pytest.raises(HaltedError, match="said nothing"),
        gate.sending(),
    ):
        raise AssertionError("sent")


def test_a_latch_that_was_replaced_stops_every_send_at_once(latch: Latch, tmp_path: Path) -> None:
    """S4: a deleted or replaced latch is unreadable, and unreadable is halted."""
    with Sends(latch, SCOPES, heartbeat_s=30) as gate:
        latch.path.rename(tmp_path / "away")
        with pytest.raises(HaltedError, match="cannot be read"), gate.sending():
            raise AssertionError("sent")
        with Latch.open(latch.path, create=True), pytest.raises(HaltedError), gate.sending():
            raise AssertionError("sent")


def test_a_send_that_hangs_holds_up_no_halt(latch: Latch) -> None:
    with Sends(latch, SCOPES, heartbeat_s=30) as gate, gate.sending():
        assert not drained(latch.path)
        with Latch.open(latch.path) as other:
            epoch = other.press("kind:bot")
    assert drained(latch.path)
    assert latch.pressed(SCOPES) is not None
    assert epoch == 1


def test_the_strongest_word_on_orders_holds(latch: Latch) -> None:
    """K3: a halt of everything that keeps orders does not call off a flatten."""
    latch.press("spec:bot/toy", orders="flatten")
    latch.press("all", orders="keep")
    assert latch.orders(SCOPES) == "flatten"
    assert latch.orders(("all",)) == "keep"
    assert latch.orders(("kind:rl",)) is None
    assert set(ORDERS) == {"cancel", "keep", "flatten"}
