"""Lean's data folder by hand: units, clocks, sessions, renames, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import query
from lakehouse.errors import EmptyAppendError, UnreadableFileError
from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from lakehouse.providers.base import Payload, Request
from lakehouse.providers.lean import Lean
from tests.kit import leanfolder
from tests.kit.lake import NOW, SPEC, Depot, Silent
from tests.kit.payloads import broken, read
from topology.errors import AlphaSwarmError, MissingError, UnknownNameError
from topology.ids import new_id

TRADE = range(4)
QUOTE = (0, 1, 2, 3, 5, 6, 7, 8)
MARKET = "alphaswarm_silver_market"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return an empty Lean data folder in an inbox."""
    folder = tmp_path / "inbox" / "Data"
    folder.mkdir(parents=True)
    return folder


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def bar(price: float) -> list[leanfolder.Value]:
    return [price, price + 1, price - 1, price + 0.5, 1_000]


def equity(data: Path, ticker: str, *days: str, price: float = 100.0) -> None:
    """Write daily bars of a US ticker; the price says which file a bar came from."""
    rows = [(at(day), bar(price)) for day in days]
    place = data / "equity" / "usa" / "daily" / f"{ticker}.zip"
    leanfolder.whole(place, rows, prices=TRADE, scale=leanfolder.DECI_CENTS)


def request(data: Path, table: str = "bars_1d", **named: Any) -> Request:
    path = named.pop("path", data.name)
    return Request("lean", f"{MARKET}.{table}", path, allowed=[data.parent], **named)


def rows(data: Path, table: str = "bars_1d", **named: Any) -> list[dict[str, Any]]:
    """Return the bars that the folder gives, by time."""
    lean = Lean()
    payloads = list(lean.fetch(request(data, table, **named)))
    got = [read(lean, [payload]) for payload in payloads]
    return sorted(pa.concat_tables(got).to_pylist(), key=lambda row: str(row["timestamp"]))


def times(data: Path, table: str = "bars_1d") -> list[str | None]:
    found = [row["timestamp"] for row in rows(data, table)]
    return [None if time is None else time.strftime("%Y-%m-%dT%H:%M") for time in found]


class TestUnitsAndClocks:
    """Deci-cents become dollars, starts on a local clock become ends in UTC."""

    def test_a_daily_bar_of_new_york(self, data: Path) -> None:
        place = data / "equity" / "usa" / "daily" / "ibm.zip"
        leanfolder.pack(place, "20240102 00:00,1622800,1629400,1606700,1615000,3825000\n")
        (row,) = rows(data)
        assert (row["open"], row["high"], row["low"], row["close"]) == (
            162.28,
            162.94,
            160.67,
            161.5,
        )
        assert row["volume"] == 3_825_000
        assert row["currency"] == "USD"
        assert row["vt_symbol"] == "IBM.USA"  # no map file says where it is listed
        assert row["timestamp"] == at("2024-01-02T21:00:00+00:00")

    def test_daylight_saving_moves_the_close_in_utc(self, data: Path) -> None:
        equity(data, "ibm", "2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04")
        assert times(data) == [
            "2024-03-08T21:00", "2024-03-11T20:00", "2024-11-01T20:00", "2024-11-04T21:00",
        ]  # fmt: skip

    def test_minutes_are_milliseconds_on_the_local_clock(self, data: Path) -> None:
        for day in ("20240308", "20240311"):
            place = data / "equity" / "usa" / "minute" / "ibm" / f"{day}_trade.zip"
            leanfolder.pack(place, "34200000,1000000,1000000,1000000,1000000,5\n")
        assert times(data, "bars_1m") == ["2024-03-08T14:31", "2024-03-11T13:31"]

    def test_hours_end_an_hour_after_their_label(self, data: Path) -> None:
        place = data / "equity" / "usa" / "hour" / "ibm.zip"
        line = ",1000000,1000000,1000000,1000000,5\n"
        leanfolder.pack(place, f"20240102 09:00{line}20240102 15:00{line}")
        assert times(data, "bars_1h") == ["2024-01-02T15:00", "2024-01-02T21:00"]

    def test_crypto_and_forex_are_in_real_prices_and_utc(self, data: Path) -> None:
        place = data / "crypto" / "coinbase" / "daily" / "btcusd_trade.zip"
        leanfolder.pack(place, "20180404 00:00,7410.0,7420.5,6700.01,6780.25,12345.678\n")
        (row,) = rows(data)
        assert (row["vt_symbol"], row["currency"]) == ("BTCUSD.COINBASE", "USD")
        assert (row["low"], row["volume"]) == (6_700.01, 12_345.678)
        assert row["timestamp"] == at("2018-04-05T00:00:00+00:00")

    def test_a_quote_may_have_one_side(self, data: Path) -> None:
        place = data / "equity" / "usa" / "minute" / "ibm" / "20240102_quote.zip"
        leanfolder.pack(place, "14400000,,,,,0,1000100,1000200,1000000,1000100,300\n")
        (row,) = rows(data, "quotes_1m")
        assert [row[f"bid_{name}"] for name in ("open", "high", "low", "close", "size")] == [
            None
        ] * 5
        assert (row["ask_open"], row["ask_size"]) == (100.01, 300.0)

    def test_forex_has_quotes_and_no_trades(self, data: Path) -> None:
        place = data / "forex" / "oanda" / "daily" / "eurusd.zip"
        values = "1.1,1.2,1.0,1.15,0,1.1001,1.2001,1.0001,1.1501,0"
        leanfolder.pack(place, f"20140501 00:00,{values}\n")
        (row,) = rows(data, "quotes_1d")
        assert (row["vt_symbol"], row["currency"]) == ("EURUSD.OANDA", "USD")
        with pytest.raises(MissingError, match="no trades"):
            rows(data, "bars_1d")


