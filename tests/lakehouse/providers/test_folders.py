"""Folders of files: which are taken, in which order, and how one that differs is named."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import (
    EmptyAppendError,
    PathNotAllowedError,
    SchemaMismatchError,
    UnreadableFileError,
)
from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from lakehouse.providers.base import Payload, Reading, Request
from lakehouse.providers.files import Files, symbol_of
from lakehouse.providers.mapping import beside
from tests.kit.lake import BARS, NOW, SPEC, Depot, Silent
from tests.kit.payloads import read
from topology.errors import MissingError
from topology.ids import new_id

CSV = b"timestamp,open,high,low,close,volume\n2024-01-02,10,12,9,11,100\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(inbox: Path, *names: str, data: bytes = CSV) -> None:
    for name in names:
        (inbox / name).parent.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_bytes(data)


def fetch(inbox: Path, path: str, **named: Any) -> list[Payload]:
    return list(Files().fetch(Request("files", BARS, path, allowed=[inbox], **named)))


def sources(inbox: Path, path: str) -> list[str]:
    return [payload.source.removeprefix("files:") for payload in fetch(inbox, path)]


class TestChoice:
    """A folder gives its data files by name, however deep; a glob gives what fits."""

    def test_by_name_however_deep(self, inbox: Path) -> None:
        put(inbox, "eod/b.csv", "eod/a/z.csv", "eod/a.csv", "eod/B.csv")
        assert sources(inbox, "eod") == ["eod/B.csv", "eod/a.csv", "eod/a/z.csv", "eod/b.csv"]

    def test_what_is_no_data_by_its_name_is_left(self, inbox: Path) -> None:
        put(
            inbox,
            "eod/a.csv",
            "eod/.hidden.csv",
            "eod/.git/x.csv",
            "eod/README.md",
            "eod/notes.txt",
        )
        put(inbox, "eod/alphaswarm-mapping.yaml", data=b"timezone: UTC\n")
        assert sources(inbox, "eod") == ["eod/a.csv"]

    def test_text_files_are_data_where_there_is_nothing_else(self, inbox: Path) -> None:
        put(inbox, "stocks/a.us.txt", "stocks/b.us.txt")
        assert len(sources(inbox, "stocks")) == 2

    @pytest.mark.parametrize(
        ("glob", "found"),
        [
            ("eod/*.csv", ["eod/a.csv"]),
            ("eod/*", ["eod/a.csv", "eod/b.dat"]),
            ("eod/**/*.csv", ["eod/2023/c.csv", "eod/2024/q1/d.csv", "eod/a.csv"]),
            ("eod/20[2-3]?/*.csv", ["eod/2023/c.csv"]),
            ("e*/20*/**", ["inbox/eod/2023/c.csv", "inbox/eod/2024/q1/d.csv"]),
        ],
    )
    def test_globs(self, inbox: Path, glob: str, found: list[str]) -> None:
        put(inbox, "eod/a.csv", "eod/b.dat", "eod/2023/c.csv", "eod/2024/q1/d.csv")
        assert sources(inbox, glob) == found

    @pytest.mark.parametrize("glob", ["**/" * 900 + "x.csv", "**/*/" * 400 + "x.csv"])
    def test_no_glob_takes_long(self, inbox: Path, glob: str) -> None:
        """Trying every way to read each ``**``, one after another, would take years."""
        put(inbox, "a/b/c/d/e/f.csv")
        with pytest.raises(MissingError):
            sources(inbox, glob)
        assert sources(inbox, "**/" * 900 + "*.csv") == ["inbox/a/b/c/d/e/f.csv"]

    @pytest.mark.parametrize("path", ["x" * 300, "eod/" + "é" * 200, "a/" * 2_000 + "b"])
    @pytest.mark.parametrize("prefix", ["", "eod/*/", "lean/"])
    def test_a_name_longer_than_any(self, inbox: Path, prefix: str, path: str) -> None:
        put(inbox, "eod/a.csv")
        with pytest.raises((PathNotAllowedError, MissingError)):
            fetch(inbox, prefix + path)
        with pytest.raises(PathNotAllowedError):
            beside(path, [inbox])

    def test_a_file_whose_name_looks_like_a_glob(self, inbox: Path) -> None:
        put(inbox, "a[1].csv")
        assert sources(inbox, "a[1].csv") == ["a[1].csv"]

    @pytest.mark.parametrize("path", ["eod", "eod/*.csv"])
    def test_nothing_there(self, inbox: Path, path: str) -> None:
        (inbox / "eod").mkdir()
        with pytest.raises(MissingError):
            fetch(inbox, path)

    def test_links_are_no_way_out(self, inbox: Path, tmp_path: Path) -> None:
        put(tmp_path, "secret.csv")
        put(inbox, "eod/a.csv")
        (inbox / "eod" / "b.csv").symlink_to(tmp_path / "secret.csv")
        for path in ("eod", "eod/*", "../*.csv", "eod/../../*.csv"):
            with pytest.raises(PathNotAllowedError):
                fetch(inbox, path)

    def test_a_link_to_a_folder_is_named_not_followed(self, inbox: Path, tmp_path: Path) -> None:
        put(inbox, "eod/a.csv", "other/b.csv")
        (inbox / "eod" / "more").symlink_to(inbox / "other")
        with pytest.raises(UnreadableFileError, match="'more' is a link"):
            fetch(inbox, "eod")


class TestDrift:
    """Files of one folder have the same columns, or the first that differs is told."""

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(
                CSV.replace(b"close", b"last"), "missing 'close'; new 'last'", id="renamed"
            ),
            pytest.param(
                CSV.replace(b",volume", b"").replace(b",100", b""), "missing 'volume'", id="gone"
            ),
            pytest.param(CSV.replace(b"\n", b",x\n"), "new 'x'", id="more"),
            pytest.param(CSV.replace(b"open,high", b"high,open"), "in another order", id="order"),
        ],
    )
    def test_columns(self, inbox: Path, data: bytes, words: str) -> None:
        put(inbox, "eod/a.csv", "eod/c.csv")
        put(inbox, "eod/b.csv", data=data)
        with pytest.raises(SchemaMismatchError) as caught:
            fetch(inbox, "eod")
        assert "1 of 3 files" in caught.value.message
        assert "'eod/b.csv'" in caught.value.message
        assert words in caught.value.message
        assert list(caught.value.facts["files"]) == ["eod/b.csv"]

    def test_types(self, inbox: Path) -> None:
        for name, kind in (("a", pa.float64()), ("b", pa.string())):
            sink = io.BytesIO()
            pq.write_table(pa.table({"close": pa.array(["1"]).cast(kind)}), sink)
            put(inbox, f"eod/{name}.parquet", data=sink.getvalue())
        with pytest.raises(SchemaMismatchError, match=r"close \(string, not double\)"):
            fetch(inbox, "eod")


class TestBadMembers:
    """What is wrong with one of many is told with its name, before anything is written."""

    def test_the_last_one_is_broken(self, inbox: Path) -> None:
        put(inbox, "eod/a.csv", "eod/b.csv")
        put(inbox, "eod/c.csv.gz", data=gzip.compress(CSV)[:-6])
        with pytest.raises(UnreadableFileError) as caught:
            fetch(inbox, "eod")
        assert caught.value.facts["file"] == "eod/c.csv.gz"

    def test_empty_ones_are_left_out_and_told(self, inbox: Path) -> None:
        put(inbox, "eod/a.csv", "eod/d.csv")
        put(inbox, "eod/b.csv", data=b"")
        put(inbox, "eod/c.csv", data=CSV.splitlines()[0] + b"\n")
        progress = Silent()
        assert len(fetch(inbox, "eod", progress=progress)) == 2
        ((stage, told),) = progress.frames
        assert (stage, told["code"]) == ("warning", "empty_files")
        assert told["files"] == ["eod/b.csv", "eod/c.csv"]
        with pytest.raises(EmptyAppendError):
            fetch(inbox, "eod/[bc].csv")


class TestSymbols:
    """A symbol may stand in the file's name, and its exchange in the reading."""

    @pytest.mark.parametrize(
        ("name", "symbol"),
        [
            ("eod/AAPL.NASDAQ.csv", "AAPL.NASDAQ"),
            ("eod/aapl.csv.gz", "AAPL"),
            ("all.zip/deep/brk.b.parquet", "BRK.B"),
            ("aapl.us.txt", "AAPL.US"),
        ],
    )
    def test_from_the_name(self, name: str, symbol: str) -> None:
        assert symbol_of(name) == symbol

    def test_from_the_file(self, inbox: Path) -> None:
        put(inbox, "eod/aapl.csv", "eod/brk.b.csv")
        files = Files()
        reading = Reading(vt_symbol_from="file", exchange="NYSE")
        request = Request("files", BARS, "eod", allowed=[inbox], reading=reading)
        payloads = list(files.fetch(request))
        assert read(files, payloads).column("vt_symbol").to_pylist() == ["AAPL.NYSE", "BRK.B.NYSE"]

    def test_the_same_bytes_under_two_names_are_two_symbols(self, inbox: Path) -> None:
        put(inbox, "eod/aapl.csv", "eod/msft.csv")
        one, two = fetch(inbox, "eod", reading=Reading(vt_symbol_from="file"))
        assert one.sha256 != two.sha256
        one, two = fetch(inbox, "eod")
        assert one.sha256 == two.sha256

    def test_an_exchange_for_a_column_of_tickers(self, inbox: Path) -> None:
        put(inbox, "x.csv", data=b"Ticker,close\nAAPL ,1\n,2\n")
        files = Files()
        reading = Reading(columns={"vt_symbol": "Ticker"}, exchange="NASDAQ")
        payloads = list(
            files.fetch(Request("files", BARS, "x.csv", allowed=[inbox], reading=reading))
        )
        assert read(files, payloads).column("Ticker").to_pylist() == ["AAPL.NASDAQ", ".NASDAQ"]


