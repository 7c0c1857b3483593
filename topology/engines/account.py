"""Whom PostgreSQL runs as: it refuses root and nameless accounts, so these need another face.

First choice: a user namespace in which root's own files belong to an unprivileged account
(util-linux ``unshare``), so that a private home works unchanged. Where namespaces are refused, as
in most containers: a real account (``postgres``, else ``nobody``), with data in a folder of its
own to which ``pg`` becomes a link, and with programs that it can reach.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from topology.errors import EngineError
from topology.home import Home, explaining

STATE = Path("/var/lib/alphaswarm")
"""Where data and programs of another account stand unless the topology names a folder."""

_UNPRIVILEGED = "65534"


@dataclass(frozen=True, slots=True)
class Account:
    """How to start PostgreSQL's programs: what stands before them, and who owns their files.

    ``owner`` is (uid, gid) of a real other account, or None when files stay ours.
    """

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def own(self, path: Path, *, mode: int) -> None:
        """Give ``path`` to the account."""
        path.chmod(mode)
        if self.owner:
            os.chown(path, *self.owner)


def choose(home: Home) -> Account:
    """Return the account for this home; data that an account already owns stays with it."""
    if os.geteuid() != 0:
        return Account() if _named(os.geteuid()) else Account(_unshare())
    uid = (home.pg / "PG_VERSION").stat().st_uid if (home.pg / "PG_VERSION").exists() else 0
    if uid == 0 and (unshare := _unshare()):
        return Account(unshare)
    other = _other(uid)
    if other is None:
        raise EngineError(
            "PostgreSQL does not run as root, and this machine offers no other way.",
            hint="Start AlphaSwarm as an ordinary user.",
            engine="postgres",
        )
    return other


def settle(home: Home, account: Account, programs: Path, state_dir: str | None) -> Path:
    """Prepare the folders of another account; return the programs that it can run.

    Data goes to ``<state>/<home's hash>/pg`` with ``home.pg`` a link to it, sockets to a folder
    beside it with ``run/sockets`` a link; programs are copied there if it cannot reach them.
    """
    if account.owner is None:
        return programs
    state = Path(state_dir or STATE)
    own = state / hashlib.sha256(os.fsencode(home.root)).hexdigest()[:16]
    with explaining(own):
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (own, own / "pg", own / "run"):
            folder.mkdir(mode=0o700, exist_ok=True)
            account.own(folder, mode=0o700)
        if not home.pg.is_symlink():
            home.pg.rmdir()
            home.pg.symlink_to(own / "pg")
        link = home.run / "sockets"
        if not link.is_symlink():
            link.symlink_to(own / "run")
        return programs if _runs(account, programs) else _copied(programs, state / "programs")


def _named(uid: int) -> bool:
    """Tell whether the account has a name; initdb refuses one that has none."""
    return any(entry.pw_uid == uid for entry in pwd.getpwall())


def _unshare() -> tuple[str, ...]:
    program = shutil.which("unshare")
    if not program:
        return ()
    prefix = (program, "--user", f"--map-user={_UNPRIVILEGED}", f"--map-group={_UNPRIVILEGED}")
    return prefix if _succeeds([*prefix, program, "--version"]) else ()


def _other(uid: int) -> Account | None:
    program = shutil.which("setpriv")
    for entry in _entries(uid):
        who = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
        if program and _succeeds([program, *who, program, "--version"]):
            return Account((program, *who), (entry.pw_uid, entry.pw_gid))
    return None


def _entries(uid: int) -> list[pwd.struct_passwd]:
    wanted = [entry for entry in pwd.getpwall() if entry.pw_uid == uid] if uid else []
    named = {entry.pw_name: entry for entry in pwd.getpwall()}
    return wanted or [named[name] for name in ("postgres", "nobody") if name in named]


def _runs(account: Account, programs: Path) -> bool:
    """Try through a shell: setpriv itself still reaches everything when it executes."""
    trying = ("/bin/sh", "-c", 'exec "$0" --version', str(programs / "postgres"))
    return _succeeds([*account.prefix, *trying])


def _copied(programs: Path, target: Path) -> Path:
    """Copy the wheel's PostgreSQL and its libraries, once, keeping their relative places."""
    package = programs.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    copy = target / package.name / programs.parent.name / programs.name
    if not copy.exists():
        aside = target.with_name(f"{target.name}.new")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(programs.parent, aside / package.name / programs.parent.name, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, aside / libraries.name)
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    return copy


def _succeeds(argv: list[str]) -> bool:
    done = subprocess.run(argv, capture_output=True, check=False, cwd="/")
    return done.returncode == 0
