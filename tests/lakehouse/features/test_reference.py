"""The language beside pyqlib 0.9.7: every value of its reference vectors, and our own golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.features import members
from lakehouse.features.build import OURS, QLIB
from lakehouse.features.evaluate import evaluate
from lakehouse.features.featureset import FeatureSet, compose
from lakehouse.features.frame import Frame
from lakehouse.features.operators import FIELDS
from tests.kit.panel import seeded

GOLDEN = Path(__file__).with_name("golden.json")


def named(name: str, semantics: str = QLIB) -> FeatureSet:
    return compose(members.expressions(name), labels=members.labels(name), semantics=semantics)


def close_to(ours: Any, theirs: Any, *, rel: float, name: str) -> None:
    """Compare where both are finite, to ``rel`` of at least 1e-3; masks must be the same."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert np.array_equal(np.isnan(ours), np.isnan(theirs)), name
    assert np.array_equal(np.isinf(ours), np.isinf(theirs)), name
    both = np.isfinite(theirs)
    far = np.abs(ours - theirs)[both] / np.maximum(np.abs(theirs[both]), 1e-3)
    assert far.max(initial=0.0) <= rel, name


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> tuple[Frame, pa.Table]:
    """Return three symbols as a frame, one of them with suspended days, and pyqlib's values."""
    table = pq.read_table(shared_data / "alpha158_dev.parquet")
    owners = table["instrument"].to_pylist()
    symbols = list(dict.fromkeys(owners))
    starts = np.cumsum([0, *(owners.count(symbol) for symbol in symbols)])
    times = table["datetime"].cast(pa.int64()).to_numpy()
    fields = {name: table[name].to_numpy() for name in FIELDS}
    return Frame(tuple(symbols), starts, times, fields), table


@pytest.mark.shared
def test_alpha158_and_its_label_are_pyqlibs(reference: tuple[Frame, pa.Table]) -> None:
    frame, table = reference
    found = evaluate(named("alpha158"), frame).columns
    assert list(found) == table.column_names[8:]
    for name, values in found.items():
        close_to(values, table[name].to_numpy(), rel=2e-4, name=name)


@pytest.mark.shared
def test_alpha360_is_pyqlibs(reference: tuple[Frame, pa.Table], shared_data: Path) -> None:
    frame, _ = reference
    table = pq.read_table(shared_data / "alpha360_dev_tail80.parquet")
    found = evaluate(named("alpha360"), frame).columns
    last = np.concatenate([np.arange(end - 80, end) for end in frame.starts[1:]])
    assert [name for name in found if name != "LABEL0"] == table.column_names[2:]
    for name in table.column_names[2:]:
        close_to(found[name][last], table[name].to_numpy(), rel=2e-4, name=name)


@pytest.mark.shared
def test_fifty_expressions_are_pyqlibs_from_the_row_at_which_it_begins(shared_data: Path) -> None:
    """pyqlib loads an expression's look-back and no more: its EMA and Delta depend on that."""
    body = json.loads((shared_data / "qlib_ops_dev.json").read_text())
    raw = {name: np.array(values, dtype=np.float32) for name, values in body["raw"].items()}
    start, end = body["start"], body["end"]
    assert len(body["expected"]) == 50
    for text, expected in body["expected"].items():
        ahead = ",-1)" in text
        one = {"X": text}
        features = compose({} if ahead else one, labels=one if ahead else {}, semantics=QLIB)
        until = end + features.reach.ahead
        frame = Frame(
            ("AAPLG",),
            np.array([0, until]),
            np.arange(until),
            {name: values[:until] for name, values in raw.items()},
        )
        found = evaluate(features, frame, first=np.array([start])).columns["X"]
        close_to(found[: end - start], np.array(expected, np.float64), rel=1e-6, name=text)


@pytest.mark.parametrize(
    ("name", "semantics"), [("alpha158", QLIB), ("alpha158", OURS), ("alpha360", QLIB)]
)
def test_the_named_sets_give_what_they_gave_before(name: str, semantics: str) -> None:
    """The last rows of a seeded panel with gaps; `write` makes the file anew."""
    expected = json.loads(GOLDEN.read_text())[f"{name} {semantics}"]
    found = picked(name, semantics)
    assert list(found) == list(expected)
    for feature, values in found.items():
        theirs = np.array(expected[feature], np.float64)
        close_to(values, theirs, rel=1e-5, name=feature)


def picked(name: str, semantics: str) -> dict[str, Any]:
    """Return the last two rows of two symbols of the seeded panel, every feature."""
    frame = seeded(symbols=2, rows=80, gaps=6)
    rows = np.concatenate([np.arange(end - 2, end) for end in frame.starts[1:]])
    found = evaluate(named(name, semantics), frame).columns
    return {feature: values[rows] for feature, values in found.items()}


def write() -> None:
    """Write the golden file anew."""
    body = {
        f"{name} {semantics}": {
            feature: [None if np.isnan(v) else float(f"{v:.7g}") for v in values]
            for feature, values in picked(name, semantics).items()
        }
        for name, semantics in (("alpha158", QLIB), ("alpha158", OURS), ("alpha360", QLIB))
    }
    GOLDEN.write_text(json.dumps(body, separators=(",", ":")).replace('},"', '},\n"') + "\n")