class TestMarketHours:
    """What the folder's two databases say is believed; what nobody says is not guessed."""

    def database(self, data: Path, **entries: Any) -> None:
        place = data / "market-hours" / "market-hours-database.json"
        place.parent.mkdir()
        place.write_text(json.dumps({"entries": entries}))

    def day(self, close: str) -> list[dict[str, str]]:
        return [{"start": "09:30:00", "end": close, "state": "market"},
                {"start": close, "end": "20:00:00", "state": "postmarket"}]  # fmt: skip

    def test_an_early_close_ends_the_day_early(self, data: Path) -> None:
        equity(data, "ibm", "2023-11-22", "2023-11-24", "2023-11-27")
        week = {name: self.day("16:00:00") for name in ("monday", "wednesday", "friday")}
        zones = {"dataTimeZone": "America/New_York", "exchangeTimeZone": "America/New_York"}
        early = {"earlyCloses": {"11/24/2023": "13:00:00"}}
        self.database(data, **{"Equity-usa-[*]": {**zones, **week, **early}})
        assert times(data) == ["2023-11-22T21:00", "2023-11-24T18:00", "2023-11-27T21:00"]

    def test_another_market_needs_its_hours(self, data: Path) -> None:
        place = data / "equity" / "india" / "daily" / "tcs.zip"
        leanfolder.pack(place, "20240102 00:00,37000000,37000000,37000000,37000000,5\n")
        with pytest.raises(MissingError, match="'india'"):
            rows(data)
        zones = {"dataTimeZone": "Asia/Kolkata", "exchangeTimeZone": "Asia/Kolkata"}
        self.database(data, **{"Equity-india-[*]": {**zones, "tuesday": self.day("15:30:00")}})
        with pytest.raises(MissingError, match="currency"):
            rows(data)
        properties = data / "symbol-properties" / "symbol-properties-database.csv"
        properties.parent.mkdir()
        properties.write_text(
            "market,symbol,type,description,quote_currency\nindia,[*],equity,,INR\n"
        )
        (row,) = rows(data)
        assert (row["currency"], row["vt_symbol"]) == ("INR", "TCS.INDIA")
        assert row["timestamp"] == at("2024-01-02T10:00:00+00:00")

    def test_a_skipped_hour_and_a_repeated_one_have_no_time(self, data: Path) -> None:
        """Berlin's clocks: 02:30 did not exist on 31 March 2024 and came twice on 27 October."""
        zones = {"dataTimeZone": "Europe/Berlin", "exchangeTimeZone": "Europe/Berlin"}
        self.database(data, **{"Crypto-xetra-[*]": zones})
        line = ",1,1,1,1,5\n"
        place = data / "crypto" / "xetra" / "hour" / "abcdef_trade.zip"
        hours = ["20240331 01:00", "20240331 02:00", "20240331 03:00", "20241027 02:00"]
        leanfolder.pack(place, "".join(f"{hour}{line}" for hour in hours))
        assert times(data, "bars_1h") == ["2024-03-31T01:00", "2024-03-31T02:00", None, None]

    def test_a_broken_database(self, data: Path) -> None:
        equity(data, "ibm", "2024-01-02")
        place = data / "market-hours" / "market-hours-database.json"
        place.parent.mkdir()
        place.write_text('{"entries": {"Equity-usa-[*]": {"monday": 5}}}')
        with pytest.raises(UnreadableFileError, match="market hours"):
            rows(data)


