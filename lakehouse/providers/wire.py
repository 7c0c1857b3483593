"""One GET under the egress guard: bounded in time and size, whole or not at all."""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from lakehouse.providers.patience import UnusableError
from topology.egress import Guard, Target

REDIRECTS = 5
MOVED = {301, 302, 303, 307, 308}
_AGAIN = {408, 425, 429}
_CHUNK = 65_536
_AGENT = "alphaswarm"
_PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""Encodings that are unpacked, with zlib's window bits for them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, unpacked; ``headers`` have lower-case names.

    ``framed`` tells whether the server said where the body ends: then a cut one was noticed.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    url: str
    framed: bool

    def checked(self) -> Answer:
        """Return the answer where its status is a success, else raise `UnusableError`."""
        if 200 <= self.status < 300:
            return self
        raise UnusableError(
            f"status_{self.status}",
            f"it answered with status {self.status}.",
            again=self.status in _AGAIN or self.status >= 500,
            status=self.status,
            after_s=self._after_s(),
        )

    def _after_s(self) -> float | None:
        """Return the seconds of ``Retry-After``; a date counts from the server's own ``Date``."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            return float(text)
        try:
            then, now = (parsedate_to_datetime(one) for one in (text, self.headers["date"]))
            return max(0.0, (then - now).total_seconds())
        except (KeyError, ValueError, TypeError):
            return None


class Wire:
    """Sends GET requests; ``timeout_s`` bounds each as a whole, however slowly bytes drip."""

    def __init__(self, guard: Guard, *, timeout_s: float, most_bytes: int) -> None:
        self._guard, self._timeout_s, self._most = guard, timeout_s, most_bytes
        self._tls = ssl.create_default_context()
        self._tls.sslsocket_class = _TimedTls

    def get(
        self, url: str, headers: Mapping[str, str], *, secret: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer of ``url``, of whatever status; redirects are followed and judged.

        ``secret`` headers go to the first origin only. What does not arrive whole raises
        `UnusableError`, a place that may not be reached ``egress_denied``.
        """
        deadline = time.monotonic() + self._timeout_s
        first = _origin(url)
        for _ in range(REDIRECTS + 1):
            kept = (secret or {}) if _origin(url) == first else {}
            answer = self._once(url, {**headers, **kept}, deadline)
            onward = answer.headers.get("location")
            if answer.status not in MOVED or onward is None:
                return answer
            onward = urljoin(url, onward)
            if url.startswith("https:") and not onward.startswith("https:"):
                raise UnusableError("redirect", "it leads from https to http.", again=False)
            url = onward
        raise UnusableError("redirect", f"it redirects more than {REDIRECTS} times.", again=False)

    def _once(self, url: str, headers: Mapping[str, str], deadline: float) -> Answer:
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connected(self._guard.check(url), deadline)
            connection.request("GET", _path(url), headers={"User-Agent": _AGENT, **headers})
            with connection.getresponse() as response:
                return self._whole(response, url)
        except TimeoutError as error:
            sentence = f"it took longer than {self._timeout_s:g} s."
            raise UnusableError("timeout", sentence, again=True) from error
        except ssl.SSLCertVerificationError as error:
            raise UnusableError("tls", "its certificate is not valid.", again=False) from error
        except http.client.IncompleteRead as error:
            raise _truncated() from error
        except (OSError, http.client.HTTPException, zlib.error) as error:
            sentence = f"the connection failed ({type(error).__name__})."
            raise UnusableError("connection", sentence, again=True) from error
        finally:
            if connection is not None:
                connection.close()

    def _connected(self, target: Target, deadline: float) -> http.client.HTTPConnection:
        """Return a connection to a checked address whose reads all end at the deadline."""
        plain = self._guard.connect(target, _left(deadline))
        if target.scheme == "http":
            kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
            timed: _Timed | _TimedTls = _Timed(fileno=plain.detach())
        else:
            kind, timed = http.client.HTTPSConnection, self._wrapped(plain, target.host)
        timed.deadline = deadline
        timed.settimeout(_left(deadline))
        connection = kind(target.host, target.port)
        connection.sock = timed
        return connection

    def _wrapped(self, plain: socket.socket, host: str) -> _TimedTls:
        try:
            wrapped: Any = self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        return wrapped  # type: ignore[no-any-return]  # of the context's sslsocket_class

    def _whole(self, response: http.client.HTTPResponse, url: str) -> Answer:
        framed = response.chunked or response.length is not None
        if response.length is not None and response.length > self._most:
            raise self._too_large()
        parts, size = [], 0
        unpack = _unpacker(response.headers.get("Content-Encoding", ""))
        while chunk := response.read(_CHUNK):
            if unpack is not None:
                chunk = unpack.decompress(chunk, self._most - size + 1)
            parts.append(chunk)
            size += len(chunk)
            if size > self._most:
                raise self._too_large()
        if response.length or (unpack is not None and size and not unpack.eof):
            raise _truncated()
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = b"".join(parts)
        return Answer(response.status, response.reason, headers, body, url, framed)

    def _too_large(self) -> UnusableError:
        sentence = f"its answer is larger than {self._most} bytes."
        return UnusableError("too_large", sentence, again=False)


class _Timed(socket.socket):
    """A socket whose reads, together, end at a deadline."""

    deadline = math.inf

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*arguments)


class _TimedTls(ssl.SSLSocket):
    """The same under TLS."""

    deadline = math.inf

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*arguments)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _unpacker(encoding: str) -> Any:
    """Return what unpacks a body, piece by piece, or None for a plain one."""
    bits = _PACKED.get(encoding.strip().lower())
    return None if bits is None else zlib.decompressobj(bits)


def _truncated() -> UnusableError:
    return UnusableError("truncated", "its answer broke off before the end.", again=True)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
