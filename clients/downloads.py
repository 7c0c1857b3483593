"""A file of a server, fetched over HTTP: resumed where it broke off, checked when it is whole."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import from_body, refusal, unreachable
from clients.wire import client, json_of, reaching
from topology.errors import AlphaSwarmError, FaultError

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 5
PAUSE_S = 0.5
SILENCE_S = 30.0

Moved = Callable[[int, int], None]
"""Told after each piece: bytes that are here, bytes of the whole."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file at ``url`` of ``bytes`` bytes with this ``sha256``; ``tokens`` gives the token."""

    url: str
    sha256: str
    bytes: int
    tokens: Callable[[], str]
    server: str = "data"
    sleep: Callable[[float], None] = field(default=time.sleep)

    def to(self, target: Path, moved: Moved = lambda _here, _whole: None) -> None:
        """Write the file to ``target``, by way of ``target.part`` which a later call goes on with.

        A broken connection is opened again at most `ATTEMPTS` times in a row without a new byte;
        then ``unreachable`` is raised and the part stays. A whole that is another file is refused.
        """
        part = target.with_name(f"{target.name}.part")
        failures = 0
        while (here := _size(part)) < self.bytes or not part.exists():
            try:
                self._more(part, here, moved)
            except AlphaSwarmError as error:
                if error.wire_code != "unreachable":
                    raise
            if _size(part) > here:
                failures = 0
                continue
            failures += 1
            if failures >= ATTEMPTS:
                raise unreachable("The download", "it breaks off again and again")
            self.sleep(PAUSE_S * failures)
        self._check(part)
        part.replace(target)

    def _more(self, part: Path, here: int, moved: Moved) -> None:
        """Fetch what lies behind the ``here`` bytes that we have."""
        headers = {"Authorization": f"Bearer {self.tokens()}"}
        if here:
            headers |= {"Range": f"bytes={here}-", "If-Range": f'"{self.sha256}"'}
        with (
            reaching("The download"),
            client(self.url, timeout_s=SILENCE_S) as wire,
            wire.stream("GET", self.url, headers=headers) as response,
        ):
            if response.status_code not in (200, 206):
                response.read()
                raise _refused(response, self.server)
            begin = here if response.status_code == 206 else 0
            with part.open("r+b" if begin else "wb") as file:
                file.seek(begin)
                for piece in response.iter_bytes():
                    file.write(piece)
                    moved(file.tell(), self.bytes)
                file.flush()
                os.fsync(file.fileno())

    def _check(self, part: Path) -> None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            part.unlink()
            raise FaultError(
                "What was downloaded is not the file that was exported.",
                hint="Try again; if it stays, a proxy between here and the server changes it.",
                code="artifact_mismatch",
                wanted=self.sha256,
                found=found,
            )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refused(response: httpx2.Response, server: str) -> AlphaSwarmError:
    body: Any = json_of(response)
    if response.status_code in (401, 403):
        challenge = response.headers.get("www-authenticate", "")
        return refusal(response.status_code, challenge, body, server=server)
    return from_body(body)
