"""A browser-like HTTP session for yfinance that cannot leave the egress guard.

Yahoo answers browsers, so yfinance speaks through libcurl, which dials by itself. Here libcurl gets
the checked addresses of each name, no redirects, no proxies; each hop is judged beforehand.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

from curl_cffi import CurlECode, CurlOpt
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import CertificateVerifyError, RequestException, Timeout
from curl_cffi.requests.exceptions import ConnectionError as Unreachable

from lakehouse.providers.patience import UnusableError
from lakehouse.providers.wire import MOVED, REDIRECTS, Answer
from topology.egress import Guard, Target
from topology.errors import EgressDeniedError
from topology.sources import Bounds

_BROWSER = "chrome"
_SCHEMES = "http,https"


class Browser(Session[Response]):
    """``mirror``, where there is one, is asked as ``MIRROR/HOST/path`` for every host.

    What matters (a path that begins with ``wanted``) raises `UnusableError` or ``egress_denied``;
    of all else, cookies mostly, yfinance is told as curl would tell it, and does without.
    """

    def __init__(self, guard: Guard, bounds: Bounds, *, mirror: str | None, wanted: str) -> None:
        super().__init__(impersonate=_BROWSER, trust_env=False)
        self._guard, self._bounds = guard, bounds
        self._mirror, self._wanted = mirror, wanted

    def request(self, method: Any, url: str, **more: Any) -> Response:  # type: ignore[override]
        """Send one request and what it redirects to, whole, in time, to checked places only."""
        more |= {"allow_redirects": False, "timeout": self._bounds.timeout_s}
        if urlsplit(url).path.startswith(self._wanted):
            return _judged(self._followed, method, url, more)
        try:
            return self._followed(method, url, more)
        except (EgressDeniedError, _TooLargeError) as error:
            raise Unreachable(str(error)) from error

    def _followed(self, method: Any, url: str, more: dict[str, Any]) -> Response:
        for _ in range(REDIRECTS + 1):
            response = self._once(method, self._mirrored(url), more)
            onward = response.headers.get("location")
            if response.status_code not in MOVED or not onward:
                return response
            method, url = "GET", urljoin(url, onward)
            more = {**more, "params": None, "data": None, "json": None}
        raise Unreachable(f"more than {REDIRECTS} redirects")

    def _mirrored(self, url: str) -> str:
        if self._mirror is None or url.startswith(self._mirror):
            return url
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self._mirror}/{parts.netloc}{parts.path}{query}"

    def _once(self, method: Any, url: str, more: dict[str, Any]) -> Response:
        try:
            target = self._guard.check(url)
        except OSError as error:
            raise Unreachable("the name cannot be resolved") from error
        body = bytearray()

        def take(piece: bytes) -> int:
            body.extend(piece)
            if len(body) > self._bounds.page_bytes:
                raise _TooLargeError
            return len(piece)

        self.curl_options = _options(target)
        response = super().request(method, url, content_callback=take, **more)
        response.content = bytes(body)
        if response.primary_ip not in target.addresses:
            raise AssertionError("libcurl dialled an address that was not checked")
        return response


class _TooLargeError(Exception):
    """The body is larger than it may be."""


def _options(target: Target) -> dict[Any, Any]:
    """Return what makes libcurl dial the checked addresses and nothing else."""
    dialled = ",".join(f"[{one}]" if ":" in one else one for one in target.addresses)
    return {
        CurlOpt.RESOLVE: [f"{target.host}:{target.port}:{dialled}"],
        CurlOpt.PROXY: "",
        CurlOpt.NOPROXY: "*",
        CurlOpt.PROTOCOLS_STR: _SCHEMES,
    }


def _judged(send: Any, method: Any, url: str, more: dict[str, Any]) -> Response:
    try:
        response: Response = send(method, url, more)
    except Timeout as error:
        sentence = f"it took longer than {more['timeout']:g} s."
        raise UnusableError("timeout", sentence, again=True) from error
    except CertificateVerifyError as error:
        raise UnusableError("tls", "its certificate is not valid.", again=False) from error
    except _TooLargeError as error:
        raise UnusableError("too_large", "its answer is too large.", again=False) from error
    except RequestException as error:
        cut = error.code in {CurlECode.PARTIAL_FILE, CurlECode.RECV_ERROR}
        if cut:
            raise UnusableError("truncated", "its answer broke off.", again=True) from error
        sentence = f"the connection failed ({type(error).__name__})."
        raise UnusableError("connection", sentence, again=True) from error
    status = response.status_code
    if status == 429 or status >= 500:
        headers = {name.lower(): value or "" for name, value in response.headers.items()}
        Answer(status, "", headers, b"", url, framed=True).checked()
    return response
