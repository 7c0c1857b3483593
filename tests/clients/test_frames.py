"""Server-sent events, cut wherever a network cuts them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.frames import ATTEMPTS, Stream, events
from topology.errors import AlphaSwarmError, BadInputError

TASK = "01" * 13


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["id: 1", 'data: {"seq": 1}', ""], [{"seq": 1}], id="one event"),
        pytest.param([": waiting", ""], [None], id="a comment is a heartbeat"),
        pytest.param(['data:{"a":', 'data: "b"}', ""], [{"a": "b"}], id="data over two lines"),
        pytest.param(['data: {"seq": 1}'], [], id="an event without its end is dropped"),
        pytest.param(["event: frame", ""], [], id="no data, no event"),
        pytest.param(
            ['data: {"seq": 1}', "", "", 'data: {"seq": 2}', ""],
            [{"seq": 1}, {"seq": 2}],
            id="blank lines between events do no harm",
        ),
    ],
)
def test_events_by_hand(lines: list[str], expected: list[Any]) -> None:
    assert list(events(lines)) == expected


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(), max_size=3)))
def test_every_object_written_as_an_event_is_read_back(objects: list[dict[str, Any]]) -> None:
    lines = [line for one in objects for line in (f"data: {json.dumps(one)}", "")]
    assert list(events(lines)) == objects


class Server:
    """A stream of ``total`` frames that breaks off behind each number of ``cuts``."""

    def __init__(self, total: int, cuts: list[int], status: int = 200) -> None:
        self.total, self.cuts, self.status = total, cuts, status
        self.asked: list[int] = []
        self.words: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        after = int(parse_qs(urlsplit(request.path).query)["after"][0])
        self.asked.append(after)
        self.words.append(request.headers["Authorization"])
        request.send_response(self.status)
        request.end_headers()
        if self.status == 204:
            return
        if self.status != 200:
            request.wfile.write(b'{"code": "not_found", "message": "No task.", "hint": ""}')
            return
        last = self.cuts.pop(0) if self.cuts else self.total
        for seq in range(after + 1, last + 1):
            stage = "done" if seq == self.total else "bar.processed"
            frame = {"task_id": TASK, "stage": stage, "seq": seq}
            request.wfile.write(f": beat\n\nid: {seq}\ndata: {json.dumps(frame)}\n\n".encode())

    def stream(self, after: int = 0) -> Stream:
        port = self.http.server_port
        return Stream(
            f"http://127.0.0.1:{port}", TASK, lambda: "word", after=after, sleep=lambda _: None
        )


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[Server] = []

    def start(*args: Any, **kwargs: Any) -> Server:
        server = Server(*args, **kwargs)
        threading.Thread(target=server.http.serve_forever, args=(0.01,)).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def test_a_stream_whose_last_frame_was_seen_is_over_at_once(serve: Any) -> None:
    server = serve(1, [], status=204)
    assert list(server.stream(after=1).frames()) == []
    assert len(server.asked) == 1


def test_a_broken_stream_goes_on_behind_the_last_frame(serve: Any) -> None:
    server = serve(9, [2, 2, 7])
    assert [frame["seq"] for frame in server.stream().frames()] == list(range(1, 10))
    assert server.asked == [0, 2, 2, 7]
    assert set(server.words) == {"Bearer word"}


def test_a_stream_begins_behind_what_was_seen(serve: Any) -> None:
    assert [frame["seq"] for frame in serve(5, []).stream(after=3).frames()] == [4, 5]


def test_heartbeats_tell_that_the_stream_is_caught_up(serve: Any) -> None:
    watched = list(serve(1, []).stream().watch())
    assert [frame and frame["seq"] for frame in watched] == [None, 1]


def test_a_refusal_is_raised_and_not_tried_again(serve: Any) -> None:
    server = serve(1, [], status=404)
    with pytest.raises(AlphaSwarmError, match="No task") as caught:
        list(server.stream().frames())
    assert caught.value.wire_code == "not_found"
    assert len(server.asked) == 1


def test_a_suite_that_is_gone_is_unreachable_after_some_attempts() -> None:
    pauses: list[float] = []
    stream = Stream("http://127.0.0.1:9", TASK, lambda: "word", sleep=pauses.append)
    with pytest.raises(AlphaSwarmError) as caught:
        list(stream.frames())
    assert caught.value.wire_code == "unreachable"
    assert len(pauses) == ATTEMPTS


def test_a_stream_that_ends_again_and_again_without_a_frame_is_given_up(serve: Any) -> None:
    server = serve(3, [0] * 50)
    with pytest.raises(AlphaSwarmError) as caught:
        list(server.stream().frames())
    assert caught.value.wire_code == "unreachable"


def test_a_task_id_is_not_a_path() -> None:
    with pytest.raises(BadInputError, match="not a task id"):
        Stream("http://127.0.0.1:9", "../../as/token", lambda: "word")
