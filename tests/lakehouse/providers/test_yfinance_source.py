"""Provider ``yfinance``: Yahoo's wire shape on this machine, the real library in between."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from lakehouse.adjust import adjusted
from lakehouse.errors import ProviderError
from lakehouse.providers.base import Request
from lakehouse.providers.browser import Browser
from lakehouse.providers.yfinance_source import PLACES, YFinance
from tests.kit.providers_remote import QUICK, Steps, allowing, asking, silver, source
from tests.kit.vendor import BROKEN, BUSY, HTML, Asked, Reply, Vendor, Yahoo, as_json
from topology.egress import Guard
from topology.errors import EgressDeniedError, HaltedError, UnknownNameError
from topology.sections import Egress
from topology.sources import Bounds

NEW_YORK = ZoneInfo("America/New_York")
NOW = dt.datetime(2024, 6, 14, 12, tzinfo=dt.UTC)


def at(text: str) -> int:
    """Return the seconds of a local time in New York."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


def day(date: str, close: float, volume: int = 1000) -> tuple[Any, ...]:
    return (at(f"{date}T09:30"), close, close + 1, close - 1, close, volume)


# NVIDIA's split of June 2024: ten for one on the tenth. Yahoo has divided all earlier prices.
NVIDIA = [
    day("2024-06-05", 122.44, 5_284_000),
    day("2024-06-06", 121.0, 6_647_000),
    day("2024-06-07", 120.888, 4_123_000),
    day("2024-06-10", 121.79, 3_081_000),
    day("2024-06-11", 120.91, 2_220_000),
]


@pytest.fixture
def yahoo() -> Yahoo:
    known = Yahoo()
    known.bars = {("NVDA", "1d"): NVIDIA}
    known.splits = {"NVDA": {at("2024-06-10T09:30"): (10, 1)}}
    known.dividends = {"NVDA": {at("2024-06-11T09:30"): 0.01}}
    return known


@pytest.fixture
def vendor(yahoo: Yahoo) -> Iterator[Vendor]:
    with Vendor(yahoo) as listening:
        yield listening


def ask(vendor: Vendor, spill: Path, **more: Any) -> Request:
    plan = source(kind="yfinance", mirror=vendor.url, bounds=QUICK)
    more = {"symbols": ("NVDA.NASDAQ",), "start": None, "now": NOW, **more}
    return asking(vendor, plan, spill, **more)


def charts(vendor: Vendor) -> list[Asked]:
    return [asked for asked in vendor.seen if "/chart/" in asked.path]


# --- what comes in ------------------------------------------------------------------------------


def test_bars_are_as_they_were_traded(vendor: Vendor, tmp_path: Path) -> None:
    """Before the split NVIDIA traded at 1,208.88, not at 120.888; and a tenth of the shares."""
    bars = silver(YFinance(), ask(vendor, tmp_path))
    assert bars.column("close").to_pylist() == [1224.4, 1210.0, 1208.88, 121.79, 120.91]
    assert bars.column("volume").to_pylist() == [528_400, 664_700, 412_300, 3_081_000, 2_220_000]
    ends = [dt.datetime.fromtimestamp(at(f"2024-06-{d}T16:00"), dt.UTC) for d in ("05", "11")]
    assert bars.column("timestamp").to_pylist()[:: len(bars) - 1] == ends
    assert bars.column("currency").unique().to_pylist() == ["USD"]


def test_the_library_does_cookie_and_crumb(vendor: Vendor, tmp_path: Path) -> None:
    list(YFinance().fetch(ask(vendor, tmp_path, symbols=("NVDA.NASDAQ",) * 3)))
    paths = [asked.path.partition("yahoo.com/")[2] for asked in vendor.seen]
    assert paths == ["", "", "v1/test/getcrumb", *["v8/finance/chart/NVDA"] * 3]
    assert charts(vendor)[0].query["crumb"] == Yahoo.CRUMB
    assert "Chrome" in charts(vendor)[0].headers["user-agent"]


