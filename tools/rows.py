"""Tables as JSON: what NaN, times and days become, capped so that they fit a conversation."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.results import MOST_CHARACTERS, preview
from topology.clock import rfc3339


class Rows(BaseModel):
    """Rows of a table; ``row_count`` counts ``rows``, ``truncated`` says that there are more."""

    model_config = ConfigDict(frozen=True)

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    snapshot_ids: dict[str, str]


def capped(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    most_rows: int,
    most_characters: int = MOST_CHARACTERS,
    snapshot_ids: Mapping[str, str],
    more: bool = False,
) -> Rows:
    """Return ``rows`` within both caps; ``more`` says that the source itself was cut."""
    kept, cut = preview(
        ([cell(value) for value in row] for row in rows),
        most_rows=most_rows,
        most_characters=most_characters,
    )
    return Rows(
        columns=list(columns),
        rows=kept,
        row_count=len(kept),
        truncated=cut or more,
        snapshot_ids=dict(snapshot_ids),
    )


def cell(value: Any) -> Any:
    """Return a value as JSON: NaN null, times RFC 3339, integers beyond 2^53 as text."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return rfc3339(value if value.tzinfo else value.replace(tzinfo=dt.UTC))
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): cell(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cell(item) for item in value]
    return str(value)
