"""Archives: packed data as it is, bombs and tricks refused before they cost anything."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import UnreadableFileError
from lakehouse.providers import archives, paths
from lakehouse.providers.base import Payload, Request
from lakehouse.providers.files import Files
from tests.kit.lake import BARS
from tests.kit.payloads import bronze
from topology.errors import MissingError

CSV = b"close,volume\n1.5,100\n2.5,200\n"
BOMB = b"close,volume\n" + b"1,1\n" * 2_000_000


def fetched(inbox: Path, data: bytes, name: str = "bars.zip") -> list[Payload]:
    (inbox / name).write_bytes(data)
    return list(Files().fetch(Request("files", BARS, name, allowed=[inbox])))


def zipped(members: dict[str, bytes], **named: Any) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", named.get("method", zipfile.ZIP_DEFLATED)) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"close": [1.5], "volume": [100.0]}), sink)
    return sink.getvalue()


class TestPackedData:
    """What is packed is read as if it were not."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(gzip.compress(CSV), id="gzip"),
            pytest.param(gzip.compress(CSV[:13]) + gzip.compress(CSV[13:]), id="gzip in parts"),
            pytest.param(zstd(CSV), id="zstd"),
            pytest.param(zipped({"x.csv": CSV}), id="zip"),
            pytest.param(zipped({"x.csv": CSV}, method=zipfile.ZIP_STORED), id="zip, stored"),
        ],
    )
    def test_the_rows_are_the_same(self, tmp_path: Path, data: bytes) -> None:
        (payload,) = fetched(tmp_path, data)
        assert bronze(payload).column("close").to_pylist() == ["1.5", "2.5"]

    @pytest.mark.parametrize("pack", [gzip.compress, zstd, lambda data: zipped({"x.pq": data})])
    def test_parquet_may_be_packed_too(self, tmp_path: Path, pack: Any) -> None:
        (payload,) = fetched(tmp_path, pack(parquet()))
        assert bronze(payload).column("close").to_pylist() == [1.5]

    def test_a_large_parquet_is_to_be_unpacked_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archives, "MOST_COPIED", 100)
        with pytest.raises(UnreadableFileError, match="holds a Parquet file"):
            fetched(tmp_path, gzip.compress(parquet()))

    def test_every_member_of_a_zip_is_a_payload_by_name(self, tmp_path: Path) -> None:
        data = zipped(
            {
                "b.csv": CSV,
                "deep/a.csv": CSV.replace(b"1.5", b"3.5"),
                "__MACOSX/a.csv": b"litter",
                ".DS_Store": b"litter",
                "README.md": b"# no data",
            }
        )
        payloads = fetched(tmp_path, data)
        sources = [payload.source for payload in payloads]
        assert sources == ["files:bars.zip/b.csv", "files:bars.zip/deep/a.csv"]
        assert len({payload.sha256 for payload in payloads}) == 2

    def test_a_member_packed_again_is_the_same_payload(self, tmp_path: Path) -> None:
        """Its hash is that of the unpacked bytes: a re-zipped archive brings nothing new."""
        (one,) = fetched(tmp_path, zipped({"x.csv": CSV}))
        two, _ = fetched(tmp_path, zipped({"x.csv": CSV, "y.csv": CSV + b"1,1\n"}), "again.zip")
        assert one.sha256 == two.sha256

    def test_many_members_do_not_read_the_directory_many_times(self, tmp_path: Path) -> None:
        data = zipped({f"{number:05}.csv": CSV for number in range(1_000)})
        payloads = fetched(tmp_path, data)
        assert len(payloads) == 1_000
        assert bronze(payloads[-1]).num_rows == 2


def overlapping(count: int) -> bytes:
    """Return a zip whose central directory names one member many times over."""
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = body.compress(b"a,b\n" + b"1,2\n" * 1_000) + body.flush()
    size, crc = 4_004, zlib.crc32(b"a,b\n" + b"1,2\n" * 1_000)
    facts = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(packed), size, 5, 0)
    local = b"PK\x03\x04" + facts + b"x.csv" + packed
    names = [f"{number:05}" for number in range(count)]
    entry = struct.pack(
        "<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 33, crc, len(packed), size, 5, *[0] * 6
    )
    listed = b"".join(b"PK\x01\x02" + entry + name.encode() for name in names)
    tail = struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), len(local), 0)
    return local + listed + b"PK\x05\x06" + tail


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    return data.replace(old, new)