class TestIdentity:
    """One security keeps one symbol; its bars lie in the file of the ticker of their day."""

    def identities(self, data: Path) -> dict[str, str]:
        return {f"{row['timestamp']:%Y-%m-%d}": row["vt_symbol"] for row in rows(data)}

    def test_a_rename(self, data: Path) -> None:
        """FB became META on 9 June 2022; the map file is named by the ticker it has for good."""
        leanfolder.maps(
            data, "usa", {"meta": ["20120518,fb,Q", "20220608,fb,Q", "20501231,meta,Q"]}
        )
        equity(data, "fb", "2022-06-07", "2022-06-08")
        equity(data, "meta", "2022-06-09")
        assert set(self.identities(data).values()) == {"META.NASDAQ"}

    def test_a_ticker_that_was_used_again(self, data: Path) -> None:
        """Rows of an earlier owner are his; those that nobody claims stay with the ticker."""
        leanfolder.maps(
            data,
            "usa",
            {
                "fb.1": ["19990929,fb", "20030328,fb"],
                "fb": ["20120518,fb,Q", "20501231,fb,Q"],
            },
        )
        equity(data, "fb", "1999-09-28", "2003-03-28", "2003-03-31", "2012-05-18")
        assert self.identities(data) == {
            "1999-09-28": "FB.USA",
            "2003-03-28": "FB.1.USA",
            "2003-03-31": "FB.USA",
            "2012-05-18": "FB.NASDAQ",
        }

    def test_two_securities_swap_a_ticker(self, data: Path) -> None:
        """Google, 2014: GOOG became GOOGL, and GOOCV became GOOG, over one night."""
        leanfolder.maps(
            data,
            "usa",
            {
                "googl": ["20040819,goog,Q", "20140402,goog,Q", "20501231,googl,Q"],
                "goog": ["20140327,goocv,Q", "20140402,goocv,Q", "20501231,goog,Q"],
            },
        )
        equity(data, "goog", "2014-04-02", "2014-04-03", price=100)
        equity(data, "googl", "2014-04-03", price=200)
        equity(data, "goocv", "2014-04-02", price=300)
        got = {(row["close"], f"{row['timestamp']:%d}"): row["vt_symbol"] for row in rows(data)}
        assert got == {
            (100.5, "02"): "GOOGL.NASDAQ",
            (100.5, "03"): "GOOG.NASDAQ",
            (200.5, "03"): "GOOGL.NASDAQ",
            (300.5, "02"): "GOOG.NASDAQ",
        }

    def test_facts_are_told_beside_the_bars(self, data: Path) -> None:
        lines = ["19980102,nb,N", "19980930,nb,N", "20501231,bac,N"]
        leanfolder.maps(data, "usa", {"bac": lines, "zzz": ["19980102,zzz,N", "20501231,zzz,N"]})
        leanfolder.factors(
            data, "usa", {"bac": ["19980102,inf,1,1", "20040826,0.7,0.5,90", "20501231,1,1,0"]}
        )
        equity(data, "nb", "1998-09-30")
        lean, wanted = Lean(), request(data)
        list(lean.fetch(wanted))
        facts = lean.facts(wanted)
        assert facts["symbol_map"].to_pylist() == [
            {"vt_symbol": "BAC.NYSE", "ticker": "NB", "exchange": "NYSE",
             "valid_from": dt.date(1998, 1, 2), "valid_to": dt.date(1998, 9, 30)},
            {"vt_symbol": "BAC.NYSE", "ticker": "BAC", "exchange": "NYSE",
             "valid_from": dt.date(1998, 10, 1), "valid_to": None},
        ]  # fmt: skip
        assert facts["adjustments"].to_pylist() == [
            {"vt_symbol": "BAC.NYSE", "date": dt.date(2004, 8, 26),
             "price_factor": 0.7, "split_factor": 0.5},
            {"vt_symbol": "BAC.NYSE", "date": dt.date(2050, 12, 31),
             "price_factor": 1.0, "split_factor": 1.0},
        ]  # fmt: skip

    def test_the_newest_zip_of_map_files_counts(self, data: Path) -> None:
        folder = data / "equity" / "usa" / "map_files"
        folder.mkdir(parents=True)
        for day, exchange in (("20230101", "N"), ("20240101", "Q")):
            with zipfile.ZipFile(folder / f"map_files_{day}.zip", "w") as archive:
                archive.writestr("x.csv", f"19980102,x,{exchange}\n20501231,x,{exchange}\n")
        equity(data, "x", "2024-01-02")
        assert set(self.identities(data).values()) == {"X.NASDAQ"}


