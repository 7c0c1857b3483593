"""A look at payloads before anything is written: is any row a bar, is each wanted symbol there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lakehouse import conform
from lakehouse.clean import REASONS
from lakehouse.errors import SchemaMismatchError
from lakehouse.staging import Staging
from lakehouse.work import Work
from topology.errors import UnknownNameError, did_you_mean, nearest

SHOWN = 3
"""Rejects in the error of payloads without a good row."""


def refuse_hopeless(work: Work) -> None:
    """Raise when no row is good or a wanted symbol is missing.

    Looks no further than it must: at the first rows, where they are good.
    """
    with work.staging() as probe:
        named = () if work.request.fact else work.request.symbols or ()
        wanted = {symbol for symbol in named if work.request.since(symbol) is None}
        for payload in work.fresh:
            no = work.numbers[payload.sha256]
            for some in payload.numbered():
                work.run.progress.checkpoint()
                probe.broken(no, some.broken)
                if some.rows.num_rows:
                    rows = pa.Table.from_batches([work.raw(payload, some.rows)])
                    nos = pa.array(np.full(rows.num_rows, no), pa.int32())
                    conform.conform(work, probe, rows.append_column("_no", nos))
                conform.rename(work, probe)
                if _good(work, probe) and wanted <= set(probe.symbols()):
                    return
        if not _good(work, probe):
            raise _hopeless(probe)
        _refuse_missing(wanted, probe.symbols())


def _good(work: Work, probe: Staging) -> int:
    """Return how many good rows there are."""
    return sum(rows.num_rows for rows in probe.facts) if work.request.fact else probe.count()


def _refuse_missing(wanted: set[str], found: Sequence[str]) -> None:
    """Raise ``unknown_name`` for a wanted symbol that the payloads lack."""
    for symbol in sorted(wanted - set(found)):
        raise UnknownNameError(
            f"The data has no bars of {symbol[:64]!r}.",
            hint=did_you_mean(symbol[:64], found),
            value=symbol[:64],
            nearest=nearest(symbol[:64], found),
        )


def _hopeless(probe: Staging) -> SchemaMismatchError:
    """Return the error for payloads without a good row: the reading is wrong, not the rows."""
    reasons: dict[str, int] = {}
    for counted in probe.reasons().values():
        for reason, count in counted.items():
            reasons[reason] = reasons.get(reason, 0) + count
    rejects = next(some for some in probe.rejects() if some.num_rows)
    first = rejects.slice(0, SHOWN).select(["_row", "reason", "detail"])
    mostly = max(reasons, key=lambda reason: reasons[reason])
    return SchemaMismatchError(
        f"None of {sum(reasons.values())} rows is a bar.",
        hint=f"Mostly: {REASONS[mostly]}.",
        reasons=dict(sorted(reasons.items())),
        examples=[{"row": row.pop("_row"), **row} for row in first.to_pylist()],
    )