def test_factors_lead_back_to_what_yahoo_shows(vendor: Vendor, tmp_path: Path) -> None:
    """Split-adjusted prices are Yahoo's; a dividend of 0.01 after 121.79 is 1 - 0.01 / 121.79."""
    provider = YFinance()
    bars = silver(provider, ask(vendor, tmp_path))
    factors = provider.facts(ask(vendor, tmp_path))["adjustments"]
    assert factors.to_pylist() == [
        {
            "vt_symbol": "NVDA.NASDAQ",
            "date": dt.date(2024, 6, 7),
            "price_factor": pytest.approx(1 - 0.01 / 121.79),
            "split_factor": 0.1,
        },
        {
            "vt_symbol": "NVDA.NASDAQ",
            "date": dt.date(2024, 6, 10),
            "price_factor": pytest.approx(1 - 0.01 / 121.79),
            "split_factor": 1.0,
        },
    ]
    shown = adjusted(bars, factors, "split").column("close").to_pylist()
    assert shown == pytest.approx([one[4] for one in NVIDIA])


def test_a_symbol_without_events_is_known_to_have_none(
    yahoo: Yahoo, vendor: Vendor, tmp_path: Path
) -> None:
    yahoo.splits, yahoo.dividends = {}, {}
    provider = YFinance()
    list(provider.fetch(ask(vendor, tmp_path)))
    [row] = provider.facts(ask(vendor, tmp_path))["adjustments"].to_pylist()
    assert row == {
        "vt_symbol": "NVDA.NASDAQ",
        "date": dt.date(2024, 6, 5),
        "price_factor": 1.0,
        "split_factor": 1.0,
    }


def test_pence_become_pounds(yahoo: Yahoo, vendor: Vendor, tmp_path: Path) -> None:
    london = ZoneInfo("Europe/London")
    stamp = int(dt.datetime(2024, 6, 10, 8, tzinfo=london).timestamp())
    yahoo.bars[("VOD.L", "1d")] = [(stamp, 69.5, 70.5, 69.0, 70.0, 5)]
    yahoo.meta["VOD.L"] = {
        "currency": "GBp", "exchangeName": "LSE", "exchangeTimezoneName": "Europe/London",
    }  # fmt: skip
    [bar] = silver(YFinance(), ask(vendor, tmp_path, symbols=("VOD.LSE",))).to_pylist()
    assert (bar["close"], bar["currency"]) == (0.7, "GBP")
    assert bar["timestamp"] == dt.datetime(2024, 6, 10, 15, 30, tzinfo=dt.UTC)


def test_a_bar_without_a_price_is_none_and_the_live_one_is_left(
    yahoo: Yahoo, vendor: Vendor, tmp_path: Path
) -> None:
    """Yahoo writes null for minutes without trades, and a row for the moment of the question."""
    empty = (at("2024-06-12T09:30"), None, None, None, None, None)
    live = (at("2024-06-14T07:59"), 1.0, 1.0, 1.0, 1.0, 1)
    yahoo.bars[("NVDA", "1d")] = [*NVIDIA, empty, live]
    assert silver(YFinance(), ask(vendor, tmp_path)).num_rows == len(NVIDIA)


@pytest.mark.parametrize(("clock", "bars"), [("16:20", 4), ("16:30", 5)])
def test_a_bar_settles_half_an_hour_after_its_end(
    clock: str, bars: int, vendor: Vendor, tmp_path: Path
) -> None:
    """Yahoo is late: right after the close the day's bar may lack its last trades."""
    now = dt.datetime.fromtimestamp(at(f"2024-06-11T{clock}"), dt.UTC)
    assert silver(YFinance(), ask(vendor, tmp_path, now=now)).num_rows == bars


