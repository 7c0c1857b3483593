"""When workers tidy by themselves: nightly, when a table has grown untidy, never twice at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from ledger import runs, specs, upkeep
from ledger.appends import Appends
from ledger.halts import Halts
from ledger.pool import Pool
from runtimes.data import schedule
from runtimes.dispatch import Handle
from runtimes.specs.maintain import MaintainSpec
from tests.kit.upkeep import now
from topology.clock import FrozenClock
from topology.home import Home
from topology.ids import new_id
from topology.principal import SYSTEM
from topology.sections import Maintenance

TABLE = "alphaswarm_silver_schedule.bars_1d"
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def log(pool: Pool, app_dsn: str) -> Iterator[Appends]:
    """Yield a log with nothing written since the last pass, and no pass under way."""
    _end(pool)
    key = new_id(now())
    spec = MaintainSpec(name=schedule.NAME)
    schedule.submit(pool, spec, FrozenClock(now()), by=SYSTEM, key=key)
    _end(pool)
    yield Appends(pool, app_dsn)
    _end(pool)


def _end(pool: Pool) -> None:
    for run in runs.listing(pool, kind="data", name=schedule.NAME, status="queued"):
        runs.cancel(pool, run.run_id, by="tests")


def write(log: Appends, count: int) -> None:
    """Record so many appends to one table."""
    for _ in range(count):
        key = new_id(now())
        log.claim(TABLE, key, "0" * 64, 1, "r")
        log.settle(TABLE, key, "1")


def section(**named: object) -> Maintenance:
    """Return the settings of a map whose night is an hour away."""
    at = (now() + HOUR).strftime("%H:%M")
    return Maintenance.model_validate({"at": at, "small_files": 5, **named})


def look(pool: Pool, *, after: dt.timedelta = HOUR * 0, **named: object) -> Handle | None:
    return schedule.look(pool, section(**named), FrozenClock(now() + after))


def due(pool: Pool, handle: Handle | None) -> bool:
    """Return the ``due`` of the pass that was submitted."""
    assert handle is not None
    spec = specs.get(pool, handle.spec_hash, kind="data")
    assert spec.body["task"] == schedule.TASK
    asked: bool = spec.body["due"]
    return asked


def test_many_appends_to_one_table_make_a_pass_over_what_is_due(pool: Pool, log: Appends) -> None:
    write(log, 4)
    assert look(pool) is None
    write(log, 1)
    assert due(pool, look(pool)) is True


def test_at_most_one_pass_is_under_way(pool: Pool, log: Appends) -> None:
    write(log, 5)
    assert look(pool) is not None
    write(log, 5)
    assert look(pool) is None
    assert look(pool, after=24 * HOUR) is None


def test_after_a_pass_only_what_was_written_since_counts(pool: Pool, log: Appends) -> None:
    write(log, 5)
    assert look(pool) is not None
    _end(pool)
    assert look(pool) is None
    write(log, 5)
    assert look(pool) is not None


def test_the_nightly_pass_is_over_everything(pool: Pool, log: Appends) -> None:
    write(log, 1)
    assert look(pool) is None, "tonight, not now"
    assert due(pool, look(pool, after=2 * HOUR)) is False


def test_a_night_that_was_slept_through_is_made_up_for(pool: Pool, log: Appends) -> None:
    write(log, 1)
    assert look(pool, after=100 * 24 * HOUR) is not None


def test_where_nothing_was_written_nothing_is_tidied(pool: Pool, log: Appends) -> None:
    assert look(pool, after=24 * HOUR) is None


def test_it_can_be_switched_off(pool: Pool, log: Appends) -> None:
    write(log, 5)
    assert look(pool, enabled=False) is None
    assert look(pool, enabled=False, after=24 * HOUR) is None


def test_two_workers_that_look_at_once_start_one_pass(
    pool: Pool, log: Appends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that no pass is under way; even one by night and one by need."""
    write(log, 5)
    before = upkeep.latest(pool, schedule.TASK)
    monkeypatch.setattr(upkeep, "latest", lambda pool, task: before)

    first, again = look(pool), look(pool)
    other = look(pool, after=2 * HOUR)

    assert first is not None
    assert again == first
    assert other is None


def test_nothing_starts_under_a_halt(pool: Pool, log: Appends, migrated: Home) -> None:
    write(log, 5)
    halts, scope = Halts(pool, migrated), f"spec:data/{schedule.NAME}"
    epoch = halts.press(scope, actor="anna", acr="", auth_time=0, reason="a drill")
    try:
        assert look(pool) is None
    finally:
        halts.lift(scope, epoch=epoch, actor="anna", acr="", auth_time=0, reason="over")
    assert look(pool) is not None


@pytest.mark.parametrize(
    ("at", "hour", "expected"),
    [
        ("03:30", 4, "2026-01-05T03:30:00+00:00"),
        ("03:30", 3, "2026-01-04T03:30:00+00:00"),
        ("00:00", 0, "2026-01-05T00:00:00+00:00"),
        ("23:59", 23, "2026-01-04T23:59:00+00:00"),
    ],
)
def test_when_it_was_last_that_time(at: str, hour: int, expected: str) -> None:
    moment = dt.datetime(2026, 1, 5, hour, tzinfo=dt.UTC)
    assert schedule.latest(at, moment).isoformat() == expected
