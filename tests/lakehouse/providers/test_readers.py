"""Formats: CSV, Parquet and JSON lines as streams of rows, told by their bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import EmptyAppendError, UnreadableFileError
from lakehouse.providers import columnar, delimited, paths, readers
from lakehouse.providers.base import Batch, Broken
from lakehouse.providers.readers import Rows


def opened(folder: Path, data: bytes, name: str = "x") -> Rows:
    (folder / name).write_bytes(data)
    (file,) = paths.found(name, [folder])
    return readers.reader(file)


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_batches([batch.rows for batch in rows.batches()], rows.schema)


def broken(rows: Rows) -> list[Broken]:
    return [line for batch in rows.batches() for line in batch.broken]


def parquet(table: pa.Table, **named: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **named)
    return sink.getvalue()


class TestCsv:
    """Delimited text of any size."""

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            pytest.param("a,b\n1,2\n", ["a", "b"], id="comma"),
            pytest.param("a;b,c\n1;2\n", ["a", "b,c"], id="the next line decides a tie"),
            pytest.param('"a;x";"b;y"\n1;2\n', ["a;x", "b;y"], id="delimiters inside quotes"),
            pytest.param('"a, the first"\tb\n1\t2\n', ["a, the first", "b"], id="tab"),
            pytest.param("a|b\n1|2\n", ["a", "b"], id="bar"),
            pytest.param("\n\na,b\n1,2\n", ["a", "b"], id="blank lines before"),
            pytest.param("\ta\n1\t2\n", ["column_1", "a"], id="a column without a name"),
            pytest.param('a,"b ""x"""\n1,2\n', ["a", 'b "x"'], id="a quote in a quote"),
        ],
    )
    def test_the_delimiter_is_the_one_that_splits_the_header(
        self, tmp_path: Path, text: str, names: list[str]
    ) -> None:
        got = opened(tmp_path, text.encode())
        assert got.schema.names == names
        assert table(got).to_pylist() == [dict(zip(names, ("1", "2"), strict=True))]

    def test_a_value_may_hold_delimiters_and_line_ends(self, tmp_path: Path) -> None:
        got = table(opened(tmp_path, b'a,b\n"1,5","x\ny"\n2,z\n'))
        assert got.column("a").to_pylist() == ["1,5", "2"]
        assert got.column("b").to_pylist() == ["x\ny", "z"]

    def test_rows_beyond_the_first_block_are_numbered_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delimited, "BLOCK", 1_000)
        lines = [f"{number},x" if number % 97 else f"{number},x,y" for number in range(1, 2_001)]
        got = opened(tmp_path, ("a,b\n" + "\n".join(lines)).encode())
        assert [line.row for line in broken(got)] == list(range(97, 2_001, 97))
        numbers = [int(value) for value in table(got).column("a").to_pylist()]
        assert numbers == [number for number in range(1, 2_001) if number % 97]

    def test_empty_lines_are_no_rows(self, tmp_path: Path) -> None:
        got = opened(tmp_path, b"\n \r\na,b\n\n1,2\n\n3\n")
        assert table(got).num_rows == 1
        assert [line.row for line in broken(got)] == [2]

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        """64 MB in batches: what Arrow holds at any time stays below a few blocks."""
        line = b"AAPL.NASDAQ,2024-01-02T21:00:00Z,10.25,10.75,10.00,10.50,123456\n"
        header = b"vt_symbol,timestamp,open,high,low,close,volume\n"
        got = opened(tmp_path, header + line * 1_000_000)
        before, most, count = pa.total_allocated_bytes(), 0, 0
        for batch in got.batches():
            count += batch.rows.num_rows
            assert batch.rows.num_rows <= delimited.MOST_ROWS
            most = max(most, pa.total_allocated_bytes() - before)
        assert count == 1_000_000
        assert most < 8 * delimited.BLOCK

    def test_batches_may_be_taken_again(self, tmp_path: Path) -> None:
        got = opened(tmp_path, b"a,b\n1,2\n3\n")
        assert table(got).equals(table(got))
        assert broken(got) == broken(got) == [Broken(2, "1 values instead of 2", "3")]

    def test_ten_thousand_columns(self, tmp_path: Path) -> None:
        names = ",".join(f"c{number}" for number in range(10_000))
        with pytest.raises(UnreadableFileError, match="10,000 columns") as caught:
            opened(tmp_path, f"{names}\n{names}\n".encode())
        assert "row per bar" in caught.value.hint

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(b'a,b\n1,"2\n3,4\n', "quote is opened", id="an open quote"),
            pytest.param(b"a,a\n1,2\n", "'a' stands twice", id="a header twice"),
            pytest.param(
                b"a,b\n" + b"1,2\n" * 99 + b"\xe9,1\n", "Line 101", id="Latin-1 at line 101"
            ),
            pytest.param(b"a,b\n1,2\n\xe9,1,1\n", "Line 3", id="Latin-1 in a broken line"),
            pytest.param(b"a,b\n1,2\n3\xe9", "Line 3", id="half a letter at the end"),
            pytest.param(b"\xe9,b\n1,2\n", "Line 1", id="Latin-1 in the header"),
            pytest.param(b"a,b\n" + b"x" * 9_000 + b",1\n", "longer than", id="an endless line"),
        ],
    )
    def test_what_is_no_csv(
        self, tmp_path: Path, data: bytes, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delimited, "BLOCK", 4_096)
        with pytest.raises(UnreadableFileError, match=words):
            readers.check(opened(tmp_path, data))

    def test_rubbish_line_by_line_is_no_table(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delimited, "MOST_BROKEN", 10)
        with pytest.raises(UnreadableFileError):
            readers.check(opened(tmp_path, b"a,b\n" + b"1\n" * 11))


