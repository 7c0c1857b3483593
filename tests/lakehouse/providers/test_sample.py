"""The sample: facts of five US stocks, checked against what is publicly known of them."""

from __future__ import annotations

import datetime as dt
import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse.adjust import adjusted
from lakehouse.errors import ProviderError
from lakehouse.providers import PROVIDERS, sample
from lakehouse.providers.base import Payload, Request
from lakehouse.providers.sample import READING, Sample
from tests.kit.clean import clean
from tests.kit.lake import BARS

REQUEST = Request("sample", BARS)


@pytest.fixture(scope="module")
def payload() -> Payload:
    return next(Sample().fetch(REQUEST))


def whole(payload: Payload) -> pa.Table:
    return pa.Table.from_batches([batch.rows for batch in payload.batches()])


@pytest.fixture(scope="module")
def stocks(payload: Payload) -> pa.Table:
    cleaned = clean(Sample().rows(whole(payload)), READING)
    assert cleaned.rejects.num_rows == 0
    return cleaned.bars


@pytest.fixture(scope="module")
def factors(payload: Payload) -> pa.Table:
    return Sample().facts(REQUEST)["adjustments"]


def of(table: pa.Table, symbol: str) -> pa.Table:
    return table.filter(pc.equal(table.column("vt_symbol"), symbol))


@pytest.mark.parametrize(
    ("symbol", "rows", "first", "last"),
    [
        ("AAPL.NASDAQ", 3_270, "2000-03-01T21:00", "2013-03-01T21:00"),
        ("IBM.NYSE", 3_270, "2000-03-01T21:00", "2013-03-01T21:00"),
        ("MSFT.NASDAQ", 3_270, "2000-03-01T21:00", "2013-03-01T21:00"),
        ("GOOG.NASDAQ", 2_148, "2004-08-19T20:00", "2013-03-01T21:00"),
        ("FB.NASDAQ", 196, "2012-05-18T20:00", "2013-03-01T21:00"),
    ],
)
def test_rows_and_dates(stocks: pa.Table, symbol: str, rows: int, first: str, last: str) -> None:
    """Days end at 16:00 in New York: 21:00 UTC in winter, 20:00 in summer."""
    times = of(stocks, symbol).column("timestamp").to_pylist()
    assert len(times) == rows
    assert (times[0].isoformat()[:16], times[-1].isoformat()[:16]) == (first, last)


def test_the_payload_is_whole_and_as_it_came(payload: Payload) -> None:
    assert whole(payload).num_rows == 12_154
    assert whole(payload).schema.names == [
        "Ticker", "Date", "Open", "High", "Low", "Close", "Volume", "Adj Close",
    ]  # fmt: skip
    assert set(whole(payload).schema.types) == {pa.string()}
    assert payload.sha256 == sample.SHA256


@pytest.mark.parametrize(
    ("symbol", "splits"),
    [
        pytest.param(
            "AAPL.NASDAQ",
            [(dt.date(2000, 6, 20), 0.25), (dt.date(2005, 2, 25), 0.5)],
            id="Apple split 2:1 on 2000-06-21 and on 2005-02-28",
        ),
        pytest.param(
            "MSFT.NASDAQ", [(dt.date(2003, 2, 14), 0.5)], id="Microsoft split 2:1 on 2003-02-18"
        ),
        pytest.param("IBM.NYSE", [], id="IBM did not split"),
        pytest.param("GOOG.NASDAQ", [], id="Google split after the file's end"),
        pytest.param("FB.NASDAQ", [], id="Facebook did not split"),
    ],
)
def test_splits(factors: pa.Table, symbol: str, splits: list[Any]) -> None:
    rows = of(factors, symbol).to_pylist()
    last_days = {row["split_factor"]: row["date"] for row in rows}
    assert [(day, factor) for factor, day in last_days.items() if factor != 1.0] == splits


