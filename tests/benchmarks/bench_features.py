"""Alpha158 beside pyqlib 0.9.7 on the same bars, and its whole operator set compared by value.

pyqlib runs in its own environment (`tests.benchmarks.peers`), on data files of its own format,
with warm disk caches and cold memory caches; ours gets the same float32 arrays. Seconds, best of
`ROUNDS` (of two for pyqlib), close in time; ratio = ours / pyqlib, so 0.033 is thirty times faster.
Values must agree before anything is timed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes.engine import identity
from tests.benchmarks.peers import AbsentError, Peer

if TYPE_CHECKING:
    from lakehouse.features.featureset import FeatureSet
    from lakehouse.features.frame import Frame

QLIB = Peer("qlib", ("pyqlib==0.9.7", "numpy==2.4.6", "pandas==3.1.1"))
SCRIPT = Path(__file__).with_name("peer_qlib.py")
SYMBOLS, ROWS, ROUNDS, LAST = 50, 1_000, 3, 61
CORES = os.cpu_count() or 1
LIMIT = 1 / 30
"""At least thirty times faster, on one core and on all."""


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of `ROUNDS` calls."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def asked(folder: Path, frame: Frame, texts: list[str], runs: list[tuple[str, int, int]]) -> Any:
    """Return pyqlib's seconds by label; values are left in the folder."""
    shape = (len(frame.symbols), -1)
    fields: Any = {name: values.reshape(shape) for name, values in frame.fields.items()}
    np.savez(folder / "frame.npz", **fields)
    ask = {"fields": texts, "rounds": 2, "runs": runs}
    (folder / "ask.json").write_text(json.dumps(ask))
    return QLIB.run(SCRIPT, str(folder))


def refuse_difference(ours: Any, theirs: Any, name: str, *, rel: float) -> None:
    """Fail unless both agree to ``rel`` (floor 1e-3), NaN and infinities in the same places."""
    assert np.array_equal(np.isnan(ours), np.isnan(theirs)), f"NaN differ: {name}"
    assert np.array_equal(np.isinf(ours), np.isinf(theirs)), f"infinities differ: {name}"
    both = np.isfinite(theirs)
    far = np.abs(ours[both] - theirs[both]) / np.maximum(np.abs(theirs[both]), 1e-3)
    assert far.max(initial=0.0) <= rel, f"{name}: {far.max()}"


def every_operator() -> list[str]:
    """Return calls of all operators that pyqlib has, over several windows and inputs."""
    from lakehouse.features.operators import OPERATORS

    texts = ["Abs($close-$open)", "Sign($close-$open)", "Log($volume)", "Not($close>$open)"]
    texts += [f"{name}($close, $open)" for name in ("Add", "Sub", "Mul", "Div", "Less", "Greater")]
    texts += ["Power($close, 2)", "If($close>$open, $high, 0)", "$close != Ref($close, 1)"]
    texts += [f"($close {sign} $open)" for sign in (">", ">=", "<", "<=", "==")]
    texts += ["And($close>$open, $high>51)", "($close>$open) | ($volume>0)"]
    for name, operator in OPERATORS.items():
        if not operator.windows:
            continue
        second = ", $volume" if operator.family == "pair rolling" else ""
        extra = ", 0.3" if name == "Quantile" else ""
        windows = [w for w in (1, 2, 3, 5, 20) if w >= operator.least]
        windows += [0] if operator.windows != "whole" and name != "Delta" else []
        texts += [f"{name}($close{second}, {window}{extra})" for window in windows]
        if operator.windows == "decay":
            texts.append(f"{name}($close, 0.2)")
        if not second and name not in ("Ref", "Delta"):
            texts.append(f"{name}($close>Ref($close, 1), 6{extra})")
    return list(dict.fromkeys(texts))