class TestJsonLines:
    """One object a line; numbers stay the text that was written."""

    def test_rows_and_columns(self, tmp_path: Path) -> None:
        data = b'{"t": "2024-01-02", "close": 1.10}\n\n{"close": 2e3, "n": null, "ok": true}\r\n'
        got = table(opened(tmp_path, data))
        assert got.to_pylist() == [
            {"t": "2024-01-02", "close": "1.10", "n": None, "ok": None},
            {"t": None, "close": "2e3", "n": None, "ok": "true"},
        ]

    def test_lines_that_are_no_flat_objects_are_kept_apart(self, tmp_path: Path) -> None:
        lines = ['{"a": 1}', "[1]", "nonsense", '{"a": {"b": 1}}', '{"a": 1, "a": 2}', '{"a": 3}']
        got = opened(tmp_path, "\n".join(lines).encode())
        assert table(got).column("a").to_pylist() == ["1", "3"]
        found = {line.row: line.detail for line in broken(got)}
        assert set(found) == {2, 3, 4, 5}
        assert "nested" in found[4]
        assert "stands twice" in found[5]

    def test_deep_nesting_breaks_a_line_not_the_reader(self, tmp_path: Path) -> None:
        got = opened(tmp_path, b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"\n")
        assert [line.row for line in broken(got)] == [2]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(b'[{"a": 1}]', "one JSON array", id="an array"),
            pytest.param(b'{"a": 1, "A": 2}\n', "stands twice", id="keys alike but for capitals"),
            pytest.param(
                json.dumps({f"k{n}": 1 for n in range(10_000)}).encode(), "columns", id="wide"
            ),
        ],
    )
    def test_what_is_refused(self, tmp_path: Path, data: bytes, words: str) -> None:
        with pytest.raises(UnreadableFileError, match=words):
            opened(tmp_path, data)

    def test_many_objects_come_in_batches(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lakehouse.providers import jsonlines

        monkeypatch.setattr(jsonlines, "MOST_ROWS", 10)
        got = opened(tmp_path, b"".join(b'{"a": %d}\n' % number for number in range(95)))
        assert [batch.rows.num_rows for batch in got.batches()] == [10] * 9 + [5]


class TestParquet:
    """Typed columns, a row group at a time."""

    def test_half_a_file(self, tmp_path: Path) -> None:
        whole = parquet(pa.table({"a": list(range(10_000))}))
        with pytest.raises(UnreadableFileError, match="Parquet") as caught:
            opened(tmp_path, whole[: len(whole) // 2])
        assert "half written" in caught.value.hint

    def test_a_broken_page_is_found_before_anything_is_written(self, tmp_path: Path) -> None:
        whole = bytearray(parquet(pa.table({"a": list(range(10_000))}), use_dictionary=False))
        whole[100:4_000] = bytes(3_900)
        with pytest.raises(UnreadableFileError):
            readers.check(opened(tmp_path, bytes(whole)))

    def test_a_file_that_unpacks_like_a_bomb(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(columnar, "FREE", 1_000)
        data = parquet(pa.table({"a": pa.repeat(pa.scalar(1.0), 2_000_000)}))
        with pytest.raises(UnreadableFileError, match="unpacks to more"):
            opened(tmp_path, data)

    def test_batches_are_bounded(self, tmp_path: Path) -> None:
        got = opened(tmp_path, parquet(pa.table({"a": list(range(150_000))})))
        assert max(batch.rows.num_rows for batch in got.batches()) <= columnar.MOST_ROWS
        assert table(got).column("a").to_pylist() == list(range(150_000))

    def test_ten_thousand_columns(self, tmp_path: Path) -> None:
        wide = pa.table({f"c{number}": [1] for number in range(10_000)})
        with pytest.raises(UnreadableFileError, match="10,000 columns"):
            opened(tmp_path, parquet(wide))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="no bytes"),
        pytest.param(b"\xef\xbb\xbf", id="a mark and nothing else"),
        pytest.param(b"a,b\n", id="a header and nothing else"),
        pytest.param(parquet(pa.table({"a": pa.array([], pa.int64())})), id="no rows of Parquet"),
    ],
)
def test_what_is_empty(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EmptyAppendError):
        readers.check(opened(tmp_path, data))


def test_a_file_that_changes_between_two_readings_is_refused(tmp_path: Path) -> None:
    """A payload's hash must be that of the rows which are written."""
    got = opened(tmp_path, b"a,b\n1,2\n")
    assert readers.check(got) == 1
    (tmp_path / "x").write_bytes(b"a,b\n1,2\n3,4\n")
    with pytest.raises(UnreadableFileError, match="changed while"):
        list[Batch](got.batches())
