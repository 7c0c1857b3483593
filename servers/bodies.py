"""Request bodies that can be read in one way only: what was judged is what runs.

The MCP library reads a body with another JSON parser per protocol era; two readers of one text are
a hole. So a body is parsed once, strictly, and handed on as our own serialization of it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from starlette.types import Message, Receive

MOST_BYTES = 4 * 1024 * 1024
DEEPEST = 128
"""Nesting below what any of the library's parsers takes; no tool's argument needs more."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # an escaped backslash before it is none

PARSE_ERROR = -32700
INVALID_REQUEST = -32600


class UnreadableError(Exception):
    """A body that is refused before it means anything: HTTP status, JSON-RPC code, sentence."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


async def read(receive: Receive, declared: str | None) -> bytes:
    """Return the whole body of at most 4 MiB; ``declared`` is its Content-Length header."""
    if declared is not None and declared.isascii() and declared.isdigit():
        _check_size(int(declared[:12]))
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UnreadableError(400, INVALID_REQUEST, "The request ended early.")
        chunk = message.get("body", b"")
        size += len(chunk)
        _check_size(size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def parse(raw: bytes) -> dict[str, Any]:
    """Return the one JSON object of a body: UTF-8, unique keys, finite numbers, 128 levels."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnreadableError:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise UnreadableError(400, PARSE_ERROR, "The body is not JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise UnreadableError(400, INVALID_REQUEST, "The body must be one JSON object.")
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and _depth(value) > DEEPEST:
        raise _too_deep()
    return value


def serialize(value: dict[str, Any]) -> bytes:
    """Return the text that is handed on; a text in it may hold neither NUL nor half a character.

    One parser takes half a surrogate pair and the other does not; no store of ours holds either.
    """
    try:
        body = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        ).encode()
    except UnicodeEncodeError:
        raise UnreadableError(400, PARSE_ERROR, "The body holds half a character.") from None
    except ValueError:
        raise UnreadableError(
            400, PARSE_ERROR, "The body holds a number beyond any float."
        ) from None
    if _NUL.search(body):
        raise UnreadableError(400, INVALID_REQUEST, "The body holds a NUL character.")
    return body


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives ``body`` once and then whatever the connection says."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise UnreadableError(413, INVALID_REQUEST, f"The body is larger than {MOST_BYTES} bytes.")


def _too_deep() -> UnreadableError:
    return UnreadableError(
        400, INVALID_REQUEST, f"The body is nested deeper than {DEEPEST} levels."
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UnreadableError(400, INVALID_REQUEST, "The body names a key twice in one object.")
    return members


def _no_constant(name: str) -> NoReturn:
    raise UnreadableError(400, PARSE_ERROR, f"{name} is not JSON.")


def _depth(value: Any) -> int:
    """Return the nesting of parsed JSON, counted level by level rather than by recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, dict | list)
        ]
    return depth
