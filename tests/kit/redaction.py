"""Every secret of a test run, and a search for it wherever one must not be.

What this process issues is noted as it is made: tokens by their signatures, codes, refresh tokens,
cookies, passwords, recovery codes, seeds of one-time codes. What other processes hold is read from
the ``secrets/`` and ``keys/`` of their homes. Searched are log records, error objects, the rows of
every ledger before it goes down, and at the end all files of all homes. A hit fails the run by
place and kind; the secret itself is never shown.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyotp
import pytest
from argon2 import PasswordHasher
from joserfc import jwt
from psycopg.sql import SQL, Identifier

from auth.grants import device
from ledger.pool import Pool, open_pool, transaction
from topology.engines import supervisor
from topology.errors import AlphaSwarmError
from topology.home import Home
from topology.services import Topology
from topology.stores import postgres_dsn

SECRET_BYTES = 32
"""`secrets.token_urlsafe` of so many and more is a secret; what is shorter is an id."""
ELSEWHERE = {"pg", "secrets", "keys"}
"""Folders of a home that are not searched: rows are read as rows, and secrets live in two."""
PACKED = {".parquet", ".avro", ".nbi", ".nbc", ".so", ".sock"}
MOST_BYTES = 32_000_000
ROLE = "alphaswarm_app"
TAIL = 8
"""Bytes at the end of a word by which nearly all words are told from secrets at once."""
_WORD = re.compile(rb"[A-Za-z0-9_-]{8,}")
_SHAPES = {
    "access token": re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{40,}"),
    "refresh token": re.compile(rb"asw_(?:rt|cs)_[\w-]{20,}"),
}


class Collector:
    """The secrets that are known, and the places where one was found."""

    def __init__(self) -> None:
        self.known: dict[bytes, str] = {}
        self.sentences: dict[bytes, str] = {}
        self.lengths: set[int] = set()
        self.tails: set[bytes] = set()
        self.said: dict[str, set[str]] = {"error object": set(), "log record": set()}
        self.hits: dict[tuple[str, str], None] = {}

    def note(self, secret: str, kind: str) -> None:
        """Remember a secret; a sentence is searched as it stands, a word as a word."""
        raw = secret.encode()
        if _WORD.fullmatch(raw):
            self.known[raw] = kind
            self.lengths.add(len(raw))
            self.tails.add(raw[-TAIL:])
        elif len(raw) >= 12:
            self.sentences[raw] = kind

    def search(self, raw: bytes, place: str) -> None:
        """Look for every known secret in some bytes."""
        for word in set(_WORD.findall(raw)):
            if word[-TAIL:] not in self.tails:
                continue
            for end in (word, *(word[-size:] for size in self.lengths if size < len(word))):
                if end in self.known:
                    self.hits[place, self.known[end]] = None
        for secret, kind in self.sentences.items():
            if secret in raw:
                self.hits[place, kind] = None
        for kind, shape in _SHAPES.items():
            if shape.search(raw):
                self.hits[place, f"something like {kind}"] = None

    def rows(self, pool: Pool) -> None:
        """Search every table of a ledger as text."""
        with transaction(pool) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            for name in (row["tablename"] for row in tables):
                copy = SQL("COPY {} TO STDOUT").format(Identifier(name))
                with connection.cursor().copy(copy) as blocks:
                    self.search(b"".join(bytes(block) for block in blocks), f"table {name}")

    def ledger(self, topology: Topology, home: Home) -> None:
        """Search the ledger of a home, unless a test left it down."""
        if supervisor.status(home, topology).postgres.ready:
            with closing(open_pool(postgres_dsn(topology, home, ROLE), name="search")) as pool:
                self.rows(pool)

    def files(self, root: Path) -> None:
        """Read the secrets of every home below ``root``, then search all its other files."""
        homes = list(_homes(root))
        for home in homes:
            for secret, kind in planted(home):
                self.note(secret, kind)
        for home in homes:
            for file in _files(home):
                with suppress(OSError):  # it went away, or a test took its rights away
                    self.search(file.read_bytes(), str(file.relative_to(root)))

    def spoken(self) -> None:
        """Search what was logged and what errors said."""
        for place, texts in self.said.items():
            self.search("\n".join(texts).encode("utf-8", "replace"), place)

    def problems(self) -> str:
        """Return where something was found and of what kind, never what."""
        return "\n".join(f"{kind} in {place}" for place, kind in sorted(self.hits))


def planted(home: Path) -> Iterator[tuple[str, str]]:
    """Yield what a home keeps private: tokens, private keys, passwords of its stores."""
    for file in [*home.glob("secrets/*"), *home.glob("keys/*")]:
        with suppress(OSError, ValueError):  # a test may have damaged it
            yield from _private(file)


def _private(file: Path) -> list[tuple[str, str]]:
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    if file.suffix != ".json":
        last = text.strip().rpartition(":")[2]  # of a pgpass line; else it is the whole text
        return [(word, f"content of {file.name}") for word in re.findall(r"[\w-]{16,}", last)]
    return [
        (value.rpartition(".")[2], f"{key} of {file.name}")
        for key, value in _members(json.loads(text or "{}"))
        if key in {"access_token", "refresh_token", "d", "client_secret"}
    ]


def _members(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                yield key, inner
            yield from _members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner)


def _homes(folder: Path) -> Iterator[Path]:
    if (folder / "keys").is_dir() and (folder / "logs").is_dir():
        yield folder
        return
    for found in _inside(folder):
        if found.is_dir() and not found.is_symlink() and found.name not in {"node_modules", "site"}:
            yield from _homes(found)


def _files(folder: Path) -> Iterator[Path]:
    for found in _inside(folder):
        if found.is_symlink() or found.name in ELSEWHERE:
            continue
        if found.is_dir():
            yield from _files(found)
        elif found.is_file() and found.suffix not in PACKED and found.stat().st_size < MOST_BYTES:
            yield found


def _inside(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []


class _Listener(logging.Handler):
    def __init__(self, texts: set[str]) -> None:
        super().__init__()
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.add(self.format(record))


def _wrapped(kind: str, make: Callable[..., Any], note: Callable[[str, str], None]) -> Any:
    def issue(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        note(made, kind)
        return made

    return issue


def listen(collector: Collector, patch: pytest.MonkeyPatch) -> None:
    """Note every secret that this process makes from now on, and all that it says."""
    note = collector.note
    urlsafe, hashed, said = secrets.token_urlsafe, PasswordHasher.hash, AlphaSwarmError.__init__

    def token_urlsafe(nbytes: int | None = None) -> str:
        made = urlsafe(nbytes)
        if nbytes is None or nbytes >= SECRET_BYTES:
            note(made, "code, refresh token, verifier or cookie")
        return made

    def hash_(self: PasswordHasher, password: str, **more: Any) -> str:
        note(str(password), "password or recovery code")
        return hashed(self, password, **more)

    def init(self: AlphaSwarmError, message: str, **more: Any) -> None:
        said(self, message, **more)
        collector.said["error object"].add(f"{message} {more}")

    patch.setattr(secrets, "token_urlsafe", token_urlsafe)
    patch.setattr(PasswordHasher, "hash", hash_)
    patch.setattr(AlphaSwarmError, "__init__", init)
    patch.setattr(pyotp, "random_base32", _wrapped("seed of codes", pyotp.random_base32, note))
    patch.setattr(device, "new_code", _wrapped("user code", device.new_code, note))

    def signature(token: str, kind: str) -> None:
        note(token.rpartition(".")[2], kind)

    patch.setattr(jwt, "encode", _wrapped("token", jwt.encode, signature))
    handlers = [*logging.getLogger().handlers, _Listener(collector.said["log record"])]
    patch.setattr(logging.getLogger(), "handlers", handlers)


COLLECTOR = Collector()


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_leaks(tmp_path_factory: pytest.TempPathFactory) -> Iterable[None]:
    """Collect from the first test of this process to its last, then search and fail on a hit."""
    with pytest.MonkeyPatch.context() as patch:
        listen(COLLECTOR, patch)
        yield
    COLLECTOR.files(tmp_path_factory.getbasetemp())
    COLLECTOR.spoken()
    if problems := COLLECTOR.problems():
        pytest.fail(f"secrets where none may be:\n{problems}", pytrace=False)
