"""However the rows are cut, a value is the same, bit for bit."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.features import evaluate as evaluation
from lakehouse.features import members
from lakehouse.features.build import QLIB
from lakehouse.features.evaluate import evaluate
from lakehouse.features.featureset import FeatureSet, compose
from lakehouse.features.frame import Frame
from lakehouse.features.operators import OPERATORS
from lakehouse.features.reach import EVERYTHING
from tests.kit.panel import seeded
from topology.errors import HaltedError

FRAME = seeded(symbols=3, rows=200, gaps=15)
EVERY = {
    "X2": "Corr(Mean($close, 3), Std($open, 5), 7)",
    "X3": "Mean($close > Ref($close, 1), 5)",
    "X4": "CSRank(Mean($close, 5)) - CSDemean($open, $vwap)",
    "X5": "Mean(CSZScore($volume), 6)",
    "X6": "Mask(Mean($close, 4), 'S001')",
    **{
        f"R{name}": f"{name}(Log($volume+1){', $open' if 'y' in op.arguments else ''}, 12"
        f"{', 0.3' if 'q' in op.arguments else ''})"
        for name, op in OPERATORS.items()
        if op.windows
    },
}


def tail(frame: Frame, rows: int) -> Frame:
    """Return each symbol's last rows."""
    return frame.since(np.maximum(np.diff(frame.starts) - rows, 0))


def bits(values: Any) -> Any:
    """Return float32 as its bits, every NaN alike."""
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    for name, values in left.items():
        assert np.array_equal(bits(values), bits(right[name])), name


def last_rows(features: FeatureSet, frame: Frame, count: int) -> dict[str, Any]:
    """Return the last rows of a whole computation."""
    shown = frame.places_left < count
    return {name: values[shown] for name, values in evaluate(features, frame).columns.items()}


@pytest.mark.parametrize(
    "features",
    [
        pytest.param(compose(EVERY), id="every windowed operator"),
        pytest.param(compose(EVERY, semantics=QLIB), id="and as Qlib has it"),
        pytest.param(compose(members.expressions("alpha158"), semantics=QLIB), id="alpha158"),
        pytest.param(compose(members.expressions("alpha360"), semantics=QLIB), id="alpha360"),
    ],
)
def test_the_last_row_needs_its_look_back_and_nothing_else(features: FeatureSet) -> None:
    """Values that hang on where a computation begins are told by `reach`; the others are here."""
    kept = {
        name: node
        for name, node in features.features.items()
        if not (r := FeatureSet({name: node}, {}, features.semantics).reach).anchored
        and r.back != EVERYTHING
    }
    chosen = FeatureSet(kept, {}, features.semantics)
    whole = last_rows(chosen, FRAME, 1)
    begin = np.full(3, chosen.lookback, dtype=np.int64)
    grown = evaluate(chosen, tail(FRAME, chosen.lookback + 1), first=begin)
    same(whole, dict(grown.columns))


def test_a_mean_from_the_first_row_on_is_the_same_from_there() -> None:
    features = compose({"A": "EMA($close, 12)", "B": "Mean($close, 0.1)"})
    whole = evaluate(features, FRAME)
    first = np.full(3, 150, dtype=np.int64)
    same(last_rows(features, FRAME, 50), dict(evaluate(features, FRAME, first=first).columns))
    assert whole.frame.rows == 600


@given(st.integers(1, 199), st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None)
def test_what_comes_after_changes_nothing_before(row: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    later = FRAME.places > row
    noise = {
        name: np.where(later, rng.normal(50, 20, 600), values).astype(np.float32)
        for name, values in FRAME.fields.items()
    }
    other = Frame(FRAME.symbols, FRAME.starts, FRAME.times, noise)
    features = compose(EVERY)
    before, after = evaluate(features, FRAME).columns, evaluate(features, other).columns
    same({n: v[~later] for n, v in before.items()}, {n: v[~later] for n, v in after.items()})


def test_parts_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features = compose({**members.expressions("alpha158"), **EVERY}, semantics=QLIB)
    frame = seeded(symbols=7, rows=150, gaps=9)
    one = evaluate(features, frame)
    monkeypatch.setattr(evaluation, "PART", 300)
    same(dict(one.columns), dict(evaluate(features, frame, threads=3).columns))


def test_what_else_is_in_a_set_changes_nothing() -> None:
    """Families of windows share a pass, but never a value."""
    whole = evaluate(compose(EVERY), FRAME).columns
    for name, text in EVERY.items():
        same(dict(evaluate(compose({name: text}), FRAME).columns), {name: whole[name]})


def test_a_symbol_added_changes_no_other_symbols_series() -> None:
    features = compose({name: text for name, text in EVERY.items() if name[0] == "R"})
    alone = evaluate(features, FRAME.part(0, 1)).columns
    same(dict(alone), {n: v[:200] for n, v in evaluate(features, FRAME).columns.items()})


def test_a_stop_is_heard_between_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PART", 100)
    asked = threading.Event()

    def checkpoint() -> None:
        if asked.is_set():
            raise HaltedError("Halted.", epoch=1, scope="all")
        asked.set()

    with pytest.raises(HaltedError):
        evaluate(compose({"A": "Mean($close, 5)"}), FRAME, checkpoint=checkpoint)