def compare_operators(folder: Path) -> None:
    """Fail unless every operator gives pyqlib's values, from the first row and from a later one."""
    from lakehouse.features.evaluate import evaluate
    from lakehouse.features.featureset import compose
    from tests.kit.panel import seeded

    frame, texts = seeded(symbols=4, rows=150, gaps=12), every_operator()
    features = compose({f"X{i}": t for i, t in enumerate(texts)}, semantics="qlib-0.9.7")
    asked(folder, frame, texts, [("first", 1, 0), ("later", 1, 90)])
    for label, first in (("first", 0), ("later", 90)):
        theirs = np.load(folder / f"{label}.npy")
        found = evaluate(features, frame, first=np.full(4, first)).columns
        for i, text in enumerate(texts):
            ours = found[f"X{i}"].reshape(4, -1)
            refuse_difference(ours, theirs[:, :, i], f"{text} ({label})", rel=1e-5)
    say("expressions that equal pyqlib's", len(texts), len(texts))


def say(name: str, ours: float, peer: float | None, **more: Any) -> None:
    """Print one figure."""
    ratio = None if peer is None else ours / peer
    print(json.dumps({"name": name, "ours": ours, "peer": peer, "ratio": ratio} | more), flush=True)


def alpha158() -> tuple[FeatureSet, list[str]]:
    """Return the set, composed and as text."""
    from lakehouse.features import members
    from lakehouse.features.featureset import compose

    texts = members.expressions("alpha158")
    return compose(texts, semantics="qlib-0.9.7"), list(texts.values())


def race(folder: Path) -> None:
    """Time Alpha158 over all rows on one core and on all, and the last row alone."""
    from lakehouse.features.evaluate import evaluate
    from tests.kit.panel import seeded

    features, texts = alpha158()
    frame = seeded(symbols=SYMBOLS, rows=ROWS, gaps=20)
    tail = frame.since(np.full(SYMBOLS, ROWS - LAST))
    first = np.full(SYMBOLS, LAST - 1)
    whole = evaluate(features, frame)
    runs = [("one", 1, 0), ("all", CORES, 0), ("last", 1, ROWS - 1)]
    before = best(lambda: evaluate(features, frame))
    theirs = asked(folder, frame, texts, runs)
    values = np.load(folder / "one.npy")
    for i, (name, ours) in enumerate(whole.columns.items()):
        refuse_difference(ours.reshape(SYMBOLS, -1), values[:, :, i], name, rel=2e-4)
    one = min(before, best(lambda: evaluate(features, frame)))
    every = best(lambda: evaluate(features, frame, threads=CORES))
    last = best(lambda: evaluate(features, tail, first=first))
    rows = {"rows": frame.rows, "rows_per_s": round(frame.rows / one)}
    say("Alpha158, one core / pyqlib", one, theirs["one"], limit=LIMIT, **rows)
    say("Alpha158, all cores / pyqlib", every, theirs["all"], limit=LIMIT, cores=CORES)
    say("last row, incremental / pyqlib's whole", last, theirs["one"], limit=LIMIT, rows=SYMBOLS)
    say("last row, incremental / pyqlib's last row", last, theirs["last"], limit=LIMIT)


def ours_alone() -> None:
    """Print our own figures where pyqlib cannot be installed."""
    from lakehouse.features.evaluate import evaluate
    from tests.kit.panel import seeded

    features, _ = alpha158()
    frame = seeded(symbols=SYMBOLS, rows=ROWS, gaps=20)
    evaluate(features, frame)
    say("Alpha158, one core (pyqlib absent)", best(lambda: evaluate(features, frame)), None)


def main() -> None:
    """Print one line per comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity.prepare(folder)
        began = time.perf_counter()
        features, _ = alpha158()
        from lakehouse.features.evaluate import evaluate
        from tests.kit.panel import seeded

        evaluate(features, seeded(symbols=1, rows=100))
        say("features compile, once", time.perf_counter() - began, None)
        try:
            QLIB.python()
        except AbsentError as error:
            print(f"pyqlib cannot be installed here: {error}", file=sys.stderr)
            ours_alone()
            return
        compare_operators(folder)
        race(folder)


if __name__ == "__main__":
    main()
