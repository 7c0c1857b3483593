"""The one folder that holds a suite's state, and the places inside it.

A home is private: folders are 0700, files with secrets 0600. Several homes live side by side.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from topology.errors import HomeError

LONGEST_SOCKET_FOLDER = 88
"""Bytes that leave room for ``/.s.PGSQL.5432`` in macOS's 103-byte socket address."""

FILE_MAPPING, FOLDER_MAPPING = ".mapping.yaml", "alphaswarm-mapping.yaml"
"""Files beside data that say how it is to be read: of one file (after its name), of a folder."""

_FOLDERS = (
    *("pg", "valkey", "warehouse", "keys", "run", "artifacts", "inbox", "logs", "secrets"),
    "stacks",
    "workloads",
)


@dataclass(frozen=True, slots=True)
class Home:
    """``$ALPHASWARM_HOME``: an absolute path whose folders `ensure` creates."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """Return the home that ``ALPHASWARM_HOME`` names, else ``~/.alphaswarm``."""
        text = environ.get("ALPHASWARM_HOME") or "~/.alphaswarm"
        if not text.isprintable():
            raise HomeError(
                "ALPHASWARM_HOME holds a character that the path of a home may not hold.",
                hint="Set ALPHASWARM_HOME to the path of a folder, in printable UTF-8.",
            )
        try:
            return cls(Path(os.path.abspath(Path(text).expanduser())))
        except RuntimeError as error:
            raise HomeError(
                "Your account has no home folder.",
                hint="Set ALPHASWARM_HOME to the absolute path of a folder of yours.",
            ) from error

    @property
    def pg(self) -> Path:
        """Data of the embedded PostgreSQL."""
        return self.root / "pg"

    @property
    def valkey(self) -> Path:
        """Data of the embedded Valkey."""
        return self.root / "valkey"

    @property
    def warehouse(self) -> Path:
        """Iceberg tables."""
        return self.root / "warehouse"

    @property
    def keys(self) -> Path:
        """Signing keys of the issuer."""
        return self.root / "keys"

    @property
    def run(self) -> Path:
        """Sockets, pid files, the halt latch."""
        return self.root / "run"

    @property
    def artifacts(self) -> Path:
        """Files named by their SHA-256."""
        return self.root / "artifacts"

    @property
    def inbox(self) -> Path:
        """The folder that ``ingest`` may always read."""
        return self.root / "inbox"

    @property
    def logs(self) -> Path:
        """What the processes print."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Passwords and tokens, each a 0600 file."""
        return self.root / "secrets"

    @property
    def stacks(self) -> Path:
        """Module trees, states and plans of Terraform; all of it holds secrets."""
        return self.root / "stacks"

    @property
    def workloads(self) -> Path:
        """A folder for each workload that runs as a process here."""
        return self.root / "workloads"

    @property
    def latch(self) -> Path:
        """The mapped halt latch."""
        return self.run / "halt.latch"

    @property
    def spool(self) -> Path:
        """Break-glass halts that the audit ledger has not yet taken in, one JSON line each."""
        return self.run / "halt.spool"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix sockets: ``run/``, or a private one where that path is too long.

        `ensure` records the private folder as the link ``run/sockets``, so that processes with
        another ``TMPDIR`` still meet.
        """
        link = self.run / "sockets"
        if link.is_symlink():
            return link.readlink()
        if len(os.fsencode(self.run)) <= LONGEST_SOCKET_FOLDER:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"alphaswarm-{os.geteuid()}-{digest}"

    def ensure(self) -> None:
        """Create every folder, 0700; a home that cannot be used raises `HomeError`."""
        with explaining(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep_private()
            for name in _FOLDERS:
                folder = self.root / name
                folder.mkdir(mode=0o700, exist_ok=True)
                if not folder.is_symlink():
                    folder.chmod(0o700)
            self._ensure_sockets()

    def write_secret(self, name: str, text: str) -> Path:
        """Write ``secrets/name`` with mode 0600, aside and renamed, and return its path."""
        path = self.secrets / name
        with explaining(path):
            write_private(path, text)
        return path

    def _keep_private(self) -> None:
        """Refuse a shared folder that holds other people's files; tighten our own."""
        if not stat.S_IMODE(self.root.stat().st_mode) & 0o077:
            return
        foreign = [p.name for p in self.root.iterdir() if not _ours(p.name)]
        if foreign:
            raise HomeError(
                f"{str(self.root)!r} is open to other users and holds other files.",
                hint="Set ALPHASWARM_HOME to a folder of its own; it is created 0700.",
                path=str(self.root),
                entries=sorted(foreign)[:3],
            )
        self.root.chmod(0o700)

    def _ensure_sockets(self) -> None:
        folder = self.sockets
        if folder == self.run:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_mode & 0o077:
            raise _foreign_sockets(folder)
        if facts.st_uid != os.geteuid() and not _root_keeps(folder):
            raise _foreign_sockets(folder)
        link = self.run / "sockets"
        if not link.is_symlink():
            link.symlink_to(folder)


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by a 0600 file holding ``text``, never half written, synced to disk."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into a `HomeError` that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _CURES.get(error.errno or 0, "Set ALPHASWARM_HOME to a folder that you may write.")
        place = error.filename if isinstance(error.filename, str) else str(path)
        raise HomeError(
            f"The home cannot be used: {place!r}: {error.strerror or type(error).__name__}.",
            hint=hint,
            path=place,
        ) from error


_CURES = {
    errno.EROFS: "The file system is read-only: set ALPHASWARM_HOME to a folder on another one.",
    errno.EACCES: "Give yourself write permission, or set ALPHASWARM_HOME to another folder.",
    errno.EPERM: "The folder belongs to another user: set ALPHASWARM_HOME to one of your own.",
    errno.ENOSPC: "The disk is full: free some space, then start again; nothing was lost.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then start again.",
    errno.EEXIST: "A file stands where a folder must be: move it away.",
    errno.ENOTDIR: "A file stands where a folder must be: move it away.",
    errno.ENAMETOOLONG: "The path is too long for this file system: choose a shorter one.",
    errno.ELOOP: "The path is a loop of links: choose another one.",
}


def _ours(name: str) -> bool:
    return name in _FOLDERS or name.startswith(".")


def _root_keeps(folder: Path) -> bool:
    """Tell whether we are root and nobody else can have made ``folder``: not in a shared ``/tmp``.

    Under root the engines may run as another account: what it owns lies in a folder that root made.
    """
    owner, above = folder.lstat().st_uid, folder.parent
    while above.stat().st_uid == owner and above != above.parent:
        above = above.parent
    facts = above.stat()
    return os.geteuid() == facts.st_uid == 0 and not facts.st_mode & 0o022


def _foreign_sockets(folder: Path) -> HomeError:
    return HomeError(
        f"The socket folder {str(folder)!r} is not a private folder of yours.",
        hint="Remove it, or set ALPHASWARM_HOME to a shorter path.",
        path=str(folder),
    )
