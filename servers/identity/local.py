"""Sign-in over a Unix socket: the kernel says which user asks, so no password is needed.

One request a connection, both sides one line of JSON: ``{"resource": .., "scope": ..}``, and for
step-up ``code`` and ``authorization_details``, gets the token response of RFC 6749 s.5.1 or its
error object; ``{"factors_of": NAME}`` gets a person's second factors. Nothing goes over TCP.
"""

from __future__ import annotations

import json
import logging
import socket
import stat
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from auth.core import Issuer
from auth.local import LocalRequest, factors_of, sign_in_locally
from auth.wire import Reply, malformed
from topology.errors import AlphaSwarmError, FaultError

log = logging.getLogger(__name__)

MAX_REQUEST = 16_384
FIELDS = ("resource", "scope", "code", "authorization_details")
ABOUT = "factors_of"
TIMEOUT_S = 5.0
_BACKLOG = 8
_PEER = struct.Struct("3i")  # Linux ucred: pid, uid, gid


class LocalLogin:
    """A thread that answers one connection after the other while the context is open."""

    def __init__(self, issuer: Issuer, path: Path, *, uid: int, username: str) -> None:
        self._issuer = issuer
        self._path = path
        self._uid = uid
        self._username = username
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name="local-login", daemon=True)

    def __enter__(self) -> None:
        _clear_the_way(self._path)
        self._listener = _listen(self._path)
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            self._thread.join(TIMEOUT_S)
            self._listener.close()
            self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._answer(connection)
                except Exception:  # one caller's misfortune must not close the door for all
                    log.exception("a local sign-in failed")

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT_S)
        try:
            reply = self._reply(connection)
            connection.sendall(json.dumps(dict(reply.body)).encode() + b"\n")
        except OSError as error:
            log.info("a local sign-in was cut short: %s", type(error).__name__)

    def _reply(self, connection: socket.socket) -> Reply:
        asked = _read(connection)  # before anything else: closing on unread bytes is a reset
        peer = peer_uid(connection)
        if peer != self._uid:
            log.warning("a local sign-in by uid %d was refused", peer)
            return Reply(403, {"error": "access_denied", "error_description": "Not your home."})
        if isinstance(asked, Reply):
            return asked
        named = asked.pop(ABOUT)
        try:
            if named:
                return Reply(200, factors_of(self._issuer, named))
            return sign_in_locally(self._issuer, self._username, LocalRequest(**asked))
        except AlphaSwarmError as error:
            log.warning("a local sign-in failed: %s", error.wire_code)
            return Reply(503, {"error": "temporarily_unavailable", "error_description": error.hint})


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel recorded it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(raw)[1]
    return uid


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # the folder is private: there was no moment for anybody else
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _read(connection: socket.socket) -> dict[str, str] | Reply:
    received = b""
    while b"\n" not in received and len(received) <= MAX_REQUEST:
        chunk = connection.recv(MAX_REQUEST)
        if not chunk:
            break
        received += chunk
    if len(received) > MAX_REQUEST:
        return malformed("The request is too long.", status=413)
    try:
        asked: Any = json.loads(received)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return malformed("Send one line: a JSON object with resource and scope.")
    fields = {name: asked.get(name, "") for name in (*FIELDS, ABOUT)}
    if not all(isinstance(value, str) for value in fields.values()):
        return malformed("Every field is a text.")
    return fields


def _clear_the_way(path: Path) -> None:
    """Remove the socket of a server that is gone; one that answers belongs to somebody."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FaultError(f"{path.name!r} is not a socket.", hint="Move the file away.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise FaultError(
        "Another server of this home answers local sign-ins.",
        hint="Run `alphaswarm status`, and `alphaswarm down` to stop it.",
    )