class TestTricks:
    """Each is one clear error, and little is unpacked before it."""

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            pytest.param(zipped({"x.csv": CSV})[:-30], "cut off", id="half a zip"),
            pytest.param(zipped({"a.zip": zipped({"x.csv": CSV})}), "inside", id="zip in zip"),
            pytest.param(
                zipped({"x.csv": zipped({"x": CSV})}), "inside", id="zip under a csv name"
            ),
            pytest.param(zipped({"x.csv.gz": gzip.compress(CSV)}), "inside", id="gzip in zip"),
            pytest.param(gzip.compress(gzip.compress(CSV)), "inside", id="gzip in gzip"),
            pytest.param(gzip.compress(zipped({"x.csv": CSV})), "inside", id="zip in gzip"),
            pytest.param(zipped({"../../x.csv": CSV}), "leads out", id="a name with dots"),
            pytest.param(zipped({"/etc/x.csv": CSV}), "leads out", id="an absolute name"),
            pytest.param(
                zipped({"x.csv": CSV}, method=zipfile.ZIP_BZIP2), "deflate", id="another method"
            ),
            pytest.param(overlapping(3_000), "overlap", id="members that overlap"),
            pytest.param(zstd(CSV)[:-5], "cut off", id="half a zstd"),
            pytest.param(gzip.compress(CSV) + b"rubbish", "cut off", id="bytes after a gzip"),
        ],
    )
    def test_refused(self, tmp_path: Path, data: bytes, words: str) -> None:
        with pytest.raises(UnreadableFileError, match=words) as caught:
            fetched(tmp_path, data)
        assert caught.value.hint
        assert str(tmp_path) not in str(caught.value.body())

    def test_a_wrong_checksum_is_found_before_anything_is_written(self, tmp_path: Path) -> None:
        data = bytearray(zipped({"x.csv": CSV}, method=zipfile.ZIP_STORED))
        place = data.index(b"1.5")
        data[place : place + 3] = b"9.5"
        with pytest.raises(UnreadableFileError, match="cut off or broken"):
            fetched(tmp_path, bytes(data))

    def test_an_encrypted_member(self, tmp_path: Path) -> None:
        data = bytearray(zipped({"x.csv": CSV}))
        data[data.index(b"PK\x01\x02") + 8] |= 1
        with pytest.raises(UnreadableFileError, match="encrypted"):
            fetched(tmp_path, bytes(data))

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_two_members_of_one_name(self, tmp_path: Path) -> None:
        data = renamed(zipped({"x.csv": CSV, "y.csv": CSV}), b"y.csv", b"x.csv")
        with pytest.raises(UnreadableFileError, match="two members"):
            fetched(tmp_path, data)

    def test_an_archive_without_data(self, tmp_path: Path) -> None:
        with pytest.raises(MissingError, match="no data files"):
            fetched(tmp_path, zipped({"README.md": b"# hello"}))


class TestBombs:
    """A bomb is what unpacks to 200 times its size and is large; the limit is found while reading.

    The free allowance is lowered here, so that the bombs of the suite are small.
    """

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archives, "FREE", 100_000)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(gzip.compress(BOMB), id="gzip"),
            pytest.param(zstd(BOMB), id="zstd"),
            pytest.param(zipped({"x.csv": BOMB}), id="zip"),
            pytest.param(
                zipped({f"{n}.csv": BOMB[:400_001] for n in range(20)}), id="many members"
            ),
        ],
    )
    def test_it_is_refused(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(UnreadableFileError, match="unpacks to more than") as caught:
            fetched(tmp_path, data)
        assert caught.value.facts["most_bytes"] < len(BOMB)

    def test_a_zip_that_lies_about_its_size(self, tmp_path: Path) -> None:
        """The directory promises few bytes; what comes is counted all the same."""
        data = bytearray(zipped({"x.csv": BOMB}))
        place = data.index(b"PK\x01\x02")
        data[place + 24 : place + 28] = struct.pack("<I", 100)
        with pytest.raises(UnreadableFileError):
            fetched(tmp_path, bytes(data))

    def test_it_is_stopped_while_it_unpacks(self, tmp_path: Path) -> None:
        (tmp_path / "x.gz").write_bytes(gzip.compress(BOMB))
        (file,) = paths.found("x.gz", [tmp_path])
        count = 0
        with suppress(UnreadableFileError), archives.unpacked(file) as stream:
            for block in iter(partial(stream.read, 65_536), b""):
                count += len(block)
            pytest.fail("it was unpacked to its end")
        assert count <= archives.FREE + archives.RATIO * file.size
