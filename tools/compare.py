"""Runs side by side: statistics, specs, curves on one scale, and whether they may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ledger import specs
from ledger.runs import Run
from tools import curves, kept, lines
from tools.apps.labels import GROUPS, TILES
from tools.diff import Change, differences
from tools.registry import Office
from tools.results import Link
from tools.rows import cell
from topology.clock import rfc3339

FEWEST, MOST = 2, 8
POINTS = 200
CHANGES = 50
MANY = "Some of these were chosen among several trials: compare deflated ratios."
COMMON = 20
"""Common bars from which a correlation means something."""


class Comparison(BaseModel):
    """Columns of ``statistics`` and of ``curves`` are the runs in the order asked for.

    ``curves`` has a row per time: seconds UTC, and each run's equity over its own at the first
    common bar. ``correlation`` is that of bar returns on common bars, null below 20 of them.
    ``caveats`` say what makes the runs hard to compare; ``changes`` lead from the first run's
    spec to each other one.
    """

    model_config = ConfigDict(frozen=True)

    runs: list[dict[str, Any]]
    statistics: dict[str, list[Any]]
    changes: dict[str, list[Change]]
    caveats: list[str]
    common_bars: int
    correlation: list[list[float | None]]
    curves: list[list[float | None]]

    def links(self) -> list[Link]:
        """Return the page of each run."""
        return [
            Link(f"backtest://runs/{run['run_id']}/tearsheet", run["name"], mime="text/html")
            for run in self.runs
            if run["bars"]
        ]


def of_runs(office: Office, run_ids: Sequence[str]) -> Comparison:
    """Return the comparison of two to eight runs; `MissingError` for one that does not exist."""
    runs = [kept.read(office, run_id) for run_id in run_ids]
    bodies = [specs.get(office.pool, run.spec_sha256, kind=kept.KIND).body for run in runs]
    found = [lines.of_run(office, run) for run in runs]
    drawn = [(one.times, one.equity) for one in found]
    common = _common([times for times, _ in drawn])
    held = [equity[np.searchsorted(times, common)] for times, equity in drawn if len(times)]
    return Comparison(
        runs=[_head(run, one) for run, one in zip(runs, found, strict=True)],
        statistics=_statistics(runs),
        changes={
            run.run_id: differences(bodies[0], body)[:CHANGES]
            for run, body in zip(runs[1:], bodies[1:], strict=True)
        },
        caveats=_caveats(runs, bodies, len(common), held),
        common_bars=len(common),
        correlation=_correlation(held, drawn),
        curves=_rebased(common, held, drawn),
    )


def _head(run: Run, line: lines.Line) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "version": run.version,
        "status": run.status,
        "spec_hash": run.spec_sha256,
        "run_sha": run.run_sha,
        "result_sha": run.result_sha,
        "finished_at": None if run.finished_at is None else rfc3339(run.finished_at),
        "bars": len(line.times),
        "curve": line.name or None,
        "verdict": ((run.statistics or {}).get("verdict") or {}).get("grade"),
        "error": (run.error or {}).get("code"),
    }


def _statistics(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return each number that some run has, in the order of a tear sheet, the rest by name."""
    found = [run.statistics or {} for run in runs]
    shown = [name for rows in (TILES, *(rows for _, rows in GROUPS)) for _, name, _ in rows]
    other = {name for one in found for name, value in one.items() if _number(value)}
    return {
        name: [cell(one.get(name)) for one in found]
        for name in dict.fromkeys([*shown, *sorted(other)])
        if any(name in one for one in found)
    }


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _common(times: Sequence[curves.Ints]) -> curves.Ints:
    """Return the times that every run with a curve has."""
    drawn = [one for one in times if len(one)]
    if not drawn:
        return np.empty(0, dtype=np.int64)
    common = drawn[0]
    for one in drawn[1:]:
        common = np.intersect1d(common, one, assume_unique=True)
    return common


def _returns(equity: curves.Floats) -> curves.Floats:
    return curves.returns(equity[1:], start=float(equity[0]))


def _correlation(
    held: Sequence[curves.Floats], drawn: Sequence[tuple[curves.Ints, curves.Floats]]
) -> list[list[float | None]]:
    """Return the matrix of the runs; 1 on the diagonal, null where one has no or a flat curve."""
    place = _places(drawn)
    bars = len(held[0]) if held else 0

    def pair(a: int | None, b: int | None) -> float | None:
        if a is None or b is None or bars <= COMMON:
            return None
        first, second = _returns(held[a]), _returns(held[b])
        spread = float(first.std() * second.std())
        if spread <= curves.FLAT:
            return None
        covariance = float(((first - first.mean()) * (second - second.mean())).mean())
        return round(covariance / spread, 6)

    return [[pair(a, b) for b in place] for a in place]


def _places(drawn: Sequence[tuple[curves.Ints, curves.Floats]]) -> list[int | None]:
    """Return the place of each run among those with a curve, None for one without."""
    found: list[int | None] = []
    for times, _ in drawn:
        found.append(sum(place is not None for place in found) if len(times) else None)
    return found


def _rebased(
    common: curves.Ints,
    held: Sequence[curves.Floats],
    drawn: Sequence[tuple[curves.Ints, curves.Floats]],
) -> list[list[float | None]]:
    if not len(common):
        return []
    scaled = [one / one[0] if one[0] > 0 else np.full(len(one), np.nan) for one in held]
    chosen: set[int] = set()
    for one in scaled:
        chosen |= set(curves.thinned(one, most=POINTS).tolist())
    every = sorted(chosen)
    step = -(-len(every) // POINTS)
    kept_at = sorted({*every[::step], every[-1]})
    place = _places(drawn)
    return [
        [
            int(common[at] // 1_000_000_000),
            *(None if p is None else cell(round(float(scaled[p][at]), 6)) for p in place),
        ]
        for at in kept_at
    ]


def _caveats(
    runs: Sequence[Run],
    bodies: Sequence[dict[str, Any]],
    common: int,
    held: Sequence[curves.Floats],
) -> list[str]:
    """Return one sentence for each thing that differs beside what was meant to."""
    said = [
        f"{run.name} v{run.version} ({run.run_id}) is {run.status}"
        + (", with a partial result." if (run.statistics or {}).get("partial") else ".")
        for run in runs
        if run.status != "succeeded" or (run.statistics or {}).get("partial")
    ]
    if _differ(run.snapshot_ids for run in runs):
        said.append("The runs read different snapshots of the data.")
    if _differ((run.engine or {}).get("sources") for run in runs):
        said.append("The runs were computed by different versions of the engine.")
    said += [
        f"The specs differ in {part}, not in the strategy alone."
        for part in ("data", "universe", "execution", "portfolio")
        if _differ(body.get(part) for body in bodies)
    ]
    if len(held) > 1 and common <= COMMON:
        said.append(f"The runs share {common} bars: too few for curves and correlation.")
    counted = [(run.statistics or {}).get("trials_counted") for run in runs]
    if any(isinstance(count, int) and count > 1 for count in counted):
        said.append(MANY)
    return said


def _differ(values: Any) -> bool:
    found = list(values)
    return any(value != found[0] for value in found[1:])
