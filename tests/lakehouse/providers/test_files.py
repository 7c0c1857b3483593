"""Files: what is read, and what each bad file is told."""

from __future__ import annotations

import gzip
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import EmptyAppendError, PathNotAllowedError, UnreadableFileError
from lakehouse.providers.base import Broken, Payload, Request
from lakehouse.providers.files import Files
from tests.kit.lake import BARS
from topology.errors import AlphaSwarmError, MissingError

CSV = b"""vt_symbol,timestamp,open,high,low,close,volume
AAPL.NASDAQ,2024-01-02,10,12,9,11,100
AAPL.NASDAQ,2024-01-03,11,13,10,12,
"""


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@dataclass(frozen=True)
class Whole:
    """A payload, read to its end."""

    payload: Payload
    rows: pa.Table
    broken: tuple[Broken, ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.payload, name)


def fetch(inbox: Path, path: str, *more: Path) -> Whole:
    payload = next(Files().fetch(Request("files", BARS, path, allowed=[inbox, *more])))
    batches = list(payload.batches())
    rows = pa.Table.from_batches([batch.rows for batch in batches])
    return Whole(payload, rows, tuple(line for batch in batches for line in batch.broken))


def put(inbox: Path, data: bytes, name: str = "bars.csv") -> str:
    (inbox / name).write_bytes(data)
    return name


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


class TestReading:
    """A payload is kept as it came."""

    def test_csv_stays_text(self, inbox: Path) -> None:
        got = fetch(inbox, put(inbox, CSV))
        assert got.rows.column("volume").to_pylist() == ["100", ""]
        assert got.rows.column("timestamp").to_pylist() == ["2024-01-02", "2024-01-03"]
        assert got.source == "files:bars.csv"

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(gzip.compress(CSV), id="gzip"),
            pytest.param(b"\xef\xbb\xbf" + CSV, id="byte order mark"),
            pytest.param(CSV.replace(b"\n", b"\r\n"), id="Windows lines"),
            pytest.param(CSV.replace(b",", b";"), id="semicolons"),
            pytest.param(CSV.replace(b",", b"\t"), id="tabs"),
            pytest.param(CSV.rstrip(b"\n"), id="no last line end"),
        ],
    )
    def test_dialects_give_the_same_rows(self, inbox: Path, data: bytes) -> None:
        plain = fetch(inbox, put(inbox, CSV))
        other = fetch(inbox, put(inbox, data, "other.csv"))
        assert other.rows == plain.rows
        assert other.table == plain.table
        assert other.sha256 != plain.sha256 or data == CSV

    def test_parquet_stays_typed(self, inbox: Path) -> None:
        data = parquet(
            price=pa.array([1.5]),
            count=pa.array([1], pa.int16()),
            name=pa.array(["x"]).dictionary_encode(),
            at=pa.array([0], pa.timestamp("ns", tz="America/New_York")),
            local=pa.array([0], pa.timestamp("ns")),
        )
        schema = fetch(inbox, put(inbox, data, "x.parquet")).rows.schema
        kinds = {field.name: str(field.type) for field in schema}
        assert kinds == {
            "price": "double",
            "count": "int64",
            "name": "string",
            "at": "timestamp[us, tz=UTC]",
            "local": "string",
        }

    def test_files_with_the_same_columns_share_a_bronze_table(self, inbox: Path) -> None:
        one = fetch(inbox, put(inbox, CSV, "1.csv"))
        two = fetch(inbox, put(inbox, CSV + b"MSFT.NASDAQ,2024-01-02,1,1,1,1,1\n", "2.csv"))
        other = fetch(inbox, put(inbox, CSV.replace(b"close", b"last"), "3.csv"))
        assert one.table == two.table != other.table
        assert one.table.startswith("alphaswarm_bronze_files.shape_")

    def test_a_column_without_a_name_gets_its_place(self, inbox: Path) -> None:
        got = fetch(inbox, put(inbox, b",close\n0,1.5\n"))
        assert got.rows.schema.names == ["column_1", "close"]

    def test_lines_that_are_no_rows_are_kept_apart(self, inbox: Path) -> None:
        got = fetch(inbox, put(inbox, CSV + b"AAPL.NASDAQ,2024-01-04,1\n" + CSV.splitlines()[1]))
        assert got.rows.num_rows == 3
        (line,) = got.broken
        assert (line.row, line.detail) == (3, "3 values instead of 7")
        assert line.content == "AAPL.NASDAQ,2024-01-04,1"


