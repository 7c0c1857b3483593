"""Provider ``sample``: five US stocks, 2000 to 2013, daily and unadjusted, in the public domain.

The file comes with the package bokeh_sampledata, which is found but never imported beyond its
light ``__init__``. It is pinned by hash: facts below were checked against this very file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.errors import ProviderError
from lakehouse.providers import archives, readers
from lakehouse.providers.base import Fact, Payload, Reading, Request
from lakehouse.providers.paths import File

SHA256 = "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd"
SYMBOLS = {
    "AAPL": "AAPL.NASDAQ",
    "FB": "FB.NASDAQ",
    "GOOG": "GOOG.NASDAQ",
    "IBM": "IBM.NYSE",
    "MSFT": "MSFT.NASDAQ",
}
TABLE = "alphaswarm_bronze_sample.stocks"
READING = Reading(
    columns={"vt_symbol": "Ticker", "timestamp": "Date"},
    timezone="America/New_York",
    close="16:00",
)
SAME = 1e-9
"""Two ratios closer than this are one factor: noise is below 1e-13, events are above 1e-4."""
SPLIT = 2.0
"""The only split ratio in this file; every other jump is a dividend."""


class Sample:
    """Brings the whole file in; ``symbols`` of the request choose what becomes silver."""

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Read the packaged file; a missing or a different one raises ``provider_error``."""
        source = _file()
        digest = archives.digest(source)
        if digest != SHA256:
            raise ProviderError(
                "The sample data is not the file that this version was checked against.",
                hint="Install bokeh-sampledata==2026.1 again.",
                wanted_sha256=SHA256,
                found_sha256=digest,
            )
        reader = readers.reader(source)
        yield Payload(TABLE, SHA256, "sample", reader.schema, reader.batches)

    def reading(self, request: Request) -> Reading:
        """Return the file's own reading: its days end at 16:00 in New York."""
        return READING

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows with the listing exchange behind each ticker."""
        tickers = pa.array(SYMBOLS), pa.array(SYMBOLS.values())
        names = pc.take(tickers[1], pc.index_in(rows.column("Ticker"), tickers[0]))
        return rows.set_column(rows.schema.get_field_index("Ticker"), "Ticker", names)

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return the file's adjustments."""
        batches = readers.reader(_file()).batches()
        return {"adjustments": self.adjustments(pa.Table.from_batches([b.rows for b in batches]))}

    def adjustments(self, rows: pa.Table) -> pa.Table:
        """Return one row per run of equal ``Adj Close / Close``, dated at the run's last day.

        The last run of a symbol has factor 1: later events than the file's end are taken out.
        """
        rows = self.rows(rows).sort_by([("Ticker", "ascending"), ("Date", "ascending")])
        ratio = _numbers(rows, "Adj Close") / _numbers(rows, "Close")
        owners = np.asarray(rows.column("Ticker").to_pylist())
        last = np.append((np.abs(ratio[1:] / ratio[:-1] - 1) > SAME) | _changes(owners), [True])
        ends = np.flatnonzero(last)
        factors = [_factors(ratio[ends][owners[ends] == name]) for name in np.unique(owners)]
        return pa.table(
            {
                "vt_symbol": pa.array(owners[ends].tolist(), pa.string()),
                "date": rows.column("Date").take(pa.array(ends)).cast(pa.date32()),
                "price_factor": np.concatenate([price for price, _ in factors]),
                "split_factor": np.concatenate([split for _, split in factors]),
            }
        )


def _changes(owners: NDArray[np.str_]) -> NDArray[np.bool_]:
    return np.asarray(owners[1:] != owners[:-1], dtype=np.bool_)


def _factors(levels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return price and split factor per run (R,) from the ratio of each, oldest first.

    Walking back from the last run, a jump by `SPLIT` halves the split factor and any other jump
    belongs to the price factor; their product is the ratio over the last ratio.
    """
    jumps = levels[:-1] / levels[1:]
    splits = np.abs(jumps * SPLIT - 1) < SAME
    split = np.cumprod(np.append(1.0, np.where(splits, 1 / SPLIT, 1.0)[::-1]))[::-1]
    price = np.cumprod(np.append(1.0, np.where(splits, 1.0, jumps)[::-1]))[::-1]
    return price, split


def _numbers(rows: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(rows.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _file() -> File:
    try:
        package = files("bokeh_sampledata")
        with as_file(package / "_data" / "stocks.csv.gz") as place:
            facts = place.stat()
    except (ModuleNotFoundError, OSError) as error:
        raise ProviderError(
            "The sample data is not installed.",
            hint="Install bokeh-sampledata==2026.1, or run `make demo` again.",
        ) from error
    return File("stocks.csv.gz", place, facts.st_size, facts.st_mtime_ns)
