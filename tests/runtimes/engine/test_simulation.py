"""Chunks, halts and full buffers never change a result; a halt is seen at the next bar."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine import simulation as door
from runtimes.engine.arrays import CHUNK, DONE, LATCH, Market, Targets
from runtimes.engine.compiled import compiled, latest
from runtimes.engine.errors import InvalidWeightsError
from runtimes.engine.orders import KINDS, TIFS, place
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation, drive
from tests.kit.engine import (
    Recorder,
    flat_market,
    names,
    random_market,
    random_orders,
    random_targets,
)
from topology.errors import HaltedError

ROOT = Path(__file__).resolve().parents[3]
PARAMS = make(cash=30_000, fee="interactive_brokers", slippage_bps=2)


def new(seed: int = 3, *, bars: int = 200, latch: np.ndarray | None = None) -> Simulation:
    market = random_market(seed, bars=bars, symbols=3, missing=0.05)
    targets = random_targets(seed, bars=bars, symbols=3)
    return Simulation(market, names(3), targets, PARAMS, latch=latch)


def finish(simulation: Simulation, *, bars: int = 65_536) -> Result:
    while simulation.advance(bars) != DONE:
        pass
    return simulation.result()


def same(one: Result, other: Result) -> bool:
    tables = ("fills", "orders", "trades", "positions")
    return one.digests() == other.digests() and all(
        getattr(one, table)[name].tobytes() == column.tobytes()
        for table in tables
        for name, column in getattr(other, table).items()
    )


@pytest.mark.parametrize("bars", [1, 7, 65_536])
def test_chunks_of_any_size_give_the_same_bytes(bars: int) -> None:
    assert same(finish(new(), bars=bars), finish(new()))


def with_book(seed: int, *, bars: int = 60) -> Simulation:
    """Return a simulation whose book holds every order from the start, each due after its bar."""
    simulation = blank(seed, bars=bars)
    simulation.make_room_for(80)
    for row in random_orders(seed, bars=bars, symbols=3, count=80):
        place(simulation.state, simulation.book, **row)
    return simulation


def blank(seed: int, *, bars: int) -> Simulation:
    market = random_market(seed, bars=bars, symbols=3, missing=0.05)
    nothing = Targets(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
    params = make(
        cash=30_000, fee="maker_taker", fee_bps=4, slippage_bps=2, leverage=2, participation=0.2
    )
    return Simulation(market, names(3), nothing, params)


class Dealer(Script):
    """Gives the same orders through the account, each at its bar."""

    def __init__(self, orders: list[dict[str, float]]) -> None:
        self.orders = orders

    def on_bar(self, account: Account) -> None:
        for row in (row for row in self.orders if row["created"] == account.bar):
            account.order(
                account.symbols[int(row["symbol"])],
                row["quantity"],
                KINDS[int(row["kind"])],
                tif=TIFS[int(row["tif"])],
                limit=row.get("limit"),
                stop=row.get("stop"),
                trail=row.get("trail"),
            )


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_book_gives_the_same_bytes_in_chunks_and_bar_by_bar_and_from_a_script(seed: int) -> None:
    whole = finish(with_book(seed))
    assert same(finish(with_book(seed), bars=1), whole)
    assert same(finish(with_book(seed), bars=7), whole)
    stepped = with_book(seed)
    while not stepped.done:
        stepped.enter()
        stepped.leave()
    assert same(stepped.result(), whole)
    scripted = blank(seed, bars=60)
    play(Dealer(random_orders(seed, bars=60, symbols=3, count=80)), scripted, Recorder())
    assert same(scripted.result(), whole)


@given(stop=st.integers(1, 199), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_halt_at_any_bar_keeps_the_past_and_resumes_to_the_same_end(stop: int, seed: int) -> None:
    latch = np.zeros(1, dtype=np.int64)
    simulation = new(seed, latch=latch)
    assert simulation.advance(stop) == CHUNK
    latch[0] += 1
    assert simulation.advance() == LATCH
    assert simulation.current == stop
    partial, whole = simulation.result(), finish(new(seed))
    assert partial.partial
    assert partial.timestamps.size == stop
    assert partial.curve.equity.tobytes() == whole.curve.equity[:stop].tobytes()
    assert same(finish(simulation), whole)


def test_full_buffers_are_emptied_and_the_same_bar_called_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = finish(new())
    monkeypatch.setattr(door, "BUFFER_ROWS", 1)
    monkeypatch.setattr(door, "MOST_ROWS", 0)  # as small as one bar can need
    simulation = new()
    assert same(finish(simulation), whole)
    assert simulation.flushes > 10


@pytest.mark.parametrize("rows", [1, 8_192])
def test_a_result_keeps_its_rows_when_the_run_goes_on(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BUFFER_ROWS", rows)
    monkeypatch.setattr(door, "MOST_ROWS", 0)
    simulation = new()
    simulation.advance(90)
    early = simulation.result()
    finish(simulation)
    before = new()
    before.advance(90)
    assert same(early, before.result())


@pytest.mark.parametrize("symbols", [1, 4])
@given(seed=st.integers(0, 10**6), missing=st.sampled_from([0.0, 0.05, 0.9]))
@settings(max_examples=25, deadline=None)
def test_bars_between_decisions_have_the_bits_of_steps(
    symbols: int, seed: int, missing: float
) -> None:
    """A rate for shorts, of which there are none, makes the kernel take a step at every bar."""
    market = random_market(seed, bars=80, symbols=symbols, missing=missing)
    found = random_targets(seed, bars=80, symbols=symbols)
    targets = Targets(found.rows[::4], np.abs(found.weights[::4]))
    glided, stepped = (
        finish(Simulation(market, names(symbols), targets, make(cash=9_000, borrow_bps=rate)))
        for rate in (0.0, 100.0)
    )
    assert same(glided, stepped)


def test_two_processes_compute_the_same_digests_compiled_or_not() -> None:
    code = (
        "from tests.runtimes.engine import test_simulation as t\n"
        "print(*t.finish(t.new(bars=60)).digests().values(), end=' ')\n"
        "print(*t.finish(t.with_book(3)).digests().values())"
    )
    here = " ".join(
        digest
        for result in (finish(new(bars=60)), finish(with_book(3)))
        for digest in result.digests().values()
    )
    for extra in ({}, {"NUMBA_DISABLE_JIT": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, **extra},
        )
        assert done.stdout.strip() == here


@pytest.mark.parametrize(
    "switch",
    [
        "NUMBA_DISABLE_JIT",  # numpy checks every index then
        pytest.param("NUMBA_BOUNDSCHECK", marks=pytest.mark.soak),  # compiles everything anew
    ],
)
def test_the_engine_passes_its_tests_uncompiled_and_with_checked_bounds(switch: str) -> None:
    folder = ROOT / "tests/runtimes/engine"
    files = ("test_kernel.py", "test_costs.py", "test_trades.py", "test_checks.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        + [str(folder / name) for name in files],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, switch: "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:]


class TestDrive:
    def test_it_reports_every_chunk_and_ends_at_the_last_bar(self) -> None:
        progress, simulation = Recorder(), new()
        drive(simulation, progress)
        assert simulation.done
        assert {stage for stage, _ in progress.frames} == {"bar.processed"}
        counts = [extras["current"] for _, extras in progress.frames]
        assert counts == sorted(counts)
        assert progress.frames[-1][1] == {"current": 200, "total": 200}
        assert len(counts) >= 20

    def test_slow_bars_make_small_chunks_and_not_another_result(self) -> None:
        ticks = iter(range(100_000))
        progress, simulation = Recorder(), new()
        drive(simulation, progress, monotonic=lambda: next(ticks))
        assert progress.checkpoints > 150
        assert same(simulation.result(), finish(new()))

    def test_a_refused_checkpoint_keeps_the_bars_so_far(self) -> None:
        progress, simulation = Recorder(halt_when=lambda count: count == 8), new()
        with pytest.raises(HaltedError):
            drive(simulation, progress)
        partial = simulation.result()
        assert partial.partial
        assert partial.timestamps.size == 70
        drive(simulation, Recorder())
        assert same(simulation.result(), finish(new()))

    def test_a_halt_that_is_not_ours_costs_a_checkpoint_only(self) -> None:
        latch = np.zeros(1, dtype=np.int64)
        simulation, progress = new(latch=latch), Recorder()
        latch[0] = 5
        drive(simulation, progress)
        assert same(simulation.result(), finish(new()))
        assert progress.checkpoints == len(progress.frames) + 1


def test_a_latch_that_would_be_copied_is_refused() -> None:
    with pytest.raises(ValueError, match="contiguous int64"):
        new(latch=np.zeros(1, dtype=np.int32))


def press_later(latch: np.ndarray, delay_s: float) -> list[float]:
    pressed: list[float] = []

    def press() -> None:
        time.sleep(delay_s)
        latch[0] += 1
        pressed.append(time.perf_counter())

    threading.Thread(target=press, daemon=True).start()
    return pressed


def test_a_thread_stops_the_kernel_within_a_quarter_of_a_second() -> None:
    bars, symbols = 30_000, 200
    close = np.broadcast_to(np.array(50.0), (bars, symbols))
    market = Market(np.arange(bars), close, close, close, close, close)
    rows = np.arange(bars)
    even = np.where(np.arange(symbols) % 2 == 0, 1.0, 0.5)
    weights = np.where((rows % 2 == 0)[:, None], even, even[::-1]) / symbols
    latch = np.zeros(1, dtype=np.int64)
    simulation = Simulation(market, names(symbols), Targets(rows, weights), make(), latch=latch)
    simulation.advance(1)
    pressed = press_later(latch, 0.02)
    status = simulation.advance(bars)
    stopped = time.perf_counter()
    assert status == LATCH
    assert stopped - pressed[0] < 0.25


def test_a_loop_that_stores_nothing_sees_the_latch_too() -> None:
    @compiled
    def count_until(counter: np.ndarray, seen: int, limit: int) -> int:
        done = 0
        for _ in range(limit):
            if latest(counter) != seen:
                break
            done += 1
        return done

    latch = np.zeros(1, dtype=np.int64)
    watched = latch.view()
    watched.flags.writeable = False
    count_until(watched, 0, 10)
    limit = 3_000_000_000 if not os.environ.get("NUMBA_DISABLE_JIT") else 10**7
    pressed = press_later(latch, 0.1)
    done = count_until(watched, 0, limit)
    assert done < limit
    assert time.perf_counter() - pressed[0] < 0.25


class TestInvalidWeights:
    market = flat_market([[10, 10]] * 5)

    @pytest.mark.parametrize(
        ("weights", "symbol"),
        [
            pytest.param([float("nan"), 0.5], "S000.TEST", id="not a number"),
            pytest.param([0.0, float("inf")], "S001.TEST", id="infinite"),
            pytest.param([0.4, -0.7], "S001.TEST", id="gross above the leverage"),
        ],
    )
    def test_the_run_stops_at_the_decision_and_keeps_what_it_had(
        self, weights: list[float], symbol: str
    ) -> None:
        targets = Targets(np.array([0, 3]), np.array([[0.5, 0.5], weights]))
        simulation = Simulation(self.market, names(2), targets, make())
        with pytest.raises(InvalidWeightsError) as caught:
            drive(simulation, Recorder())
        assert caught.value.facts["symbol"] == symbol
        assert caught.value.facts["timestamp"] == "1970-01-04T00:00:00Z"
        result = simulation.result()
        assert result.partial
        assert result.timestamps.size == 3
        assert result.fills["price"].size == 2

    def test_rounding_above_the_leverage_is_not_an_error(self) -> None:
        targets = Targets(np.array([0]), np.array([[0.1 + 0.2, 0.7]]))
        assert not finish(Simulation(self.market, names(2), targets, make())).partial

    @pytest.mark.parametrize("rows", [[1, 1], [2, 1], [0, 9], [-1, 0]])
    def test_rows_must_increase_inside_the_bars(self, rows: list[int]) -> None:
        targets = Targets(np.array(rows), np.zeros((2, 2)))
        with pytest.raises(InvalidWeightsError):
            Simulation(self.market, names(2), targets, make())


def test_look_back_bars_are_not_simulated() -> None:
    market = flat_market([[1], [2], [10], [10], [20]])
    targets = Targets(np.array([0, 2]), np.array([[1.0], [1.0]]))
    result = finish(Simulation(market, names(1), targets, make(cash=100), first=2))
    assert result.timestamps.tolist() == market.timestamps[2:].tolist()
    assert result.curve.equity.tolist() == [100, 100, 200]
