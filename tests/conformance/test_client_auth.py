"""The stock client against the conformance suite's own servers (design list 64), by `make soak`.

The other half is `tests/servers/identity/test_conformance.py`: our issuer against its clients.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.kit.node import node_package, run_node

CLIENT = Path(__file__).with_name("auth_client.py")
SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
REVISION = "2026-07-28"
LEAST = 20
LIMIT_S = 120.0


@pytest.mark.node
@pytest.mark.soak
def test_every_scenario_of_authorization_that_2026_07_28_requires_passes() -> None:
    package = node_package("conformance-2026")
    suite = str(package / SUITE)
    listed = run_node(suite, "list", "--requirements", REVISION, "--client", timeout_s=LIMIT_S)
    required = listed.text.partition("never scored")[0]
    scenarios = sorted(set(re.findall(r"auth/[a-z0-9-]+", required)))
    assert len(scenarios) >= LEAST, listed.text
    for scenario in scenarios:
        done = run_node(
            suite, "client", "--command", f"{sys.executable} {CLIENT}", "--scenario", scenario,
            "--spec-version", REVISION, timeout_s=LIMIT_S,
        )  # fmt: skip
        assert done.code == 0, done.text[-2000:]
        assert re.search(r"Passed: (\d+)/\1, 0 failed", done.text), done.text[-2000:]
