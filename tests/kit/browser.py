"""A real Chromium, driven by node scripts that print one JSON line per fact."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.kit.fixture_server import free_port
from tests.kit.node import NODE, absent, node_package

FOLDER = Path(__file__).resolve().parents[1] / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
LIMIT_S = 150


def chromium() -> str:
    """Return the path of Chromium; without one the test skips and says so (in CI it fails)."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        absent("no Chromium on PATH; on Debian and Ubuntu: apt install chromium")
    return str(found)


def facts(script: str, *arguments: str, folder: Path, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Run a script of tests/browser with Chromium and return what it said, by word."""
    (folder / "node_modules").symlink_to(node_package("browser") / "node_modules")
    for source in FOLDER.glob("*.*js"):  # node finds its packages beside the script
        shutil.copyfile(source, folder / source.name)
    finished = subprocess.run(
        [NODE, str(folder / script), chromium(), *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=limit_s,
        cwd=folder,
        check=False,
        text=True,
    )
    said = [json.loads(line) for line in finished.stdout.splitlines()]
    found = {one["word"]: one["value"] for one in said}
    assert "crash" not in found, found["crash"]
    assert finished.returncode == 0, finished.stderr[-2000:]
    return found


@contextlib.contextmanager
def inspector(url: str, home: Path) -> Iterator[str]:
    """Serve the Inspector for one server on ports of its own; yield its address with its token."""
    ports = {
        name: str(free_port())
        for name in ("CLIENT_PORT", "MCP_SANDBOX_PORT", "MCP_APP_ORIGIN_PORT")
    }
    own = {"MCP_STORAGE_DIR": str(home), "HOME": str(home), "MCP_AUTO_OPEN_ENABLED": "false"}
    script = str(node_package("inspector") / INSPECTOR)
    with subprocess.Popen(
        [NODE, script, "--web", "--transport", "http", "--server-url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **ports, **own},
        text=True,
    ) as running:
        guard = threading.Timer(LIMIT_S, running.kill)
        guard.start()
        try:
            yield _address(running)
        finally:
            guard.cancel()
            running.terminate()


def _address(running: subprocess.Popen[str]) -> str:
    said = []
    assert running.stdout is not None
    for line in running.stdout:
        said.append(line)
        if found := re.search(r"http://\S+API_TOKEN=\S+", line):
            # what it goes on to say must not fill the pipe
            threading.Thread(target=running.stdout.read, daemon=True).start()
            return found[0]
    raise AssertionError("".join(said)[-2000:])
