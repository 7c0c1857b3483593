"""Families of windows on arrays: each kernel called once for all that is asked of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakehouse.features.frame import Array, Ints
from lakehouse.features.kernels import extremes, moments, ordered, pairs, smooth, trend
from lakehouse.features.kernels.compiled import Floats, carried
from lakehouse.features.plan import Family

Empty = Callable[[tuple[int, ...]], Floats]
"""Makes a float64 array of a shape, or takes one that is not needed any more."""
Columns = dict[tuple[str | float, int], Array]
"""Each statistic and window of a family, float64 (R,)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A series as kernels take it: ``z`` with 0 for nothing, ``m`` 1 or 0, ``c`` the last value."""

    z: Floats
    m: Floats
    c: Floats


def prepared(x: Array, starts: Ints) -> Prepared:
    """Return a series of any type as float64; infinities count as nothing, as in pandas."""
    values = x.astype(np.float64)
    held = np.isfinite(values)
    z, m = np.where(held, values, 0.0), held.astype(np.float64)
    return Prepared(z, m, carried(z, m, starts))


def _by_modes(
    kernel: Callable[..., None], codes: Mapping[str, int]
) -> Callable[[list[Prepared], Ints, Family, Empty], Columns]:
    def run(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
        x = inputs[0]
        modes = sorted(str(mode) for mode in asked.modes)
        windows = np.array(sorted(asked.windows), dtype=np.int64)
        out = empty((len(modes), windows.size, x.z.size))
        chosen = np.array([codes[mode] for mode in modes], dtype=np.int64)
        kernel(x.z, x.m, x.c, starts, windows, chosen, out)
        return _named(modes, windows, out)

    return run


def _named(modes: Sequence[str | float], windows: Ints, out: Floats) -> Columns:
    return {
        (mode, int(window)): out[p, w]
        for p, mode in enumerate(modes)
        for w, window in enumerate(windows)
    }


def _extremes(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
    windows = np.array(sorted(asked.windows), dtype=np.int64)
    modes = sorted(str(mode) for mode in asked.modes)
    out = empty((len(modes), windows.size, inputs[0].z.size))
    for p, mode in enumerate(modes):
        code = getattr(extremes, mode)
        extremes.extremes(inputs[0].z, inputs[0].m, starts, windows, code, out[p])
    return _named(modes, windows, out)


def _ranks(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
    windows = np.array(sorted(asked.windows), dtype=np.int64)
    out = empty((1, windows.size, inputs[0].z.size))
    extremes.ranks(inputs[0].z, inputs[0].m, starts, windows, out[0])
    return _named(["RANK"], windows, out)


def _pairs(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
    left, right = inputs
    m = left.m * right.m
    x, y = left.z * m, right.z * m
    modes = sorted(str(mode) for mode in asked.modes)
    windows = np.array(sorted(asked.windows), dtype=np.int64)
    out = empty((len(modes), windows.size, m.size))
    codes = np.array([getattr(pairs, mode) for mode in modes], dtype=np.int64)
    last = (carried(x, m, starts), carried(y, m, starts))
    pairs.pairs(x, y, m, *last, starts, windows, codes, out)
    return _named(modes, windows, out)


def _quantiles(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
    windows = np.array(sorted(asked.windows), dtype=np.int64)
    qs = np.array(sorted(float(mode) for mode in asked.modes))
    out = empty((qs.size, windows.size, inputs[0].z.size))
    ordered.quantiles(inputs[0].z, inputs[0].m, starts, windows, qs, out)
    return _named(qs.tolist(), windows, out)


def _decayed(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
    alphas = np.array(sorted(float(mode) for mode in asked.modes))
    out = empty((alphas.size, inputs[0].z.size))
    smooth.decayed(inputs[0].z, inputs[0].m, starts, alphas, out)
    window = next(iter(asked.windows))
    return {(alpha, window): out[p] for p, alpha in enumerate(alphas.tolist())}


def _expanded(inputs: list[Prepared], starts: Ints, asked: Family, empty: Empty) -> Columns:
    out = empty((inputs[0].z.size,))
    smooth.expanded(inputs[0].z, inputs[0].m, starts, out)
    return {("EMA", window): out for window in asked.windows}


def deviations(x: Prepared, means: Columns, starts: Ints, asked: Family, empty: Empty) -> Columns:
    """Return the mean absolute deviations; ``means`` hold the windows' means."""
    windows = np.array(sorted(asked.windows), dtype=np.int64)
    around = np.stack([means["MEAN", int(window)] for window in windows])
    out = empty((1, windows.size, x.z.size))
    ordered.deviations(x.z, x.m, around, starts, windows, out[0])
    return _named(["MAD"], windows, out)


_TOTALS = {name: getattr(moments, name) for name in ("SUM", "MEAN")}
_SPREADS = {name: getattr(moments, name) for name in ("VAR", "STD")}
_SHAPES = {name: getattr(moments, name) for name in ("SKEW", "KURT")}
_TRENDS = {name: getattr(trend, name) for name in ("SLOPE", "RSQUARE", "RESI", "WMA", "WMA_QLIB")}
KERNELS: dict[str, Callable[[list[Prepared], Ints, Family, Empty], Columns]] = {
    "totals": _by_modes(moments.totals, _TOTALS),
    "counts": _by_modes(moments.totals, _TOTALS),
    "spreads": _by_modes(moments.spreads, _SPREADS),
    "shapes": _by_modes(moments.shapes, _SHAPES),
    "trends": _by_modes(trend.trends, _TRENDS),
    "extremes": _extremes,
    "ranks": _ranks,
    "pairs": _pairs,
    "quantiles": _quantiles,
    "decayed": _decayed,
    "expanded": _expanded,
}
"""What computes each family but ``deviations``, which needs the means as well."""