class TestRequests:
    """What is asked for, and how it is named."""

    def test_payloads_come_by_path_with_sources_inside_the_folder(self, data: Path) -> None:
        for ticker in ("msft", "aapl", "ibm"):
            equity(data, ticker, "2024-01-02")
        payloads = list(Lean().fetch(request(data)))
        assert [payload.source for payload in payloads] == [
            f"lean:equity/usa/daily/{ticker}.zip" for ticker in ("aapl", "ibm", "msft")
        ]
        assert {payload.table for payload in payloads} == {
            "alphaswarm_bronze_lean.equity_usa_daily_trade"
        }

    def test_the_same_bytes_under_two_tickers_are_two_payloads(self, data: Path) -> None:
        equity(data, "a", "2024-01-02")
        equity(data, "b", "2024-01-02")
        one, two = (payload.sha256 for payload in Lean().fetch(request(data)))
        assert one != two

    def test_symbols_leave_out_files_of_others_and_find_former_tickers(self, data: Path) -> None:
        leanfolder.maps(
            data, "usa", {"meta": ["20120518,fb,Q", "20220608,fb,Q", "20501231,meta,Q"]}
        )
        for ticker in ("fb", "meta", "ibm"):
            equity(data, ticker, "2022-06-07")
        payloads = list(Lean().fetch(request(data, symbols=["META.NASDAQ"])))
        assert [payload.source[-8:] for payload in payloads] == ["y/fb.zip", "meta.zip"]
        with pytest.raises(UnknownNameError) as caught:
            list(Lean().fetch(request(data, symbols=["METAA.NASDAQ"])))
        assert caught.value.facts["nearest"][0] == "META.NASDAQ"

    def test_a_folder_inside_restricts(self, data: Path) -> None:
        equity(data, "ibm", "2024-01-02")
        place = data / "crypto" / "coinbase" / "daily" / "btcusd_trade.zip"
        leanfolder.pack(place, "20180404 00:00,1,1,1,1,1\n")
        assert len(rows(data)) == 2
        assert len(rows(data, path=f"{data.name}/crypto")) == 1
        assert len(rows(data, path=f"{data.name}/equity/usa/daily")) == 1
        (data / "crypto" / "coin").mkdir()
        with pytest.raises(MissingError):  # coinbase only begins like it
            rows(data, path=f"{data.name}/crypto/coin")

    def test_the_fingerprint_covers_what_is_read_and_nothing_else(self, data: Path) -> None:
        equity(data, "ibm", "2024-01-02")

        def taken() -> str:
            return Lean().fingerprint(request(data))

        before = taken()
        other = data / "equity" / "usa" / "tick" / "ibm" / "20240102_trade.zip"
        leanfolder.pack(other, "34200000,1000000,5,N,0,0\n")
        assert taken() == before
        leanfolder.maps(data, "usa", {"ibm": ["19980102,ibm,N", "20501231,ibm,N"]})
        mapped = taken()
        assert mapped != before
        equity(data, "ibm", "2024-01-02", "2024-01-03")
        assert taken() != mapped

    def test_a_known_payload_is_not_looked_into(self, data: Path) -> None:
        place = data / "equity" / "usa" / "daily" / "ibm.zip"
        leanfolder.pack(place, '20240102 00:00,"1,1,1,1,1\n')
        with pytest.raises(UnreadableFileError):
            list(Lean().fetch(request(data)))
        (payload,) = Lean().fetch(request(data, known=lambda _: True))
        assert isinstance(payload, Payload)


