"""The shape of the files: short, one idea each, and silent about the place they were written."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")
SOURCES = sorted(p for room in HOUSE for p in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEXTS = sorted(
    p
    for pattern in ("*.md", "*.toml", "*.lock", "Makefile", "docs/**/*.md", ".ci/*", "scripts/*")
    for p in ROOT.glob(pattern)
    if p.is_file()
)
LIMIT = 600
ELSEWHERE = re.compile(
    r"/work/|/farm/|/root/|\.library\b|pypi\.org|pythonhosted|registry\.npmjs|debian\.org"
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name)
def test_a_file_stays_below_six_hundred_lines(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LIMIT, f"{name(path)} has {lines} lines: split it by idea"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].strip().endswith((".", ":", ";"))


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name == "__init__.py"], ids=name)
def test_an_init_holds_a_docstring_and_at_most_its_family_registry(path: Path) -> None:
    body = ast.parse(path.read_text()).body[1:]
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr, ast.If)
    assert all(isinstance(node, allowed) for node in body)
    reexports = [n for n in body if isinstance(n, ast.ImportFrom) and n.level]
    assert not reexports


@pytest.mark.parametrize("path", [*SOURCES, *TESTS, *TEXTS], ids=name)
def test_no_file_names_the_place_it_was_written_in(path: Path) -> None:
    if path == Path(__file__).resolve():
        return
    assert ELSEWHERE.findall(path.read_text()) == []


def test_tests_mirror_the_tree_without_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_lock_holds_pins_only() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*(\[[a-z,]+\])?==[\w.+!-]+( ; .+)?", line), line
