"""Imports only go down, every heavy library has one owner, and starting a face stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    *("torch", "litellm", "openai", "langgraph", "numba", "gymnasium"),
    *("pandas", "exchange_calendars"),
}
HOUSE = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_every_import_contract_holds() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(linter), "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["servers.everything", "tools.data", "tools.backtest"])
def test_a_face_starts_without_the_heavy_libraries(module: str) -> None:
    assert not loaded_by(f"import {module}") & HEAVY


def test_the_command_line_starts_without_servers_stores_or_models() -> None:
    held = loaded_by("import clients.cli.app")
    assert not held & (HEAVY | {"fastmcp", "mcp", "sqlalchemy", "psycopg", "pyarrow", "duckdb"})


def registries() -> list[tuple[Path, str]]:
    """Return each ``"module:attribute"`` string of a Registry call, with its file."""
    found: list[tuple[Path, str]] = []
    for path in (p for room in HOUSE for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or "Registry" not in ast.unparse(node.func):
                continue
            leaves = (leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Constant))
            found.extend((path, str(leaf.value)) for leaf in leaves if ":" in str(leaf.value))
    return found


def test_a_registry_names_members_of_its_own_family_only() -> None:
    entries = registries()
    assert entries
    for path, target in entries:
        family = ".".join(path.relative_to(ROOT).parent.parts)
        assert target.startswith(f"{family}."), f"{path.name}: {target}"
