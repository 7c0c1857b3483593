"""Whom our topk_dropout sells and buys, beside pyqlib's own class on random scores and holes.

Not a race: the figure is the share of days on which both trade the same symbols, which must be all.
The suite compares with what the same script said of one set of scores (`topk_dropout.json`).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.bench_features import QLIB
from tests.benchmarks.peers import AbsentError
from tests.kit.topk import CASES, traded

SCRIPT = Path(__file__).with_name("peer_topk.py")
DAYS, SYMBOLS = 500, 40


def ask(seed: int) -> dict[str, Any]:
    """Return random scores, of which some are missing, and who can be traded when."""
    rng = np.random.default_rng(seed)
    scores = np.cumsum(rng.normal(size=(DAYS, SYMBOLS)), axis=0) * 0.2 + rng.normal(
        size=(DAYS, SYMBOLS)
    )
    gone = rng.random(scores.shape) < 0.05
    rows = [
        [None if lost else value for value, lost in zip(*row, strict=True)]
        for row in zip(scores.tolist(), gone.tolist(), strict=True)
    ]
    return {
        "scores": rows,
        "tradable": (rng.random(scores.shape) >= 0.1).tolist(),
        "cases": CASES,
    }


def main() -> None:
    """Print the share of days that agree."""
    asked = ask(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ask.json"
            path.write_text(json.dumps(asked))
            theirs = QLIB.run(SCRIPT, str(path))["trades"]
    except AbsentError as error:
        print(json.dumps({"name": "topk_dropout against pyqlib", "absent": str(error)}))
        return
    ours = traded(asked)
    cases = zip(ours, theirs, strict=True)
    same = [a == b for case in cases for a, b in zip(*case, strict=True)]
    assert all(same), "topk_dropout and pyqlib trade differently"
    print(
        json.dumps(
            {
                "name": "topk_dropout against pyqlib, days that agree",
                "ours": len(same),
                "peer": len(same),
                "ratio": 1.0,
            }
        )
    )


if __name__ == "__main__":
    main()
