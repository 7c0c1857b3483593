"""Requests and replies between an HTTP face and the core: parameters in, a frozen `Reply` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.requests import OAuth2Payload

from auth.store import Login

MAX_BYTES = 65_536
MAX_FIELDS = 64
NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: JSON where ``body`` is a mapping, a redirect where there is a Location."""

    status: int
    body: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = NO_STORE

    @property
    def location(self) -> str | None:
        """Where the browser is sent, or None."""
        return next((value for name, value in self.headers if name == "Location"), None)


def refusal(error: str, text: str, *, status: int = 400) -> OAuth2Error:
    """Return an OAuth error whose description is our own ASCII text, never the caller's."""
    return OAuth2Error(error=error, description=text, status_code=status)


def malformed(text: str, *, status: int = 400) -> Reply:
    """Return an ``invalid_request`` reply with our own text."""
    return Reply(status, {"error": "invalid_request", "error_description": text})


class Parameters(OAuth2Payload):  # type: ignore[misc]  # authlib has no types
    """Decoded parameters; sent without a value means not sent (RFC 6749 s.3.1).

    What was sent more than once is in ``repeated`` and nowhere else: no value of it is preferred.
    Only ``resource`` may repeat (RFC 8707 s.2).
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        sent: dict[str, list[str]] = {}
        for name, value in pairs:
            sent.setdefault(name, []).append(value)
        self.repeated = frozenset(n for n, vs in sent.items() if len(vs) > 1 and n != "resource")
        self._lists = {
            name: kept
            for name, values in sent.items()
            if name not in self.repeated and (kept := [value for value in values if value])
        }

    @classmethod
    def parse(cls, raw: bytes) -> Parameters:
        """Read a query or a form; anything malformed raises ``invalid_request``.

        Refused: over 64 KiB or 64 fields, not UTF-8, control characters.
        """
        try:
            if len(raw) > MAX_BYTES:
                raise refusal("invalid_request", "The request is too long.", status=413)
            pairs = parse_qsl(
                raw.decode("utf-8"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:
            raise refusal("invalid_request", "The parameters are not a UTF-8 form.") from None
        if any(not _plain(text) for pair in pairs for text in pair):
            raise refusal("invalid_request", "Parameters must not hold control characters.")
        return cls(pairs)

    def unique(self) -> Parameters:
        """Return these parameters, or raise ``invalid_request`` where one came twice."""
        if self.repeated:
            raise refusal("invalid_request", "A parameter was sent more than once.")
        return self

    @property
    def data(self) -> dict[str, str]:
        """First value of each parameter."""
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        """All values of each parameter."""
        return self._lists

    def get(self, name: str) -> str:
        """Return the value of a parameter, empty when it was not sent."""
        return self._lists.get(name, [""])[0]

    def pairs(self) -> list[tuple[str, str]]:
        """Return every parameter as a pair."""
        return [(name, value) for name, values in self._lists.items() for value in values]

    def without(self, *names: str) -> Parameters:
        """Return the parameters but for these."""
        return Parameters(pair for pair in self.pairs() if pair[0] not in names)

    def encode(self) -> str:
        """Return the parameters as a query string."""
        return urlencode(self.pairs())


class Request(OAuth2Request):  # type: ignore[misc]  # authlib has no types
    """A request as authlib wants it, with what our grants add on the way."""

    def __init__(self, method: str, uri: str, parameters: Parameters) -> None:
        super().__init__(method, uri)
        self.payload = parameters
        self.resource = ""
        self.login: Login | None = None
        self.action = ""

    @property
    def args(self) -> dict[str, str]:
        """Parameters of the query."""
        return self.payload.data

    @property
    def form(self) -> dict[str, str]:
        """Parameters of the form."""
        return self.payload.data


def _plain(text: str) -> bool:
    return not any(ord(char) < 0x20 or ord(char) == 0x7F for char in text)