def test_hours_end_with_the_session(yahoo: Yahoo, vendor: Vendor, tmp_path: Path) -> None:
    """The last hour of New York has thirty minutes; what is outside the session is no bar."""
    stamps = [at("2024-06-13T14:30"), at("2024-06-13T15:30"), at("2024-06-13T16:00")]
    yahoo.bars[("NVDA", "1h")] = [(stamp, 129.0, 130.0, 128.0, 129.5, 100) for stamp in stamps]
    session = {"start": at("2024-06-13T09:30"), "end": at("2024-06-13T16:00")}
    yahoo.meta["NVDA"] = {"tradingPeriods": [[session]]}
    hours = "alphaswarm_silver_market.bars_1h"
    bars = silver(YFinance(), ask(vendor, tmp_path, table=hours))
    ends = [int(one.timestamp()) for one in bars.column("timestamp").to_pylist()]
    assert ends == [at("2024-06-13T15:30"), at("2024-06-13T16:00")]


def test_minutes_are_asked_week_by_week_and_restored_too(
    yahoo: Yahoo, vendor: Vendor, tmp_path: Path
) -> None:
    stamps = [at("2024-06-06T10:00"), at("2024-06-12T10:00")]
    yahoo.bars[("NVDA", "1m")] = [(stamp, 121.0, 122.0, 120.0, 121.0, 100) for stamp in stamps]
    minutes = "alphaswarm_silver_market.bars_1m"
    bars = silver(YFinance(), ask(vendor, tmp_path, table=minutes))
    assert bars.column("close").to_pylist() == [1210.0, 121.0]
    windows = [
        int(asked.query["period2"]) - int(asked.query["period1"])
        for asked in charts(vendor)
        if asked.query["interval"] == "1m"
    ]
    assert (len(windows), max(windows)) == (5, 7 * 86_400)


# --- going on -----------------------------------------------------------------------------------


def test_a_later_run_asks_from_the_last_bar_and_writes_no_factors_for_nothing(
    vendor: Vendor, tmp_path: Path
) -> None:
    last = dt.datetime.fromtimestamp(at("2024-06-11T16:00"), dt.UTC)
    provider = YFinance()
    provided = ask(vendor, tmp_path, since=lambda _: last, end="2024-06-14")
    vendor.handler = no_events(vendor.handler)
    bars = silver(provider, provided)
    assert bars.column("close").to_pylist() == [120.91]
    assert int(charts(vendor)[0].query["period1"]) == 1718064000  # 2024-06-11 00:00 UTC
    assert provider.facts(provided) == {}


def no_events(handler: Any) -> Any:
    def answer(asked: Asked) -> Reply:
        reply = handler(asked)
        return Reply(reply.body.replace(b'"dividends"', b'"others"'), reply.status, reply.headers)

    return answer


def test_a_new_event_brings_the_whole_set_again(vendor: Vendor, tmp_path: Path) -> None:
    last = dt.datetime.fromtimestamp(at("2024-06-07T16:00"), dt.UTC)
    provider = YFinance()
    bars = silver(provider, ask(vendor, tmp_path, since=lambda _: last))
    assert bars.column("close").to_pylist() == [1208.88, 121.79, 120.91], "the old value still"
    assert provider.facts(ask(vendor, tmp_path))["adjustments"].num_rows == 2
    assert [int(asked.query["period1"]) > 0 for asked in charts(vendor)] == [True, False]


def test_a_value_is_the_same_before_and_after_a_later_split(
    yahoo: Yahoo, vendor: Vendor, tmp_path: Path
) -> None:
    """32-bit noise: 185.64 comes as 185.63999938964844, and as 18.56399917602539 after 10:1."""
    stamp, split = at("2024-06-05T09:30"), at("2024-06-10T09:30")
    closes = []
    for value, splits in ((185.63999938964844, {}), (18.56399917602539, {split: (10, 1)})):
        yahoo.bars[("NVDA", "1d")] = [(stamp, value, value, value, value, 1)]
        yahoo.splits = {"NVDA": splits}
        closes += silver(YFinance(), ask(vendor, tmp_path)).column("close").to_pylist()
    assert closes == [185.64, 185.64]


# --- what goes wrong ----------------------------------------------------------------------------


def only_charts(trouble: Reply, yahoo: Yahoo) -> Any:
    return lambda asked: trouble if "/chart/" in asked.path else yahoo(asked)