class TestBadFolders:
    """One clear error, or a row that is told apart."""

    def test_values_that_are_none(self, data: Path) -> None:
        place = data / "equity" / "usa" / "daily" / "ibm.zip"
        lines = [
            "20240102 00:00,x,1,1,1,1",
            "20240103 00:00,,1,1,1,1",
            "someday,1,1,1,1,1",
            "short",
        ]
        leanfolder.pack(place, "\n".join(lines) + "\n")
        lean = Lean()
        (payload,) = lean.fetch(request(data))
        got = {row["_row"]: row for row in read(lean, [payload]).to_pylist()}
        assert got[1]["open"] != got[1]["open"]  # not a number
        assert got[2]["open"] is None
        assert got[3]["timestamp"] is None
        assert [line.row for line in broken(payload)] == [4]

    @pytest.mark.parametrize("clock", ["-1", "86400000", "x", ""])
    def test_a_minute_outside_the_day_has_no_time(self, data: Path, clock: str) -> None:
        place = data / "equity" / "usa" / "minute" / "ibm" / "20240102_trade.zip"
        leanfolder.pack(place, f"{clock},1,1,1,1,1\n")
        assert times(data, "bars_1m") == [None]

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            pytest.param(lambda place: place.write_bytes(b"PK\x03\x04"), "cut off", id="half"),
            pytest.param(lambda place: place.write_bytes(b"rubbish"), "cut off", id="rubbish"),
            pytest.param(
                lambda place: zipfile.ZipFile(place, "a").writestr("more.csv", "1"), "one file",
                id="two members",
            ),
        ],
    )  # fmt: skip
    def test_a_zip_that_cannot_be_read(self, data: Path, spoil: Any, words: str) -> None:
        equity(data, "ibm", "2024-01-02")
        spoil(data / "equity" / "usa" / "daily" / "ibm.zip")
        with pytest.raises(UnreadableFileError, match=words):
            rows(data)

    @pytest.mark.parametrize("line", ["2024-01-02,x,N", "nonsense", "20241332,x,N"])
    def test_a_map_file_that_lean_would_not_write(self, data: Path, line: str) -> None:
        leanfolder.maps(data, "usa", {"ibm": ["19980102,ibm,N", line]})
        equity(data, "ibm", "2024-01-02")
        with pytest.raises(UnreadableFileError, match=r"Line 2 of 'ibm\.csv'"):
            rows(data)

    def test_empty_files(self, data: Path) -> None:
        leanfolder.pack(data / "equity" / "usa" / "daily" / "ibm.zip", "")
        with pytest.raises(EmptyAppendError):
            rows(data)
        equity(data, "msft", "2024-01-02")
        assert len(rows(data)) == 1

    def test_no_lean_folder_at_all(self, data: Path) -> None:
        (data / "prices.csv").write_text("a,b\n1,2\n")
        with pytest.raises(MissingError, match="no Lean data folder"):
            rows(data)

    def test_factors_are_no_table_of_their_own(self, data: Path) -> None:
        equity(data, "ibm", "2024-01-02")
        with pytest.raises(AlphaSwarmError, match="bars or quotes"):
            rows(data, "adjustments")

    def test_a_folder_that_is_not_allowed(self, data: Path, tmp_path: Path) -> None:
        equity(data, "ibm", "2024-01-02")
        with pytest.raises(AlphaSwarmError) as caught:
            rows(data, path=str(tmp_path))
        assert caught.value.wire_code == "path_not_allowed"


def test_an_identity_is_not_renamed_by_what_its_ticker_once_meant(
    data: Path, depot: Depot, tmp_path: Path
) -> None:
    """GOOG.NASDAQ was GOOCV on 28 March 2014, when the ticker GOOG was still GOOGL.NASDAQ's."""
    leanfolder.maps(
        data,
        "usa",
        {
            "googl": ["20040819,goog,Q", "20140402,goog,Q", "20501231,googl,Q"],
            "goog": ["20140327,goocv,Q", "20140402,goocv,Q", "20501231,goog,Q"],
        },
    )
    equity(data, "goog", "2014-03-27", "2014-04-03", price=100)
    spec = {"provider": "lean", "table": f"{MARKET}.bars_1d", "path": data.name}
    bring(depot, tmp_path, data, spec)
    equity(data, "goocv", "2014-03-28", price=300)
    assert bring(depot, tmp_path, data, spec).new == 1
    days = dt.date(2014, 1, 1), dt.date(2014, 12, 31)
    held = query.bars(depot.reader, ["GOOG.NASDAQ", "GOOGL.NASDAQ"], *days)
    assert [(row["vt_symbol"], row["close"]) for row in held.to_pylist()] == [
        ("GOOG.NASDAQ", 300.5),
        ("GOOG.NASDAQ", 100.5),
        ("GOOGL.NASDAQ", 100.5),
    ]


def bring(depot: Depot, tmp_path: Path, data: Path, spec: dict[str, Any]) -> IngestResult:
    run = Run(
        depot.writer,
        depot.log,
        run_id=new_id(NOW),
        spec_sha256=SPEC,
        created_at=NOW,
        progress=Silent(),
        spill=tmp_path,
    )
    return ingest(run, spec, allowed=[data.parent])
