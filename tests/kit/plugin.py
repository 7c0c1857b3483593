"""A package that brings strategies, installed for real into a folder of its own."""

from __future__ import annotations

import hashlib
import os
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest

from runtimes.strategies import STRATEGIES
from runtimes.strategies.plugins import GROUP


def install(
    folder: Path,
    source: str,
    strategies: Mapping[str, str],
    *,
    name: str = "asw-test-pack",
    version: str = "1.2.3",
) -> None:
    """Put a distribution of one module below ``folder``: names map to attributes of the module."""
    module = name.replace("-", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    points = "".join(f"{key} = {module}:{value}\n" for key, value in strategies.items())
    files = {
        f"{module}.py": source,
        f"{info.name}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info.name}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info.name}/entry_points.txt": f"[{GROUP}]\n{points}",
    }
    lines = [f"{info.name}/RECORD,,"]
    for path, text in files.items():
        (folder / path).write_text(text)
        sha = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={sha},{len(text)}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder where packages are found, by this process and by those that it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setattr(STRATEGIES, "_loaded", {})
    monkeypatch.setitem(vars(STRATEGIES), "offered", None)
    del vars(STRATEGIES)["offered"]
    for name in [name for name in sys.modules if name.startswith("asw_test_pack")]:
        monkeypatch.delitem(sys.modules, name)
    return folder
