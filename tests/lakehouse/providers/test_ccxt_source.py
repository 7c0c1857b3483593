"""Provider ``ccxt``: an exchange's wire shape on this machine, the real library in between."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import ProviderError
from lakehouse.providers.base import Request
from lakehouse.providers.ccxt_source import Ccxt
from lakehouse.providers.requests_wire import session
from tests.kit.providers_remote import QUICK, Steps, allowing, asking, silver, source
from tests.kit.vendor import BROKEN, BUSY, HTML, Asked, Binance, Reply, Vendor, as_json
from topology.egress import Guard
from topology.errors import BadInputError, EgressDeniedError, HaltedError, UnknownNameError
from topology.sources import Bounds

MINUTES = "alphaswarm_silver_market.bars_1m"
FIRST = dt.datetime(2024, 1, 2, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
NOW = FIRST + 10 * MINUTE


def stamp(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def candle(place: int) -> tuple[int, str, str, str, str, str]:
    """Return the candle of a minute; the text of its close ends with a zero that counts."""
    return (stamp(FIRST + place * MINUTE), "42000.10", "42010.00", "41990.00",
            f"4200{place}.50", "1.23456780")  # fmt: skip


@pytest.fixture
def binance() -> Binance:
    known = Binance()
    known.candles = {"BTCUSDT": [candle(place) for place in range(11)]}
    return known


@pytest.fixture
def vendor(binance: Binance) -> Iterator[Vendor]:
    with Vendor(binance) as listening:
        yield listening


def ask(vendor: Vendor, spill: Path, **more: Any) -> Request:
    plan = source(kind="ccxt", mirror=vendor.url, bounds={**QUICK, **more.pop("bounds", {})})
    defaults = {
        "symbols": ("BTCUSDT.BINANCE",), "start": "2024-01-02", "now": NOW, "table": MINUTES,
    }  # fmt: skip
    return asking(vendor, plan, spill, **{**defaults, **more})


def klines(vendor: Vendor) -> list[Asked]:
    return [asked for asked in vendor.seen if asked.path.endswith("/klines")]


# --- what comes in ------------------------------------------------------------------------------


def test_candles_become_bars_that_end_a_minute_later(vendor: Vendor, tmp_path: Path) -> None:
    bars = silver(Ccxt(), ask(vendor, tmp_path))
    assert bars.num_rows == 10, "the eleventh has not ended at NOW"
    first = bars.to_pylist()[0]
    assert first["timestamp"] == FIRST + MINUTE
    assert (first["close"], first["volume"], first["currency"]) == (42000.5, 1.2345678, "USDT")
    assert first["vt_symbol"] == "BTCUSDT.BINANCE"


def test_bronze_keeps_the_text_of_the_exchange(vendor: Vendor, tmp_path: Path) -> None:
    [payload] = Ccxt().fetch(ask(vendor, tmp_path))
    [batch] = payload.batches()
    row = batch.rows.to_pylist()[0]
    assert (row["stamp"], row["close"], row["volume"]) == (
        str(stamp(FIRST)),
        "42000.50",
        "1.23456780",
    )
    assert payload.source == "ccxt:BTCUSDT.BINANCE/1"


def test_days_end_at_midnight(binance: Binance, vendor: Vendor, tmp_path: Path) -> None:
    days = [(stamp(FIRST + dt.timedelta(days=place)), *candle(0)[1:]) for place in range(3)]
    binance.candles["BTCUSDT"] = days
    table = "alphaswarm_silver_market.bars_1d"
    now = FIRST + dt.timedelta(days=2, hours=5)
    bars = silver(Ccxt(), ask(vendor, tmp_path, table=table, now=now))
    ends = [FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=2)]
    assert bars.column("timestamp").to_pylist() == ends


def test_pages_follow_one_another_without_gap_or_repeat(
    binance: Binance, vendor: Vendor, tmp_path: Path
) -> None:
    binance.most = 4
    steps = Steps()
    bars = silver(Ccxt(), ask(vendor, tmp_path, progress=steps))
    assert [f"{one:.1f}" for one in bars.column("close").to_pylist()] == [
        f"4200{place}.5" for place in range(10)
    ]
    asked = [int(one.query["startTime"]) for one in klines(vendor)]
    assert asked == [stamp(FIRST + place * MINUTE) for place in (0, 4, 8)]
    assert [frame[2]["current"] for frame in steps.frames] == [4, 8, 11]


def test_a_hole_at_the_exchange_is_stepped_over(
    binance: Binance, vendor: Vendor, tmp_path: Path
) -> None:
    """Some exchanges answer only from the window asked for: an empty page is not the end."""
    candles = dict.fromkeys(stamp(FIRST + place * MINUTE) for place in (0, 2500))

    def handler(asked: Asked) -> Reply:
        if not asked.path.endswith("klines"):
            return binance(asked)
        first = int(asked.query["startTime"])
        inside = [at for at in candles if first <= at < first + 1000 * 60_000]
        return as_json([[at, *candle(0)[1:]] for at in inside])

    vendor.handler = handler
    now = FIRST + 3000 * MINUTE
    assert silver(Ccxt(), ask(vendor, tmp_path, now=now)).num_rows == 2


def test_a_later_run_goes_on_with_one_candle_of_overlap(vendor: Vendor, tmp_path: Path) -> None:
    last = FIRST + 8 * MINUTE
    bars = silver(Ccxt(), ask(vendor, tmp_path, start=None, since=lambda _: last))
    assert bars.column("timestamp").to_pylist() == [last, last + MINUTE, last + 2 * MINUTE]
    assert int(klines(vendor)[0].query["startTime"]) == stamp(last - MINUTE)


# --- what goes wrong ----------------------------------------------------------------------------

LASTING = [
    pytest.param(BROKEN, "status_500", 3, id="500"),
    pytest.param(BUSY, "status_429", 3, id="429"),
    pytest.param(HTML, "html", 3, id="a web page"),
    pytest.param(Reply(b"[[1, 2", cut=2), "truncated", 3, id="broken off"),
    pytest.param(Reply(b"x" * 10_000), "too_large", 1, id="gigantic"),
    pytest.param(as_json({"code": -1121, "msg": "Invalid symbol."}, 400), "content", 1, id="400"),
    pytest.param(as_json({"code": -1003, "msg": "Too many"}, 418), "exchange", 3, id="its ban"),
    pytest.param(Reply(b"[]", drip_s=0.4), "timeout", 3, id="a slow drip"),
]


@pytest.mark.parametrize(("trouble", "reason", "attempts"), LASTING)
def test_lasting_trouble_ends_in_one_clear_error(
    trouble: Reply, reason: str, attempts: int, binance: Binance, vendor: Vendor, tmp_path: Path
) -> None:
    vendor.handler = lambda asked: trouble if "klines" in asked.path else binance(asked)
    bounds = {"page_bytes": 4096, "timeout_s": 0.3 if reason == "timeout" else 2}
    with pytest.raises(ProviderError, match=r"BTCUSDT\.BINANCE, page 1") as told:
        list(Ccxt().fetch(ask(vendor, tmp_path, bounds=bounds)))
    assert (told.value.facts["reason"], told.value.facts["attempts"]) == (reason, attempts)
    assert told.value.hint.startswith("Nothing was written.")
    assert len(klines(vendor)) == attempts
    assert "http" not in told.value.message


def test_passing_trouble_is_waited_out(binance: Binance, vendor: Vendor, tmp_path: Path) -> None:
    vendor.trouble = [BUSY, BROKEN]
    assert silver(Ccxt(), ask(vendor, tmp_path)).num_rows == 10


def test_a_market_that_is_not_there_names_the_nearest(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no spot market 'BTCUSD'") as told:
        list(Ccxt().fetch(ask(vendor, tmp_path, symbols=("BTCUSD.BINANCE",))))
    assert told.value.facts["nearest"][0] == "BTCUSDT.BINANCE"


def test_an_exchange_that_is_not_there_names_the_nearest(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no exchange 'BINANCEE'") as told:
        list(Ccxt().fetch(ask(vendor, tmp_path, symbols=("BTCUSDT.BINANCEE",))))
    assert "BINANCE" in told.value.facts["nearest"]


def test_more_pages_than_allowed_are_not_asked(
    binance: Binance, vendor: Vendor, tmp_path: Path
) -> None:
    binance.most = 1
    with pytest.raises(ProviderError, match="more pages"):
        list(Ccxt().fetch(ask(vendor, tmp_path, bounds={"pages": 3})))
    assert len(klines(vendor)) == 3


def test_a_halt_ends_the_work_between_two_pages(
    binance: Binance, vendor: Vendor, tmp_path: Path
) -> None:
    binance.most = 1
    with pytest.raises(HaltedError):
        list(Ccxt().fetch(ask(vendor, tmp_path, progress=Steps(3))))
    assert len(klines(vendor)) == 2


# --- the way out --------------------------------------------------------------------------------


def test_the_line_that_the_exchange_needs_is_named(vendor: Vendor, tmp_path: Path) -> None:
    plan = source(kind="ccxt", bounds=QUICK)
    request = asking(vendor, plan, tmp_path, symbols=("BTCUSDT.BINANCE",), table=MINUTES)
    with pytest.raises(EgressDeniedError) as denied:
        list(Ccxt().fetch(request))
    assert denied.value.facts["lines"] == [f"- {{host: {Binance.HOST}, port: 443, for: [ingest]}}"]


def test_a_place_that_is_not_listed_sees_no_connection(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(EgressDeniedError):
        list(Ccxt().fetch(ask(vendor, tmp_path, egress=allowing())))
    assert vendor.dialled == 0


def test_requests_has_no_way_out_but_the_guard(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a redirect, a proxy of the environment, another scheme or a POST."""
    with Vendor() as other, Vendor() as proxy:
        for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        way = session(Guard(allowing(vendor.port), "ingest"), Bounds(**QUICK), mirror=None)
        vendor.handler = lambda asked: Reply(b"", 302, {"Location": f"{other.url}/x"})
        with pytest.raises(EgressDeniedError):
            way.get(vendor.url)
        with pytest.raises(ProviderError, match="by POST"):
            way.post(vendor.url)
        with pytest.raises(BadInputError):
            way.get(f"http://user:pass@127.0.0.1:{other.port}/")
        assert (other.dialled, proxy.dialled, len(vendor.seen)) == (0, 0, 1)


def test_without_the_package_the_error_says_what_to_install(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(ProviderError, match="not installed") as told:
        list(Ccxt().fetch(ask(vendor, tmp_path)))
    assert "pip install 'alphaswarm[ccxt]'" in told.value.hint
