"""The public conformance suites against a server of our compose function, in both eras."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.kit.fixture_server import serving
from tests.kit.node import Finished, node_package, run_node

SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
LIMIT_S = 150
# Tasks that ask their user something, and tools that insist on tasks: no tool of ours does either.
NOT_OURS = {"tasks-mrtr-input", "tasks-mrtr-composition", "tasks-required-task-error"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("fixture") / "server.log") as address:
        yield address


def run(package: str, *arguments: str) -> Finished:
    script = str(node_package(package) / SUITE)
    finished = run_node(script, "server", *arguments, timeout_s=LIMIT_S)
    return Finished(finished.code, re.sub(r"\x1b\[[0-9;]*m", "", finished.text))


def failing(text: str) -> set[str]:
    return set(re.findall(r"^✗ (\S+): ", text, re.MULTILINE))


@pytest.mark.node
def test_every_scenario_of_the_handshake_era_passes(url: str) -> None:
    finished = run("conformance", "--url", url, "--suite", "all")
    assert failing(finished.text) == set(), finished.text[-3000:]
    assert "Total: 44 passed, 0 failed" in finished.text
    assert finished.code == 0


@pytest.mark.node
def test_every_requirement_of_2026_07_28_is_met(url: str) -> None:
    finished = run("conformance-2026", "--url", url, "--requirements", "2026-07-28")
    assert failing(finished.text) <= NOT_OURS, finished.text[-3000:]
    passed = re.findall(r"^✓ (\S+): ", finished.text, re.MULTILINE)
    assert len(passed) >= 47
    assert finished.code == 0
