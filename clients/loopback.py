"""The loopback door of a browser sign-in: a port of this machine that waits for answers.

RFC 8252 s.7.3: bound to an address, never to a name or to all interfaces, and gone right after.
"""

from __future__ import annotations

import hmac
import queue
import threading
import time
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"
PATH = "/callback"
REPLY_S = 30.0
"""How long the browser waits while the code is redeemed."""
_SEVERAL = 16


@dataclass(frozen=True, slots=True)
class Page:
    """What the person reads when the browser's part is done."""

    title: str
    text: str


@dataclass(slots=True)
class Arrival:
    """An answer of the issuer; the browser waits until `reply` is called."""

    answer: dict[str, str]
    _replies: queue.Queue[Page | str] = field(default_factory=lambda: queue.Queue(1))

    def reply(self, what: Page | str) -> None:
        """Show a page, or lead the browser on to a URL."""
        self._replies.put(what)

    def answered(self) -> Page | str:
        """Return what `reply` was given, or a page that says it took too long."""
        try:
            return self._replies.get(timeout=REPLY_S)
        except queue.Empty:
            return Page("The sign-in took too long", "Start again at the command line.")


class Loopback:
    """Listens on a free port while the context is open."""

    def __init__(self) -> None:
        self._arrivals: queue.Queue[Arrival] = queue.Queue(_SEVERAL)
        arrivals = self._arrivals

        class Handler(_Handler):
            waiting = arrivals

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="loopback"
        )

    @property
    def redirect_uri(self) -> str:
        """Return the address that the issuer sends the browser back to."""
        return f"http://{HOST}:{self._server.server_port}{PATH}"

    def wait(self, state: str, *, timeout_s: float) -> Arrival | None:
        """Return the next answer that carries ``state``; others are refused unread."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                arrived = self._arrivals.get(timeout=left)
            except queue.Empty:
                break
            if hmac.compare_digest(arrived.answer.get("state", "").encode(), state.encode()):
                return arrived
            arrived.reply(Page("This page is out of date", "Start again at the command line."))
        return None

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    waiting: queue.Queue[Arrival]
    timeout = REPLY_S

    def do_GET(self) -> None:
        """Hand the query over and answer what comes back."""
        parts = urlsplit(self.path)
        if parts.path != PATH:
            self.send_error(404)
            return
        arrival = Arrival(dict(parse_qsl(parts.query)))
        try:
            self.waiting.put_nowait(arrival)
        except queue.Full:
            self.send_error(503)
            return
        self._say(arrival.answered())

    def _say(self, what: Page | str) -> None:
        if isinstance(what, str):
            self.send_response(303)
            self.send_header("Location", what)
            body = b""
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            title, text = escape(what.title), escape(what.text)
            body = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{text}</p>".encode()
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  inherited
        """Stay silent: the query holds a code."""
