"""Runs in pyqlib's environment: its own data files, its own expression engine, timed.

``peer_qlib.py FOLDER``: FOLDER holds ``frame.npz`` (fields (N, T) float32) and ``ask.json`` with
``fields`` (expressions), ``rounds`` and ``runs``: [label, cores, first row]. Values are left in
``<label>.npy`` (N, T', F) float32 for each run, the best seconds by label are printed as JSON.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def dump(folder: Path, fields: dict[str, Any]) -> list[str]:
    """Write qlib's binary files and return the days."""
    first = next(iter(fields.values()))
    days = np.datetime_as_string(np.datetime64("2000-01-03") + np.arange(first.shape[1]), "D")
    root = folder / "qlib"
    shutil.rmtree(root, ignore_errors=True)
    for part in ("calendars", "instruments", "features"):
        (root / part).mkdir(parents=True)
    (root / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    names = [f"s{i:04d}" for i in range(first.shape[0])]
    listing = "".join(f"{name}\t{days[0]}\t{days[-1]}\n" for name in names)
    (root / "instruments" / "all.txt").write_text(listing)
    for i, name in enumerate(names):
        (root / "features" / name).mkdir()
        for field, values in fields.items():
            column = np.concatenate(([0.0], values[i])).astype("<f4")
            column.tofile(root / "features" / name / f"{field}.day.bin")
    return list(days)


def main(folder: Path) -> None:
    """Time each question and print the seconds."""
    ask = json.loads((folder / "ask.json").read_text())
    with np.load(folder / "frame.npz") as held:
        fields = {name: held[name] for name in held.files}
    days = dump(folder, fields)
    import qlib
    from qlib.data import D
    from qlib.data.cache import H

    seconds: dict[str, float] = {}
    names = [f"s{i:04d}" for i in range(next(iter(fields.values())).shape[0])]
    for label, cores, start in ask["runs"]:
        qlib.init(
            provider_uri=str(folder / "qlib"),
            region="us",
            kernels=cores,
            logging_level=logging.ERROR,
            expression_cache=None,
            dataset_cache=None,
        )
        took: list[float] = []
        frame: Any = None
        for _ in range(ask["rounds"]):
            H.clear()
            began = time.perf_counter()
            frame = D.features(names, ask["fields"], start_time=days[start], end_time=days[-1])
            took.append(time.perf_counter() - began)
        seconds[label] = min(took)
        values = frame.to_numpy(dtype=np.float32).reshape(len(names), len(days) - start, -1)
        np.save(folder / f"{label}.npy", values)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
