"""What every test of workloads has: a crew whose workloads end with the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtimes.context import Workshop
from tests.kit.workloads import Crew
from tools.registry import Office


@pytest.fixture
def crew(office: Office, workshop: Workshop) -> Iterator[Crew]:
    """Yield a crew over the test home."""
    one = Crew(office, workshop)
    yield one
    one.clean()
