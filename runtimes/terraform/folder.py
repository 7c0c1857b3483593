"""A stack's own folder, ``stacks/NAME`` in the home: the module tree, the lock, the plans.

Everything in it is its user's alone: a plan, its JSON and a state hold secrets in clear. ``module``
is where the program works, and where the state lies unless the module has another backend.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.specs.terraform import LOCK
from topology.errors import RefusedError
from topology.home import Home, explaining, write_private

MODULE, VARIABLES, TREE = "module", "variables.tfvars.json", "tree.json"
KEPT_PLANS = 20
"""Folders of plans that stay; whatever they held that was secret goes with the next plan."""
_READ_BY_ITSELF = (".tf", ".tf.json", ".tofu", ".tofu.json", ".tfvars", ".tfvars.json", ".hcl")


@dataclass(frozen=True, slots=True)
class PlanFiles:
    """What one run keeps of its plan."""

    folder: Path

    @property
    def binary(self) -> Path:
        """The plan as the program wrote it."""
        return self.folder / "plan.bin"

    @property
    def shown(self) -> Path:
        """The same as JSON."""
        return self.folder / "plan.json"

    @property
    def log(self) -> Path:
        """What the program printed, for the operator's eyes."""
        return self.folder / "run.log"

    def open(self) -> None:
        """Create the folder and an empty log."""
        with explaining(self.folder):
            _make(self.folder.parent, self.folder)
            os.close(os.open(self.log, os.O_WRONLY | os.O_CREAT, 0o600))

    def hashes(self) -> tuple[str, str]:
        """Return the SHA-256 of plan and JSON; what is gone has the hash of nothing."""
        return _digest(self.binary), _digest(self.shown)

    def forget(self) -> None:
        """Remove what holds secrets."""
        for file in (self.binary, self.shown):
            file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one stack."""

    root: Path

    @classmethod
    def of(cls, home: Home, name: str) -> Folder:
        """Return the folder of the stack called ``name``, created where it is not."""
        root = home.stacks / name
        with explaining(root):
            _make(home.stacks, root, root / MODULE)
        return cls(root)

    @property
    def module(self) -> Path:
        """Where the program works."""
        return self.root / MODULE

    @property
    def variables(self) -> Path:
        """The variables as JSON."""
        return self.root / VARIABLES

    def plan(self, run_id: str) -> PlanFiles:
        """Return the files of a run's plan."""
        return PlanFiles(self.root / "plans" / run_id)

    @contextlib.contextmanager
    def held(self, checkpoint: Callable[[float], object]) -> Iterator[int]:
        """Hold the stack alone; the descriptor that is yielded holds it too, wherever it is open.

        A program that outlives its worker keeps it, so whoever comes next waits for its end.
        ``checkpoint`` is called between two tries and waits itself.
        """
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(handle):
                checkpoint(0.05)
            yield handle
        finally:
            os.close(handle)

    def lay(self, files: Mapping[str, str], variables: Mapping[str, Any]) -> None:
        """Make ``module`` hold exactly this tree, beside state and what the stack itself made."""
        with explaining(self.root):
            for path in self._foreign(set(files)):
                path.unlink(missing_ok=True)
            for name, text in files.items():
                self._write(self.module / name, text)
            write_private(self.root / TREE, json.dumps(sorted(files)))
            write_private(self.variables, json.dumps(dict(variables)))

    def drop_secrets(self, *, before: float) -> None:
        """Forget plans made ``before`` (seconds since the epoch), and all of the oldest runs."""
        folders = sorted((self.root / "plans").glob("*"), reverse=True)
        for folder in folders:
            if folder.stat().st_mtime < before:
                PlanFiles(folder).forget()
        for folder in folders[KEPT_PLANS:]:
            shutil.rmtree(folder, ignore_errors=True)

    def _foreign(self, wanted: set[str]) -> Iterator[Path]:
        """Yield files that an earlier tree had, or that the program would read by itself."""
        try:
            earlier = set(json.loads((self.root / TREE).read_text()))
        except (OSError, ValueError):
            earlier = set()
        for base, folders, names in os.walk(self.module):
            folders[:] = [f for f in folders if f != ".terraform"]
            for name in names:
                path = Path(base, name)
                told = path.relative_to(self.module).as_posix()
                if told not in wanted and (told in earlier or _read_by_itself(name)):
                    yield path

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(self.module.resolve()):
            raise RefusedError(
                f"A folder of the stack {self.root.name!r} leads out of it.",
                hint=f"Look at {path.parent.name!r} in its module folder, and remove the link.",
                code="path_not_allowed",
            )
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def _make(*folders: Path) -> None:
    """Create folders, the outer ones first, each its user's alone."""
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)


def _read_by_itself(name: str) -> bool:
    return name == LOCK or name.endswith(_READ_BY_ITSELF)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return hashlib.sha256(b"").hexdigest()
