"""A model server on this machine that answers from a script, over the wire of chat completions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import SecretStr

from runtimes.gateway.complete import Calls
from runtimes.gateway.words import BudgetExceededError, Kept, Place, Wanted
from topology.egress import Guard
from topology.models import Model
from topology.sections import Allowed, Egress


@dataclass(frozen=True)
class Reply:
    """What the server does once: an answer, or trouble."""

    body: Mapping[str, Any] | bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


def said(text: str, *, finish: str = "stop", usage: tuple[int, int] | None = (10, 5)) -> Reply:
    return _reply({"role": "assistant", "content": text}, finish, usage)


def called(*calls: tuple[str, Any], usage: tuple[int, int] | None = (10, 5)) -> Reply:
    """Answer with tool calls: (name, arguments); arguments that are text are sent as they are."""
    wanted = [
        {
            "id": f"call_{index}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for index, (name, given) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": wanted}
    return _reply(message, "tool_calls", usage)


def _reply(message: Mapping[str, Any], finish: str, usage: tuple[int, int] | None) -> Reply:
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage is not None:
        prompt, completion = usage
        total = prompt + completion
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": total,
        }
    return Reply(body)


@dataclass(frozen=True)
class Heard:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


Script = Callable[[Mapping[str, Any]], Reply]


class ScriptedModel:
    """Listens on 127.0.0.1; answers ``replies`` one after the other, then by ``script``."""

    def __init__(self, *replies: Reply, script: Script | None = None) -> None:
        self.replies = list(replies)
        self.script = script
        self.heard: list[Heard] = []
        model = self

        class Talker(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                heard = Heard(self.path, dict(self.headers.items()), raw)
                model.heard.append(heard)
                model._answer(self, heard)

            def do_GET(self) -> None:
                listed = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
                _send(self, Reply(listed))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  its name there
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away in the middle is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Talker)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, talker: BaseHTTPRequestHandler, heard: Heard) -> None:
        if self.replies:
            reply = self.replies.pop(0)
        elif self.script is not None:
            reply = self.script(heard.body)
        else:
            reply = Reply({"error": {"message": "nothing left to say"}}, 500)
        time.sleep(reply.wait_s)
        if heard.body.get("stream") and reply.status == 200 and isinstance(reply.body, Mapping):
            _stream(talker, reply.body)
        else:
            _send(talker, reply)


def _send(talker: BaseHTTPRequestHandler, reply: Reply) -> None:
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    talker.send_response(reply.status)
    for name, value in {"Content-Type": "application/json", **reply.headers}.items():
        talker.send_header(name, value)
    talker.send_header("Content-Length", str(len(body)))
    talker.end_headers()
    talker.wfile.write(body)


def _stream(talker: BaseHTTPRequestHandler, body: Mapping[str, Any]) -> None:
    """Send an answer word by word, its tool calls in two halves, then finish and usage."""
    choice = body["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f"{word} "} for word in (message.get("content") or "").split(" ")]
    for index, call in enumerate(message.get("tool_calls", ())):
        text = call["function"]["arguments"]
        half = len(text) // 2
        first = {"name": call["function"]["name"], "arguments": text[:half]}
        deltas.append(
            {
                "tool_calls": [
                    {"index": index, "id": call["id"], "type": "function", "function": first}
                ]
            }
        )
        rest = {"index": index, "function": {"arguments": text[half:]}}
        deltas.append({"tool_calls": [rest]})
    talker.send_response(200)
    talker.send_header("Content-Type", "text/event-stream")
    talker.send_header("Connection", "close")
    talker.end_headers()
    common = {
        "id": body["id"],
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
    }
    chunks = [{**common, "choices": [{"index": 0, "delta": d}]} for d in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    chunks.append({**common, "choices": [end]})
    chunks.append({**common, "choices": [], "usage": body.get("usage")})
    for chunk in chunks:
        talker.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    talker.wfile.write(b"data: [DONE]\n\n")
    talker.close_connection = True


@contextmanager
def scripted(*replies: Reply, script: Script | None = None) -> Iterator[ScriptedModel]:
    model = ScriptedModel(*replies, script=script)
    try:
        yield model
    finally:
        model.close()


def described(url: str, **keys: Any) -> Model:
    """Return the topology's entry for a model at ``url``."""
    plain = {"provider": "openai_compatible", "base_url": url, "model": "scripted"}
    return Model.model_validate({"timeout_s": 60, **plain, **keys})


def allowing(*models: Model) -> Egress:
    """Return the section that lets prompts reach ``models``."""
    places = dict.fromkeys(model.place for model in models)
    entries = (Allowed(host=h, port=p, purposes=("models",)) for h, p in places)
    return Egress(allow=tuple(entries))


class Quiet:
    """A `Progress` that keeps frames, and stops when it is told to."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, dict[str, Any]]] = []
        self.stop: Exception | None = None

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        self.frames.append((stage, extras))

    def checkpoint(self) -> None:
        if self.stop is not None:
            raise self.stop


class Memory:
    """A `Book` of plain lists: a purse of tokens, a cassette, and what was written."""

    def __init__(self, *, tokens: int = 1_000_000, cassette: Sequence[Kept] = ()) -> None:
        self.left = tokens
        self.cassette = {kept.place: kept for kept in cassette}
        self.settled: list[Kept] = []
        self.copied: list[Kept] = []
        self.failed: list[str] = []
        self._reserved: dict[tuple[Place, int], int] = {}

    def find(self, place: Place) -> Kept | None:
        return self.cassette.get(place)

    def begin(self, wanted: Wanted) -> int:
        most = wanted.usage.prompt + wanted.usage.completion
        if most > self.left:
            raise BudgetExceededError("No tokens are left.", left=self.left, wanted=most)
        self.left -= most
        attempt = 1 + sum(place == wanted.place for place, _ in self._reserved)
        self._reserved[wanted.place, attempt] = most
        return attempt

    def settle(self, kept: Kept, attempt: int) -> None:
        self.left += self._reserved[kept.place, attempt]
        self.left -= kept.usage.prompt + kept.usage.completion
        self.settled.append(kept)

    def fail(self, place: Place, attempt: int, *, code: str) -> None:
        self.failed.append(code)

    def copy(self, kept: Kept) -> None:
        self.copied.append(kept)

    @property
    def spent(self) -> Decimal:
        return sum((kept.cost for kept in self.settled), Decimal(0))


def calls(book: Memory | None = None, egress: Egress | None = None, **models: Model) -> Calls:
    """Return what a run gives the gateway; ``models`` by alias, all allowed unless said."""
    guard = Guard(egress if egress is not None else allowing(*models.values()), "models")
    return Calls(models, guard, lambda name: SecretStr(f"key-{name}"), Quiet(), book)
