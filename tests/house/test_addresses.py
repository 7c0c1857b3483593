"""Topology is data: no module but topology.yaml knows where anything is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")
ADDRESS = re.compile(
    r"https?://(localhost|127\.0\.0\.1|\[::1\]|[a-z0-9-]+\.[a-z]{2,})", re.IGNORECASE
)
NAMES_ONLY = re.compile(r"https?://(json-schema\.org|www\.w3\.org)")


@pytest.mark.parametrize(
    "path",
    sorted(p for room in HOUSE for p in (ROOT / room).rglob("*.py")),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_no_module_holds_an_address(path: Path) -> None:
    text = NAMES_ONLY.sub("", path.read_text())
    lines = [
        f"{path.name}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if ADDRESS.search(line)
    ]
    assert not lines