@pytest.mark.parametrize(
    ("symbol", "dividends"),
    [("AAPL.NASDAQ", 3), ("IBM.NYSE", 52), ("MSFT.NASDAQ", 37), ("GOOG.NASDAQ", 0)],
)
def test_every_change_of_the_price_factor_is_a_dividend(
    factors: pa.Table, symbol: str, dividends: int
) -> None:
    prices = of(factors, symbol).column("price_factor").to_numpy()
    assert int((np.abs(np.diff(prices)) > 1e-9).sum()) == dividends
    assert (np.diff(prices) >= 0).all()


def test_apples_dividends_are_on_their_days(factors: pa.Table) -> None:
    pairs = itertools.pairwise(of(factors, "AAPL.NASDAQ").to_pylist())
    changes = [a["date"] for a, b in pairs if a["price_factor"] != b["price_factor"]]
    assert changes == [dt.date(2012, 8, 8), dt.date(2012, 11, 6), dt.date(2013, 2, 6)]


def test_the_last_set_of_every_symbol_has_factor_one(factors: pa.Table) -> None:
    for symbol in sample.SYMBOLS.values():
        last = of(factors, symbol).to_pylist()[-1]
        assert (last["date"], last["price_factor"], last["split_factor"]) == (
            dt.date(2013, 3, 1), 1.0, 1.0,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "ratio"),
    [("IBM.NYSE", 2.634291), ("MSFT.NASDAQ", 1.620426), ("AAPL.NASDAQ", 72.175129)],
)
def test_total_return_from_2001_to_2012(
    stocks: pa.Table, factors: pa.Table, symbol: str, ratio: float
) -> None:
    table = adjusted(of(stocks, symbol), factors, "total")
    days = [moment.date() for moment in table.column("timestamp").to_pylist()]
    closes = dict(zip(days, table.column("close").to_pylist(), strict=True))
    assert closes[dt.date(2012, 12, 31)] / closes[dt.date(2001, 1, 2)] == pytest.approx(
        ratio, abs=5e-7
    )


def test_our_total_is_the_files_adjusted_close_up_to_one_constant(
    payload: Payload, stocks: pa.Table, factors: pa.Table
) -> None:
    rows = Sample().rows(whole(payload))
    for ticker, symbol in sample.SYMBOLS.items():
        theirs = rows.filter(pc.equal(whole(payload).column("Ticker"), ticker))
        adjusted_close = theirs.column("Adj Close").cast(pa.float64()).to_numpy()
        ours = adjusted(of(stocks, symbol), factors, "total").column("close").to_numpy()
        ratio = ours / adjusted_close
        np.testing.assert_allclose(ratio, ratio[-1], rtol=1e-9)


def test_a_split_shows_in_raw_prices_and_not_in_adjusted_ones(
    stocks: pa.Table, factors: pa.Table
) -> None:
    apple = of(stocks, "AAPL.NASDAQ")
    days = [moment.date() for moment in apple.column("timestamp").to_pylist()]
    place = days.index(dt.date(2005, 2, 28))
    raw = apple.column("close").to_numpy()
    split = adjusted(apple, factors, "split").column("close").to_numpy()
    assert raw[place] / raw[place - 1] == pytest.approx(0.504, abs=0.001)
    assert split[place] / split[place - 1] == pytest.approx(1.008, abs=0.001)


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SHA256", "0" * 64)
    with pytest.raises(ProviderError) as caught:
        next(Sample().fetch(REQUEST))
    assert caught.value.wire_code == "provider_error"
    assert "bokeh-sampledata==2026.1" in caught.value.hint


def test_the_heavy_modules_of_the_package_are_never_imported() -> None:
    program = (
        "import sys\nfrom lakehouse.providers.base import Request\n"
        "from lakehouse.providers.sample import Sample\n"
        "next(Sample().fetch(Request('sample', 't')))\n"
        "print([m for m in sys.modules if m in ('bokeh_sampledata.stocks', 'pandas', 'shapely')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_providers_are_found_by_name() -> None:
    assert {"files", "lean", "sample"} <= set(PROVIDERS.names())
    assert PROVIDERS.load("sample") is Sample