GOOD = as_json({"chart": {"result": [], "error": None}})
LASTING = [
    pytest.param(BROKEN, "status_500", 3, id="500"),
    pytest.param(BUSY, "status_429", 3, id="429"),
    pytest.param(HTML, "html", 3, id="a web page"),
    pytest.param(Reply(GOOD.body, cut=10), "truncated", 3, id="broken off"),
    pytest.param(Reply(b'{"chart": {"res', framed=False), "content", 3, id="broken JSON"),
    pytest.param(as_json({"chart": {"result": []}}), "content", 1, id="another JSON"),
    pytest.param(Reply(b"no", 403), "status_403", 1, id="403"),
    pytest.param(Reply(b"x" * 10_000), "too_large", 1, id="gigantic"),
    pytest.param(Reply(GOOD.body, drip_s=0.2), "timeout", 3, id="a slow drip"),
]


@pytest.mark.parametrize(("trouble", "reason", "attempts"), LASTING)
def test_lasting_trouble_ends_in_one_clear_error(
    trouble: Reply, reason: str, attempts: int, yahoo: Yahoo, vendor: Vendor, tmp_path: Path
) -> None:
    vendor.handler = only_charts(trouble, yahoo)
    bounds = {**QUICK, "page_bytes": 4096, "timeout_s": 0.3 if reason == "timeout" else 2}
    plan = source(kind="yfinance", mirror=vendor.url, bounds=bounds)
    request = asking(vendor, plan, tmp_path, symbols=("NVDA.NASDAQ",), start=None, now=NOW)
    with pytest.raises(ProviderError, match=r"NVDA\.NASDAQ, 1d from 19") as told:
        list(YFinance().fetch(request))
    assert (told.value.facts["reason"], told.value.facts["attempts"]) == (reason, attempts)
    assert told.value.hint.startswith("Nothing was written.")


def test_passing_trouble_is_waited_out(yahoo: Yahoo, vendor: Vendor, tmp_path: Path) -> None:
    troubles = [BUSY, BROKEN]

    def handler(asked: Asked) -> Reply:
        return troubles.pop() if troubles and "/chart/" in asked.path else yahoo(asked)

    vendor.handler = handler
    assert silver(YFinance(), ask(vendor, tmp_path)).num_rows == len(NVIDIA)


@pytest.mark.parametrize("host", ["fc.yahoo.com", "query1.finance.yahoo.com"])
def test_without_cookie_or_crumb_the_chart_is_asked_all_the_same(
    host: str, yahoo: Yahoo, vendor: Vendor, tmp_path: Path
) -> None:
    """Charts mostly need neither: the library goes on, and Yahoo decides."""
    bare = Yahoo()
    bare.__dict__ |= yahoo.__dict__

    def handler(asked: Asked) -> Reply:
        if asked.path.startswith(f"/{host}"):
            return BUSY
        query = {**asked.query, "crumb": Yahoo.CRUMB}
        return bare(Asked(asked.path, query, {"cookie": "A3=1", **asked.headers}))

    vendor.handler = handler
    assert silver(YFinance(), ask(vendor, tmp_path)).num_rows == len(NVIDIA)


def test_yahoos_own_words_are_told(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="Yahoo says: No data found, symbol may be delisted"):
        list(YFinance().fetch(ask(vendor, tmp_path, symbols=("GONE.NASDAQ",))))


def test_a_ticker_of_another_exchange_names_the_right_one(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="listed at NASDAQ") as told:
        list(YFinance().fetch(ask(vendor, tmp_path, symbols=("NVDA.NYSE",))))
    assert told.value.facts["nearest"] == ["NVDA.NASDAQ"]


