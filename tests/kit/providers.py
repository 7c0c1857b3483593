"""One set-up per data provider, for the suite that all of them must pass.

A set-up makes the smallest source that a provider can read, hands out the spec of an ingest of it,
and can spoil the source, so that what is fetched afterwards is broken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lakehouse.providers import sample
from tests.kit import leanfolder
from tests.kit.lake import BARS, NOW

HEADER = "vt_symbol,timestamp,open,high,low,close,volume\n"


@dataclass(frozen=True)
class Setup:
    """A source ready to be ingested: ``spoil`` breaks it, ``secrets`` must never be shown."""

    spec: Mapping[str, Any]
    folder: Path
    spoil: Callable[[], None]
    secrets: Sequence[str] = ()
    remote: Any = None
    now: dt.datetime = NOW


MakeSetup = Callable[[Path, pytest.MonkeyPatch], AbstractContextManager[Setup]]


@contextmanager
def files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """Three files of a folder, one packed and one with a line that is none."""
    eod = folder / "eod"
    eod.mkdir()
    for place, symbol in enumerate(("AAPL.NASDAQ", "IBM.NYSE", "MSFT.NASDAQ")):
        rows = "".join(f"{symbol},2024-01-0{day},10,12,9,11,100\n" for day in (2, 3, 4))
        (eod / f"{place}.csv").write_text(f"{HEADER}{rows}short\n")

    def spoil() -> None:
        (eod / "2.csv").write_bytes(f"{HEADER}MSFT.NASDAQ,\xe9".encode("latin-1"))

    yield Setup({"provider": "files", "table": BARS, "path": "eod"}, folder, spoil)


@contextmanager
def lean(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """Two US tickers of which one had another name before, with its factors."""
    data = folder / "Data"
    leanfolder.maps(data, "usa", {"meta": ["20120518,fb,Q", "20220608,fb,Q", "20501231,meta,Q"]})
    leanfolder.factors(data, "usa", {"meta": ["20120518,1,0.5,30", "20501231,1,1,0"]})
    daily = data / "equity" / "usa" / "daily"
    for ticker, day in (("fb", 8), ("meta", 9), ("ibm", 9)):
        start = dt.datetime(2022, 6, day)  # noqa: DTZ001  a clock in New York
        rows: list[leanfolder.Row] = [(start, [100.0, 101.0, 99.0, 100.5, 7])]
        place = daily / f"{ticker}.zip"
        leanfolder.whole(place, rows, prices=range(4), scale=leanfolder.DECI_CENTS)

    def spoil() -> None:
        (daily / "meta.zip").write_bytes((daily / "meta.zip").read_bytes()[:-20])

    yield Setup({"provider": "lean", "table": BARS, "path": "Data"}, folder, spoil)


@contextmanager
def stocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """The packaged sample; it is spoiled by expecting another file."""

    def spoil() -> None:
        monkeypatch.setattr(sample, "SHA256", "0" * 64)

    yield Setup({"provider": "sample", "table": BARS}, folder, spoil)


LOCAL: Mapping[str, MakeSetup] = {"files": files, "lean": lean, "sample": stocks}
