"""Rules for the whole suite: nothing is skipped in silence where CI runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit import kernels

kernels.keep()  # before anything imports compiled code: it reads its folder once

pytest_plugins = [
    "tests.kit.redaction",
    "tests.kit.stores",
    "tests.kit.ledger",
    "tests.kit.identity",
    "tests.kit.work",
    "tests.kit.agents",
    "tests.kit.office",
    "tests.kit.live",
    "tests.kit.plugin",
]

ALLOWED_SKIPS = ("no GPU", "no docker daemon", "no terraform binary", "no Landlock", "not root")
SHARED = Path(__file__).resolve().parents[2] / "shared"

_skipped: list[str] = []


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of development data, or skip where the checkout stands alone."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("no development data beside the checkout")
    return folder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in ALLOWED_SKIPS):
            _skipped.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("CI") == "true" and _skipped and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") == "true" and _skipped:
        terminalreporter.section("skips that CI does not accept")
        for line in _skipped:
            terminalreporter.write_line(line)
