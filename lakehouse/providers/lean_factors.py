"""Lean's factor files as adjustments, and its map files as the history of tickers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from lakehouse.providers.lean_identity import LAST, Identities, day, texts, wrong
from lakehouse.providers.lean_layout import FACTORS

ADJUSTMENTS = pa.schema(
    [
        ("vt_symbol", pa.string()),
        ("date", pa.date32()),
        ("price_factor", pa.float64()),
        ("split_factor", pa.float64()),
    ]
)
SYMBOL_MAP = pa.schema(
    [
        ("vt_symbol", pa.string()),
        ("ticker", pa.string()),
        ("exchange", pa.string()),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
    ]
)


def adjustments(
    root: Path,
    of: Mapping[tuple[str, str], Identities],
    wanted: Collection[str],
    allowed: Sequence[Path],
) -> pa.Table:
    """Return the factors of the symbols ``wanted``, as Lean writes them.

    A price times both factors of the first row dated on or after it is adjusted. Rows that Lean
    marks as beyond use (an infinite factor) are left out.
    """
    rows: list[dict[str, object]] = []
    for (security, market), known in sorted(of.items()):
        for name, text in texts(root / security / market / FACTORS, FACTORS, allowed):
            own = f"{name.upper()}.{market.upper()}"
            symbol = known.permanent.get(name.upper(), own)
            if symbol in wanted:
                rows += _factors(name, text, symbol)
    return pa.Table.from_pylist(rows, schema=ADJUSTMENTS)


def symbol_map(of: Iterable[Identities], wanted: Collection[str]) -> pa.Table:
    """Return which tickers the symbols ``wanted`` had from when to when."""
    rows = [
        {
            "vt_symbol": claim.vt_symbol,
            "ticker": claim.ticker,
            "exchange": claim.exchange,
            "valid_from": claim.first,
            "valid_to": None if claim.last == LAST else claim.last,
        }
        for known in of
        for claims in known.claims.values()
        for claim in claims
        if claim.vt_symbol in wanted
    ]
    table = pa.Table.from_pylist(rows, schema=SYMBOL_MAP)
    return table.sort_by([("vt_symbol", "ascending"), ("valid_from", "ascending")])


def _factors(name: str, text: str, symbol: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for line, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not any(value.strip() for value in row):
            continue
        try:
            date, price, split = day(row[0]), float(row[1]), float(row[2])
        except (ValueError, IndexError) as error:
            raise wrong(f"{name}.csv", line, "factor files") from error
        if math.isfinite(price) and math.isfinite(split):
            rows.append(
                {"vt_symbol": symbol, "date": date, "price_factor": price, "split_factor": split}
            )
    return rows