class TestBadFiles:
    """Each gets one sentence that says what to do."""

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(b"a,b\n1,\xff\xfe\n", "Line 2", id="not UTF-8"),
            pytest.param("a,b\n1,2\n".encode("utf-16"), "neither CSV", id="UTF-16"),
            pytest.param(b"PK\x03\x04" + b"x" * 50, "cut off", id="zip in name only"),
            pytest.param(bytes(range(256)), "neither CSV", id="binary"),
            pytest.param(b"<!DOCTYPE html><html>Sign in</html>", "web page", id="HTML"),
            pytest.param(b"\n<html>\n<p>a,b</p>\n</html>\n", "web page", id="HTML of lines"),
            pytest.param(gzip.compress(CSV)[:-10], "cut off", id="half a gzip"),
            pytest.param(b"\x1f\x8b" + b"nonsense" * 4, "cut off", id="gzip in name only"),
            pytest.param(b"PAR1" + b"x" * 50, "Parquet", id="Parquet in name only"),
            pytest.param(b"a,a\n1,2\n", "'a'", id="a column twice"),
            pytest.param(b"Close,close\n1,2\n", "'Close'", id="a column twice but for capitals"),
            pytest.param(b"_source,b\n1,2\n", "'_source'", id="a name of ours"),
            pytest.param(parquet(a=pa.array([[1]])), "nested", id="nested"),
            pytest.param(
                parquet(t=pa.array([1], pa.timestamp("ns", tz="UTC"))), "digits", id="nanoseconds"
            ),
        ],
    )
    def test_unreadable(self, inbox: Path, data: bytes, words: str) -> None:
        with pytest.raises(UnreadableFileError, match=words) as caught:
            fetch(inbox, put(inbox, data))
        assert caught.value.hint
        assert caught.value.wire_code == "unreadable_file"

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="no bytes"),
            pytest.param(b"\n\n  \n", id="blank lines"),
            pytest.param(gzip.compress(b""), id="gzip of nothing"),
            pytest.param(CSV.splitlines()[0], id="header without line end"),
            pytest.param(CSV.splitlines()[0] + b"\n", id="header only"),
            pytest.param(parquet(a=pa.array([], pa.int64())), id="Parquet without rows"),
        ],
    )
    def test_empty(self, inbox: Path, data: bytes) -> None:
        with pytest.raises(EmptyAppendError):
            fetch(inbox, put(inbox, data))


class TestPaths:
    """Only regular files below allowed folders, wherever links lead."""

    def test_a_relative_path_starts_at_the_inbox(self, inbox: Path) -> None:
        (inbox / "deep").mkdir()
        put(inbox / "deep", CSV)
        assert fetch(inbox, "deep/bars.csv").rows.num_rows == 2
        assert fetch(inbox, str(inbox / "deep" / "bars.csv")).rows.num_rows == 2

    def test_more_folders_may_be_allowed(self, inbox: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        put(other, CSV)
        assert fetch(inbox, str(other / "bars.csv"), other).rows.num_rows == 2
        with pytest.raises(PathNotAllowedError):
            fetch(inbox, str(other / "bars.csv"))

    def test_what_leads_out_looks_alike_whether_it_exists_or_not(
        self, inbox: Path, tmp_path: Path
    ) -> None:
        put(tmp_path, CSV, "secret.csv")
        (inbox / "link.csv").symlink_to(tmp_path / "secret.csv")
        (inbox / "folder").symlink_to(tmp_path)
        (inbox / "chain").symlink_to(inbox / "folder")
        paths = [
            "../secret.csv",
            "../nothing.csv",
            str(tmp_path / "secret.csv"),
            "/etc/passwd",
            "link.csv",
            "folder/secret.csv",
            "chain/secret.csv",
            "deep/../../secret.csv",
            "..",
            ".",
            "",
            "a\0b",
            "\ud800",
            "../" * 3_000,
        ]
        bodies = []
        for path in paths:
            with pytest.raises(PathNotAllowedError) as caught:
                fetch(inbox, path)
            bodies.append(caught.value.body())
        assert all(body == bodies[0] for body in bodies)
        assert str(tmp_path) not in str(bodies[0])

    def test_a_link_that_stays_inside_is_followed(self, inbox: Path) -> None:
        put(inbox, CSV)
        (inbox / "link.csv").symlink_to(inbox / "bars.csv")
        assert fetch(inbox, "link.csv").rows.num_rows == 2

    def test_an_inbox_that_is_itself_a_link_works(self, inbox: Path, tmp_path: Path) -> None:
        put(inbox, CSV)
        (tmp_path / "other").symlink_to(inbox)
        assert fetch(tmp_path / "other", "bars.csv").rows.num_rows == 2

    def test_a_missing_file_is_not_found(self, inbox: Path) -> None:
        with pytest.raises(MissingError) as caught:
            fetch(inbox, "barz.csv")
        assert caught.value.wire_code == "not_found"

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            pytest.param(os.mkdir, "folder", id="an empty folder"),
            pytest.param(os.mkfifo, "pipe", id="pipe, which must not block"),
        ],
    )
    def test_what_is_no_file_is_refused(self, inbox: Path, make: Any, words: str) -> None:
        make(inbox / "x")
        with pytest.raises(AlphaSwarmError, match=words):
            fetch(inbox, "x")

    def test_nothing_is_allowed_without_folders(self, inbox: Path) -> None:
        with pytest.raises(PathNotAllowedError):
            next(Files().fetch(Request("files", BARS, str(inbox / "x"), allowed=[])))
