"""Downloads: whole, resumed after a break, given up with the part kept, refused when other."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clients.downloads import ATTEMPTS, Download
from topology.errors import AlphaSwarmError

WHOLE = bytes(range(256)) * 4_000
DIGEST = hashlib.sha256(WHOLE).hexdigest()


@dataclass
class Shelf:
    """A server of one file that breaks off after ``cuts`` bytes, call by call; None: it does not.

    ``seen`` are the ranges that were asked for.
    """

    url: str = ""
    content: bytes = WHOLE
    cuts: list[int | None] = field(default_factory=list)
    status: int = 200
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """Serve a file on a port of this machine."""
    opened = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serve(self, opened)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    opened.url = f"http://127.0.0.1:{server.server_address[1]}/x"
    try:
        yield opened
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serve(request: BaseHTTPRequestHandler, shelf: Shelf) -> None:
    """Answer as our server does: 206 for a range of the same file, 200 for the whole."""
    asked = request.headers.get("range", "")
    shelf.seen.append(asked)
    match = re.fullmatch(r"bytes=(\d+)-", asked)
    begin = int(match[1]) if match else 0
    body = shelf.content[begin:]
    request.send_response(206 if match and shelf.status == 200 else shelf.status)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[: shelf.cuts.pop(0) if shelf.cuts else None])


def download(shelf: Shelf, **more: Any) -> Download:
    facts = {"sha256": DIGEST, "bytes": len(WHOLE), "sleep": lambda _: None, **more}
    return Download(shelf.url, tokens=lambda: "token", **facts)


def test_a_whole_file_arrives_and_its_part_is_gone(shelf: Shelf, tmp_path: Path) -> None:
    moved: list[int] = []

    download(shelf).to(tmp_path / "x", lambda here, _: moved.append(here))

    assert (tmp_path / "x").read_bytes() == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert moved[-1] == len(WHOLE)


def test_a_broken_connection_goes_on_where_it_broke_off(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cuts = [300_000, 500_000, None]

    download(shelf).to(tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == WHOLE
    assert shelf.seen[0] == ""
    assert all(re.fullmatch(r"bytes=\d+-", asked) for asked in shelf.seen[1:])


def test_a_part_of_an_earlier_command_is_gone_on_with(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(WHOLE[:1_000])

    download(shelf).to(tmp_path / "x")

    assert shelf.seen == ["bytes=1000-"]
    assert (tmp_path / "x").read_bytes() == WHOLE


def test_a_server_that_always_breaks_off_keeps_the_part(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cuts = [1_000, *[0] * ATTEMPTS]

    with pytest.raises(AlphaSwarmError) as refused:
        download(shelf).to(tmp_path / "x")

    assert refused.value.wire_code == "unreachable"
    assert (tmp_path / "x.part").read_bytes() == WHOLE[: (tmp_path / "x.part").stat().st_size]
    assert not (tmp_path / "x").exists()


def test_another_file_than_the_one_promised_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.content = bytes(len(WHOLE))

    with pytest.raises(AlphaSwarmError) as refused:
        download(shelf).to(tmp_path / "x")

    assert refused.value.wire_code == "artifact_mismatch"
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_byte_is_a_file(shelf: Shelf, tmp_path: Path) -> None:
    shelf.content = b""

    download(shelf, sha256=hashlib.sha256(b"").hexdigest(), bytes=0).to(tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == b""


def test_who_may_not_download_is_told_so_at_once(shelf: Shelf, tmp_path: Path) -> None:
    shelf.status = 401

    with pytest.raises(AlphaSwarmError) as refused:
        download(shelf).to(tmp_path / "x")

    assert len(shelf.seen) == 1
    assert refused.value.wire_code != "unreachable"
