"""A vendor of data on this machine: it answers over HTTP as it is told, whole or broken."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer; ``cut`` sends only so many bytes of it, ``drip_s`` waits before each byte."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip_s: float = 0.0
    framed: bool = True


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    body = json.dumps(value).encode()
    return Reply(body, status, {"Content-Type": "application/json", **headers})


HTML = Reply(
    b"<!DOCTYPE html><html><body>Be right back</body></html>", 200, {"Content-Type": "text/html"}
)
BROKEN = Reply(b"upstream failed", 500)
BUSY = Reply(b"Too Many Requests", 429, {"Retry-After": "0"})

Handler = Callable[[Asked], Reply]


def nothing(asked: Asked) -> Reply:
    return Reply(b"no such page", 404)


class Vendor:
    """Listens on 127.0.0.1; ``trouble`` is answered first, one by one, then ``handler``.

    ``seen`` are the requests, ``dialled`` counts connections, also those that ask for nothing.
    """

    def __init__(self, handler: Handler = nothing, tls: ssl.SSLContext | None = None) -> None:
        self.handler, self.trouble = handler, list[Reply]()
        self.seen: list[Asked] = []
        self.dialled = 0
        vendor = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[socket.socket, Any]:
                request = super().get_request()
                vendor.dialled += 1
                return request

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away in the middle is what some tests want."""

        class Talker(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vendor.answer(self)

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = Server(("127.0.0.1", 0), Talker)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, talker: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(talker.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        asked = Asked(parts.path, query, {k.lower(): v for k, v in talker.headers.items()})
        self.seen.append(asked)
        reply = self.trouble.pop(0) if self.trouble else self.handler(asked)
        talker.send_response_only(reply.status)
        for name, value in reply.headers.items():
            talker.send_header(name, value)
        if reply.framed:
            talker.send_header("Content-Length", str(len(reply.body)))
        talker.send_header("Connection", "close")
        talker.end_headers()
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        if not reply.drip_s:
            talker.wfile.write(body)
            return
        for byte in body:
            time.sleep(reply.drip_s)
            talker.wfile.write(bytes([byte]))
            talker.wfile.flush()


class Yahoo:
    """Answers as Yahoo does to the installed yfinance: a cookie, a crumb, and charts for both.

    ``daily`` and ``intraday`` are bars by symbol: (seconds, open, high, low, close, volume);
    ``events`` go into every answer whose window holds them, as Yahoo does it.
    """

    CRUMB = "crumb.1"

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        self.splits: dict[str, dict[int, tuple[int, int]]] = {}
        self.dividends: dict[str, dict[int, float]] = {}
        self.meta: dict[str, dict[str, Any]] = {}

    def __call__(self, asked: Asked) -> Reply:
        """``asked.path`` begins with the host, as a mirror is asked."""
        host, _, path = asked.path.lstrip("/").partition("/")
        if host == "fc.yahoo.com":
            return Reply(b"", 404, {"Set-Cookie": "A3=d=1; Path=/; Max-Age=3600"})
        if path == "v1/test/getcrumb":
            return Reply(self.CRUMB.encode(), 200 if "A3=" in asked.headers["cookie"] else 401)
        if not path.startswith("v8/finance/chart/"):
            return Reply(b"<html>consent</html>", 200, {"Content-Type": "text/html"})
        if asked.query.get("crumb") != self.CRUMB:
            return as_json(
                {"chart": {"result": None, "error": {"description": "Invalid Crumb"}}}, 401
            )
        return self._chart(path.rpartition("/")[2], asked.query)

    def _chart(self, symbol: str, query: Mapping[str, str]) -> Reply:
        first, last = int(query["period1"]), int(query["period2"])
        bars = self.bars.get((symbol, query["interval"]))
        if bars is None:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return as_json({"chart": {"result": None, "error": error}}, 404)
        inside = [bar for bar in bars if first <= bar[0] < last]
        names = ("timestamp", "open", "high", "low", "close", "volume")
        columns = {name: [bar[at] for bar in inside] for at, name in enumerate(names)}
        stamps = columns.pop("timestamp")
        meta = {
            "currency": "USD",
            "symbol": symbol,
            "exchangeName": "NMS",
            "exchangeTimezoneName": "America/New_York",
            "instrumentType": "EQUITY",
            **self.meta.get(symbol, {}),
        }
        events: dict[str, Any] = {
            "dividends": {
                str(at): {"amount": amount, "date": at}
                for at, amount in self.dividends.get(symbol, {}).items()
                if first <= at < last
            },
            "splits": {
                str(at): {"date": at, "numerator": up, "denominator": down}
                for at, (up, down) in self.splits.get(symbol, {}).items()
                if first <= at < last
            },
        }
        result = {
            "meta": meta,
            **({"timestamp": stamps} if stamps else {}),
            "events": {name: one for name, one in events.items() if one},
            "indicators": {"quote": [columns], "adjclose": [{"adjclose": columns["close"]}]},
        }
        return as_json({"chart": {"result": [result], "error": None}})


class Binance:
    """Answers as api.binance.com does to ccxt: the spot markets and their candles."""

    HOST = "api.binance.com"

    def __init__(self) -> None:
        self.candles: dict[str, list[tuple[int, str, str, str, str, str]]] = {}
        self.most = 1000

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == f"/{self.HOST}/api/v3/exchangeInfo":
            return as_json(
                {"symbols": [self._market(*pair) for pair in (("BTC", "USDT"), ("ETH", "BTC"))]}
            )
        if asked.path != f"/{self.HOST}/api/v3/klines":
            return as_json({"code": -1, "msg": "unknown"}, 404)
        if asked.query["symbol"] not in self.candles:
            return as_json({"code": -1121, "msg": "Invalid symbol."}, 400)
        first = int(asked.query.get("startTime", "0"))
        rows = [row for row in self.candles[asked.query["symbol"]] if row[0] >= first]
        most = min(self.most, int(asked.query["limit"]))
        return as_json([[*row, row[0] + 59_999, "0", 1, "0", "0", "0"] for row in rows[:most]])

    @staticmethod
    def _market(base: str, quote: str) -> dict[str, Any]:
        return {
            "symbol": base + quote,
            "status": "TRADING",
            "baseAsset": base,
            "baseAssetPrecision": 8,
            "quoteAsset": quote,
            "quotePrecision": 8,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": "0.01",
                    "maxPrice": "1000000",
                    "tickSize": "0.01",
                },
                {
                    "filterType": "LOT_SIZE",
                    "minQty": "0.00001",
                    "maxQty": "9000",
                    "stepSize": "0.00001",
                },
            ],
        }
