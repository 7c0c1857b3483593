"""What changed between two JSON values, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict


class Change(BaseModel):
    """One path whose value differs; a side that lacks it is null and ``how`` says so."""

    model_config = ConfigDict(frozen=True)

    path: str
    how: str
    before: Any
    after: Any


def differences(before: Any, after: Any) -> list[Change]:
    """Return the changes that lead from ``before`` to ``after``, in path order.

    Objects are compared key by key and lists place by place; ``1`` and ``1.0`` are one number, as
    in canonical JSON, while ``1`` and ``true`` are not.
    """
    return sorted(_walk("", before, after), key=lambda change: change.path)


def _walk(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _member(f"{path}.{key}" if path else str(key), key, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        left, right = dict(enumerate(before)), dict(enumerate(after))
        for index in {**left, **right}:
            yield from _member(f"{path}[{index}]", index, left, right)
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield Change(path=path, how="changed", before=before, after=after)


def _member(path: str, key: Any, before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[Change]:
    if key not in before:
        yield Change(path=path, how="added", before=None, after=after[key])
    elif key not in after:
        yield Change(path=path, how="removed", before=before[key], after=None)
    else:
        yield from _walk(path, before[key], after[key])
