"""The kill switch: pressed without any store, recorded for ever, lifted only by who has seen it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger import audit, halts, spool
from ledger.halts import Halts
from ledger.pool import Pool, open_pool, transaction
from ledger.progress.bus import Bus
from topology.errors import BadInputError, HaltedError, LatchUnreadableError, RefusedError
from topology.home import Home
from topology.latch import Latch, scopes_of

ANN: dict[str, Any] = {"actor": "ann", "acr": "urn:alphaswarm:acr:pwd", "auth_time": 1767322800}
RUN = "0" * 26
SCOPES = scopes_of("backtest", "momentum", RUN)


@pytest.fixture
def place(tmp_path: Path, pool: Pool) -> Home:
    """Return a home with a fresh latch that agrees with the record."""
    home = Home(tmp_path)
    home.ensure()
    halts.sync_latch(pool, home)
    return home


@pytest.fixture(autouse=True)
def nothing_halted(pool: Pool, tmp_path: Path) -> Iterator[None]:
    """Leave the shared record with nothing halted."""
    yield
    home = Home(tmp_path / "last")
    home.ensure()
    for halt in Halts(pool, home).status().scopes:
        Halts(pool, home).lift(halt.scope, epoch=halt.epoch, reason="end of the test", **ANN)


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Pool]:
    """Yield a pool whose PostgreSQL is not there."""
    pool = open_pool(f"host={tmp_path} dbname=ledger", name="away", max_size=1, wait_s=0.5)
    yield pool
    pool.close()


def pressed(home: Home, scopes: Sequence[str] = SCOPES) -> tuple[str, int] | None:
    with Latch.open(home.latch) as latch:
        found = halts.should_halt(latch, scopes, mutates=True)
    return None if found is None else (found.scope, found.epoch)


def said(pool: Pool, count: int) -> list[tuple[str, str, str]]:
    rows = audit.tail(pool, limit=count, newest_first=True)
    return [(row.action, row.target, row.decision) for row in reversed(rows)]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_press_stops_what_the_scope_covers(pool: Pool, bus: Bus, place: Home, scope: str) -> None:
    switch = Halts(pool, place, bus)
    epoch = switch.press(scope, reason="a test", **ANN)
    assert pressed(place) == (scope, epoch)
    status = switch.status()
    assert (status.halted, status.epoch) == (True, epoch)
    assert [(halt.scope, halt.actor, halt.reason) for halt in status.scopes] == [
        (scope, "ann", "a test")
    ]
    assert said(pool, 2) == [("halt", scope, "intended"), ("halt", scope, "done")]
    with transaction(pool) as connection, pytest.raises(HaltedError) as stop:
        halts.check_dispatch(connection, SCOPES)
    assert stop.value.facts == {"scope": scope, "epoch": epoch}


def test_other_work_goes_on(pool: Pool, place: Home) -> None:
    Halts(pool, place).press("kind:rl", reason="a test", **ANN)
    assert pressed(place) is None
    with transaction(pool) as connection:
        halts.check_dispatch(connection, SCOPES)


def test_the_widest_halt_is_named_first(pool: Pool, place: Home) -> None:
    switch = Halts(pool, place)
    for scope in (f"run:{RUN}", "all", "kind:backtest"):
        switch.press(scope, reason="a test", **ANN)
    assert [halt.scope for halt in switch.status().scopes] == ["all", "kind:backtest", f"run:{RUN}"]
    found = pressed(place)
    assert found is not None
    assert found[0] == "all"
    with transaction(pool) as connection, pytest.raises(HaltedError) as stop:
        halts.check_dispatch(connection, SCOPES)
    assert stop.value.facts["scope"] == "all"


def test_pressing_again_raises_the_epoch_and_nothing_else(pool: Pool, place: Home) -> None:
    switch = Halts(pool, place)
    first = switch.press("all", reason="one", **ANN)
    second = switch.press("all", reason="two", **ANN)
    assert second > first
    assert [(halt.epoch, halt.reason) for halt in switch.status().scopes] == [(second, "two")]


def test_a_lift_names_the_halt_that_it_ends(pool: Pool, place: Home) -> None:
    switch = Halts(pool, place)
    seen = switch.press("all", reason="one", **ANN)
    newer = switch.press("all", reason="two", **ANN)
    with pytest.raises(RefusedError) as refusal:
        switch.lift("all", epoch=seen, reason="hasty", **ANN)
    assert refusal.value.body()["code"] == "resume_refused"
    assert refusal.value.facts["epoch"] == newer
    assert pressed(place) == ("all", newer)
    assert said(pool, 2) == [("resume", "all", "intended"), ("resume", "all", "refused")]
    switch.lift("all", epoch=newer, reason="looked at it", **ANN)
    assert pressed(place) is None
    assert not switch.status().halted
    assert said(pool, 2) == [("resume", "all", "intended"), ("resume", "all", "done")]
    with pytest.raises(RefusedError):
        switch.lift("all", epoch=newer, reason="again", **ANN)


def test_a_lift_ends_one_scope_only(pool: Pool, place: Home) -> None:
    switch = Halts(pool, place)
    all_of_it = switch.press("all", reason="one", **ANN)
    kind = switch.press("kind:backtest", reason="two", **ANN)
    switch.lift("all", epoch=all_of_it, reason="ok", **ANN)
    assert pressed(place) == ("kind:backtest", kind)


@pytest.mark.parametrize("scope", ["", "everything", "kind:backtset", "run:1", "spec:backtest"])
def test_what_is_no_scope_is_refused(pool: Pool, place: Home, scope: str) -> None:
    before = audit.tip(pool)
    with pytest.raises(BadInputError):
        Halts(pool, place).press(scope, reason="a test", **ANN)
    assert audit.tip(pool) == before


def test_a_press_needs_no_store_and_is_recorded_later(pool: Pool, away: Pool, place: Home) -> None:
    started = time.monotonic()
    epoch = Halts(away, place, Bus(socket="/nonexistent")).press("all", reason="dark", **ANN)
    assert time.monotonic() - started < 2
    assert pressed(place) == ("all", epoch)
    assert not spool.is_empty(place.spool)
    halts.sync_latch(pool, place)
    assert spool.is_empty(place.spool)
    assert said(pool, 2) == [("halt", "all", "intended"), ("halt", "all", "done")]
    status = Halts(pool, place).status()
    assert [(halt.scope, halt.epoch, halt.reason) for halt in status.scopes] == [
        ("all", epoch, "dark")
    ]
    assert audit.verify(pool).ok


def test_a_slow_ledger_does_not_hold_up_the_latch(
    pool: Pool, place: Home, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("BEGIN")
    superuser.execute("LOCK TABLE audit_tip IN ACCESS EXCLUSIVE MODE")
    started = time.monotonic()
    epoch = Halts(pool, place).press("all", reason="slow", **ANN)
    took = time.monotonic() - started
    superuser.execute("ROLLBACK")
    assert took < 1.6  # 0.1 s for the intent, 1 s for the record
    assert pressed(place) == ("all", epoch)
    halts.sync_latch(pool, place)
    assert Halts(pool, place).status().epoch == epoch
    assert audit.verify(pool).ok


def test_draining_twice_records_once(pool: Pool, away: Pool, place: Home) -> None:
    Halts(away, place).press("kind:data", reason="dark", **ANN)
    lines = place.spool.read_bytes()
    assert spool.drain(pool, place.spool) == 2
    tip = audit.tip(pool)
    place.spool.write_bytes(lines)  # as after a crash between the commit and the emptying
    assert spool.drain(pool, place.spool) == 0
    assert audit.tip(pool) == tip


def test_a_torn_line_is_said_to_be_one(pool: Pool, place: Home) -> None:
    place.spool.write_bytes(f'{{"scope": "all", "at_ns": {time.time_ns()}\n'.encode())
    assert spool.drain(pool, place.spool) == 1
    assert said(pool, 1) == [("halt", "all", "unknown")]


def test_the_break_glass_of_this_machine_is_recorded(pool: Pool, place: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "topology.latch", "halt", "kind:backtest", "--reason", "smoke"],
        env={**os.environ, "ALPHASWARM_HOME": str(place.root)},
        capture_output=True,
        check=True,
    )
    epoch = json.loads(done.stdout)["epoch"]
    assert pressed(place) == ("kind:backtest", epoch)
    (halt,) = Halts(pool, place).status().scopes  # at once, before any round of the worker
    assert (halt.scope, halt.epoch, halt.reason) == ("kind:backtest", epoch, "smoke")
    assert halt.acr == "urn:alphaswarm:acr:os"
    rows = audit.tail(pool, limit=1, newest_first=True)
    assert rows[0].facts["acr"] == "urn:alphaswarm:acr:os"


def test_a_reason_that_is_no_text_stops_no_later_start(pool: Pool, place: Home) -> None:
    """A shell hands over any bytes; the spool keeps them, and the record takes what it can hold."""
    subprocess.run(
        [sys.executable, "-m", "topology.latch", "halt", "kind:rl", "--reason", b"smoke \xff"],
        env={**os.environ, "ALPHASWARM_HOME": str(place.root)},
        capture_output=True,
        check=True,
    )
    halts.sync_latch(pool, place)
    (halt,) = Halts(pool, place).status().scopes
    assert (halt.scope, halt.reason) == ("kind:rl", "smoke ?")
    assert audit.verify(pool).ok


def test_a_lost_latch_is_rebuilt_as_it_was(pool: Pool, place: Home) -> None:
    switch = Halts(pool, place)
    epoch = switch.press("kind:backtest", reason="a test", **ANN)
    lifted = switch.press("kind:rl", reason="a test", **ANN)
    switch.lift("kind:rl", epoch=lifted, reason="ok", **ANN)
    place.latch.unlink()
    with pytest.raises(LatchUnreadableError):
        pressed(place)
    halts.sync_latch(pool, place)
    assert pressed(place) == ("kind:backtest", epoch)
    assert pressed(place, ("kind:rl",)) is None
    assert switch.press("kind:rl", reason="after", **ANN) > lifted
    halts.sync_latch(pool, place)
    assert pressed(place, ("kind:rl",)) is not None


def test_a_break_glass_without_a_latch_is_no_old_epoch(pool: Pool, place: Home) -> None:
    switch = Halts(pool, place)
    for _ in range(3):
        switch.lift("all", epoch=switch.press("all", reason="a", **ANN), reason="b", **ANN)
    place.latch.unlink()
    subprocess.run(
        [sys.executable, "-m", "topology.latch", "halt", "all", "--reason", "smoke"],
        env={**os.environ, "ALPHASWARM_HOME": str(place.root)},
        capture_output=True,
        check=True,
    )
    for _ in range(2):
        halts.sync_latch(pool, place)
        found = pressed(place)
        assert found is not None
        assert found[0] == "all"
    assert switch.status().halted


def test_a_damaged_latch_is_not_repaired_in_silence(pool: Pool, place: Home) -> None:
    with place.latch.open("r+b") as stream:
        stream.write(b"\0" * 8)
    with pytest.raises(LatchUnreadableError):
        halts.sync_latch(pool, place)


def test_an_unreadable_latch_halts_what_mutates_and_holds_the_rest(place: Home) -> None:
    with Latch.open(place.latch) as latch:
        place.latch.unlink()
        latch.press("kind:rl")  # moves the counter, so that the file is looked at again
        found = halts.should_halt(latch, SCOPES, mutates=True)
        assert found is not None
        assert (found.scope, found.epoch) == ("all", 0)
        with pytest.raises(LatchUnreadableError):
            halts.should_halt(latch, SCOPES, mutates=False)


def test_another_host_follows_within_one_look(pool: Pool, place: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.ensure()
    halts.sync_latch(pool, other)
    switch = Halts(pool, place)
    epoch = switch.press("all", reason="here", **ANN)
    assert pressed(other) is None
    halts.sync_latch(pool, other)
    assert pressed(other) == ("all", epoch)
    switch.lift("all", epoch=epoch, reason="ok", **ANN)
    halts.sync_latch(pool, other)
    assert pressed(other) is None


def test_a_press_whose_process_died_is_adopted_after_a_while(
    pool: Pool, place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Latch.open(place.latch) as latch:
        epoch = latch.press("all")
    halts.sync_latch(pool, place)
    assert pressed(place) == ("all", epoch)
    (halt,) = Halts(pool, place).status().scopes  # seen, although nobody has recorded it
    assert (halt.epoch, halt.reason) == (epoch, "pressed in the latch, not recorded yet")
    monkeypatch.setattr(halts, "UNRECORDED_S", 0.0)
    halts.sync_latch(pool, place)
    (halt,) = Halts(pool, place).status().scopes
    assert (halt.scope, halt.epoch, halt.actor) == ("all", epoch, "system")


def test_runs_acknowledge_a_halt_once(pool: Pool, place: Home) -> None:
    epoch = Halts(pool, place).press("all", reason="a test", **ANN)
    for run_id in ("a" * 26, "b" * 26, "a" * 26):
        halts.ack(pool, epoch, run_id)
    assert halts.acks(pool, epoch) == ["a" * 26, "b" * 26]


def test_halts_are_for_ever(app_dsn: str, pool: Pool, place: Home) -> None:
    Halts(pool, place).press("kind:bot", reason="a test", **ANN)
    for change in ("UPDATE halts SET reason = ''", "DELETE FROM halts", "TRUNCATE halts"):
        with (
            psycopg.connect(app_dsn) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(change)