class TestAgain:
    """A folder brought in again brings in what is new in it."""

    def test_only_the_new_file_is_read(self, inbox: Path, depot: Depot, tmp_path: Path) -> None:
        put(inbox, "eod/aapl.csv", "eod/ibm.csv")
        first = self.bring(inbox, depot, tmp_path)
        assert (first.payloads, first.skipped, first.new) == (2, 0, 2)
        put(inbox, "eod/msft.csv")
        second = self.bring(inbox, depot, tmp_path)
        assert (second.payloads, second.skipped, second.new) == (3, 2, 1)

    def bring(self, inbox: Path, depot: Depot, tmp_path: Path) -> IngestResult:
        reading = {"vt_symbol_from": "file", "exchange": "NYSE"}
        run = Run(
            depot.writer,
            depot.log,
            run_id=new_id(NOW),
            spec_sha256=SPEC,
            created_at=NOW,
            progress=Silent(),
            spill=tmp_path,
        )
        spec = {"provider": "files", "table": BARS, "path": "eod", "reading": reading}
        return ingest(run, spec, allowed=[inbox])


class TestFingerprint:
    """What a run is pinned to: the bytes of a file, or of all files of a folder."""

    def test_of_a_folder(self, inbox: Path) -> None:
        put(inbox, "eod/a.csv", "eod/b.csv")
        before = self.fingerprint(inbox, "eod")
        assert self.fingerprint(inbox, "eod/*.csv") == before
        put(inbox, "eod/c.csv")
        after = self.fingerprint(inbox, "eod")
        assert after != before
        (inbox / "eod" / "c.csv").rename(inbox / "eod" / "d.csv")
        assert self.fingerprint(inbox, "eod") != after

    def test_of_a_file_it_is_that_of_its_bytes(self, inbox: Path) -> None:
        put(inbox, "a.csv")
        assert self.fingerprint(inbox, "a.csv") == hashlib.sha256(CSV).hexdigest()

    def fingerprint(self, inbox: Path, path: str) -> str:
        return Files().fingerprint(Request("files", BARS, path, allowed=[inbox]))
