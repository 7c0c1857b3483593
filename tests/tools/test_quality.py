"""A quality report over the tool: what was judged, and no praise for what was not."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.context import Workshop
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import data
from tools.registry import Office
from topology.errors import AlphaSwarmError

TABLE = "alphaswarm_silver_judged.bars_1d"


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    put(workshop, TABLE, walks(["AAA.TEST", "AAB.TEST", "BBB.TEST"], bars=30))


def test_quality_is_reported_worst_first_and_says_what_nobody_judged(office: Office) -> None:
    found = data.quality_report(TABLE, office=office, caller=ANNA)

    assert found.rows == 90
    assert found.found == sum(found.by_severity.values())
    assert {one["rule"] for one in found.rules}.isdisjoint(found.clean)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param({"symbols": ["AAC.TEST"]}, "unknown_name", id="a symbol without bars"),
        pytest.param({"symbols": ["aaa"]}, "unknown_name", id="no symbol at all"),
        pytest.param(
            {"start": "2001-02-01", "end": "2001-01-01"}, "invalid_arguments", id="reversed"
        ),
        pytest.param({"run_id": "latest"}, "invalid_arguments", id="no run id"),
        pytest.param({"run_id": "0" * 26}, "not_found", id="no such run"),
    ],
)
def test_what_is_not_there_is_not_called_clean(
    office: Office, asked: dict[str, Any], code: str
) -> None:
    with pytest.raises(AlphaSwarmError) as refused:
        data.quality_report(TABLE, **asked, office=office, caller=ANNA)
    assert refused.value.wire_code == code


def test_a_period_without_bars_is_not_judged(office: Office) -> None:
    found = data.quality_report(
        TABLE, start="1990-01-01", end="1990-02-01", office=office, caller=ANNA
    )
    assert (found.rows, found.found, found.clean) == (0, 0, [])
    assert found.not_checked[0] == "There are no bars: nothing was judged."
