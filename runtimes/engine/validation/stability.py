"""How much of a sweep's result hangs on single values of its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CELLS = 10_000
"""A heatmap with more cells is left out: it is a picture for eyes."""


def by_value(
    params: Sequence[Mapping[str, Any]], values: Sequence[float | None]
) -> dict[str, list[dict[str, Any]]]:
    """Return by path, for each value that was tried: mean, best and number of ``values``.

    A plateau of similar means can be believed; one value that stands out alone cannot. None (no
    value) does not count; a path with more than 100 values is drawn at random and is left out.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted({path for own in params for path in own}):
        groups: dict[str, list[float]] = {}
        for own, value in zip(params, values, strict=True):
            group = groups.setdefault(json.dumps(own[path], sort_keys=True), [])
            group += [] if value is None else [value]
        if len(groups) <= 100:
            found[path] = [_group(text, numbers) for text, numbers in groups.items()]
    return found


def heatmap(
    params: Sequence[Mapping[str, Any]], values: Sequence[float | None]
) -> dict[str, Any] | None:
    """Return ``{x, y, columns, rows, values}`` of a sweep over two paths, else None.

    ``values[r][c]`` belongs to the r-th value of ``y`` and the c-th of ``x``, None where there was
    no such trial.
    """
    paths = sorted({path for own in params for path in own})
    if len(paths) != 2:
        return None
    y, x = paths
    rows, columns = ({json.dumps(own[path]): own[path] for own in params} for path in (y, x))
    if len(rows) * len(columns) > CELLS:
        return None
    grid: list[list[float | None]] = [[None] * len(columns) for _ in rows]
    row_of, column_of = (
        {text: place for place, text in enumerate(found)} for found in (rows, columns)
    )
    for own, value in zip(params, values, strict=True):
        grid[row_of[json.dumps(own[y])]][column_of[json.dumps(own[x])]] = value
    return {
        "x": x,
        "y": y,
        "columns": list(columns.values()),
        "rows": list(rows.values()),
        "values": grid,
    }


def slope(inside: Sequence[float | None], outside: Sequence[float | None]) -> float | None:
    """Return the least-squares slope of ``outside`` on ``inside`` over pairs that both have."""
    pairs = [
        (a, b) for a, b in zip(inside, outside, strict=True) if a is not None and b is not None
    ]
    x, y = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if x.size < 2 or not np.ptp(x) > 0:
        return None
    centred = x - x.mean()
    return float((centred * (y - y.mean())).sum() / (centred**2).sum())


def _group(text: str, numbers: list[float]) -> dict[str, Any]:
    return {
        "value": json.loads(text),
        "trials": len(numbers),
        "mean": float(np.mean(numbers)) if numbers else None,
        "best": max(numbers) if numbers else None,
    }