def test_an_exchange_that_is_not_known_names_the_nearest(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no exchange 'NASDQ'") as told:
        list(YFinance().fetch(ask(vendor, tmp_path, symbols=("NVDA.NASDQ",))))
    assert told.value.facts["nearest"][0] == "NASDAQ"


def test_a_halt_ends_the_work_between_two_charts(vendor: Vendor, tmp_path: Path) -> None:
    symbols = ("NVDA.NASDAQ", "NVDA.NASDAQ")
    with pytest.raises(HaltedError):
        list(YFinance().fetch(ask(vendor, tmp_path, symbols=symbols, progress=Steps(1))))
    assert len(charts(vendor)) == 1


# --- the way out --------------------------------------------------------------------------------


def test_every_line_that_yahoo_needs_is_named_at_once(vendor: Vendor, tmp_path: Path) -> None:
    plan = source(kind="yfinance")
    with pytest.raises(EgressDeniedError) as denied:
        list(YFinance().fetch(asking(vendor, plan, tmp_path, symbols=("NVDA.NASDAQ",))))
    assert denied.value.facts["lines"] == [
        f"- {{host: {host}, port: 443, for: [ingest]}}" for host, _ in PLACES
    ]


def test_a_place_that_is_not_listed_sees_no_connection(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(EgressDeniedError):
        list(YFinance().fetch(ask(vendor, tmp_path, egress=allowing())))
    assert vendor.dialled == 0


def test_libcurl_follows_no_redirect_past_the_guard(vendor: Vendor) -> None:
    with Vendor() as other:
        vendor.handler = lambda asked: Reply(b"", 302, {"Location": f"{other.url}/v8"})
        guard = Guard(allowing(vendor.port), "ingest")
        session = Browser(guard, Bounds(**QUICK), mirror=None, wanted="/v8")
        with pytest.raises(EgressDeniedError):
            session.get(f"{vendor.url}/v8/finance/chart/NVDA")
        assert (len(vendor.seen), other.dialled) == (1, 0)


def test_libcurl_uses_no_proxy_of_the_environment(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Vendor() as proxy:
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert silver(YFinance(), ask(vendor, tmp_path)).num_rows == len(NVIDIA)
        assert proxy.dialled == 0


def test_libcurl_dials_the_checked_address_and_no_other(tmp_path: Path) -> None:
    """The name does not exist for anybody else: libcurl has its address from the guard alone."""
    with Vendor(lambda asked: Reply(b"hello")) as listening:
        place = {"host": "vendor.invalid", "port": listening.port, "for": ["ingest"]}
        egress = Egress.model_validate({"allow": [{**place, "address": "loopback"}]})

        def lookup(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        session = Browser(
            Guard(egress, "ingest", lookup), Bounds(**QUICK), mirror=None, wanted="/v8"
        )
        answer = session.get(f"http://vendor.invalid:{listening.port}/v8/x")
        assert (answer.content, listening.seen[0].headers["host"]) == (
            b"hello",
            f"vendor.invalid:{listening.port}",
        )


def test_yfinance_writes_nothing_into_the_users_folders(tmp_path: Path) -> None:
    """Its caches are SQLite files below ~/.cache; ours has none."""
    script = """
import datetime as dt, sys
from pathlib import Path
from tests.kit.providers_remote import QUICK, asking, source
from tests.kit.vendor import Vendor, Yahoo
from lakehouse.providers.yfinance_source import YFinance
yahoo = Yahoo()
yahoo.bars = {("NVDA", "1d"): [(1718026200, 1.0, 1.0, 1.0, 1.0, 1)]}
with Vendor(yahoo) as vendor:
    plan = source(kind="yfinance", mirror=vendor.url, bounds=QUICK)
    request = asking(vendor, plan, Path(sys.argv[1]) / "spill", symbols=("NVDA.NASDAQ",),
                     start=None)
    print(len(list(YFinance().fetch(request))), "sqlite3" in sys.modules)
"""
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, env=environ, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 ")
    assert list(home.rglob("*")) == []


def test_without_the_package_the_error_says_what_to_install(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(ProviderError, match="not installed") as told:
        list(YFinance().fetch(ask(vendor, tmp_path)))
    assert "pip install 'alphaswarm[yfinance]'" in told.value.hint


def test_rows_keep_null_as_null() -> None:
    columns = {name: ["1.0", None] for name in ("open", "high", "low", "close", "volume")}
    table = pa.table({**columns, "currency": ["USD", "USD"], "split_ratio": ["2.0", "2.0"]})
    rows = YFinance().rows(table).to_pylist()
    assert [rows[0]["close"], rows[0]["volume"], rows[1]["close"]] == [2.0, 0.0, None]
