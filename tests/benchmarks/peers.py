"""Environments of the peers that benchmarks compare with: pinned, made once, apart from ours.

A peer lives in ``.bench/<name>`` with its own Python environment, named in full by the hash of
its requirements; its script is run there and speaks JSON on its last line of output. A machine
without a package index cannot make one: `AbsentError` says so, and a benchmark leaves the peer out.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"
TIMEOUT_S = 1_800.0


class AbsentError(Exception):
    """The peer cannot be installed here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A peer by name with exact requirements, and the folder of its environment."""

    name: str
    requirements: tuple[str, ...]

    @property
    def home(self) -> Path:
        """Return the folder of the environment for exactly these requirements."""
        text = "\n".join((sys.version[:4], *sorted(self.requirements)))
        return FOLDER / f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def python(self) -> Path:
        """Return the environment's interpreter, making the environment where there is none."""
        python = self.home / "bin" / "python"
        if not (self.home / "complete").exists():
            shutil.rmtree(self.home, ignore_errors=True)
            _call([sys.executable, "-m", "venv", *_bare(), str(self.home)])
            _call([*_installer(python), *self.requirements])
            (self.home / "complete").write_text("\n".join(self.requirements) + "\n")
        return python

    def run(self, script: Path, *arguments: str) -> dict[str, Any]:
        """Run ``script`` there and return the JSON object of its last line."""
        done = subprocess.run(
            [str(self.python()), str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=self.home,
        )
        if done.returncode:
            raise RuntimeError(f"{script.name} of {self.name} failed:\n{done.stderr[-4_000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


def _uv() -> bool:
    return Path(sys.executable).with_name("uv").exists()


def _bare() -> list[str]:
    """uv installs into an environment without pip."""
    return ["--without-pip"] if _uv() else []


def _installer(python: Path) -> list[str]:
    if _uv():
        uv = str(Path(sys.executable).with_name("uv"))
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--quiet"]


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise AbsentError(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason"
        )
