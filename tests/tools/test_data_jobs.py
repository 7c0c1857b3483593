"""What is asked of a job is judged before there is a run, and told by the key that is wrong."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lakehouse.write import append_arrow
from runtimes.context import Workshop
from tests.kit.market import SPEC_SHA, START, put, walks
from tests.kit.office import ANNA
from tools import data_jobs
from tools.registry import Office
from tools.runs import Submitted
from topology.errors import AlphaSwarmError
from topology.ids import new_id

TABLE = "alphaswarm_silver_hired.bars_1d"


@pytest.fixture(scope="module", autouse=True)
def universe(workshop: Workshop) -> None:
    """One universe, ``tech30``, with one member."""
    put(workshop, TABLE, walks(["AAA.TEST"], bars=5))
    run_id = new_id(START)
    member = {
        "universe": ["tech30"],
        "vt_symbol": ["AAA.TEST"],
        "date_from": pa.array([START.date()]),
        "date_to": pa.array([None], pa.date32()),
        "known_at": pa.array([START], pa.timestamp("us", tz="UTC")),
        "source": ["test"],
        "run_id": [run_id],
    }
    append_arrow(
        "silver",
        "alphaswarm_silver_hired.universes",
        pa.table(member),
        key=f"{run_id}:universes",
        run_id=run_id,
        spec_sha256=SPEC_SHA,
        log=workshop.log,
        lake=workshop.lake,
    )


async def features(office: Office, universe: str, **more: Any) -> Submitted:
    return await data_jobs.compute_features(
        "2001-01-01",
        "2001-01-30",
        universe=universe,
        table=TABLE,
        **more,
        dry_run=True,
        office=office,
        caller=ANNA,
    )


async def test_features_are_computed_over_a_universe_that_there_is(office: Office) -> None:
    good = await features(office, "tech30", feature_set="alpha158")
    assert good.spec is not None
    assert good.spec["universe"] == {"name": "tech30"}

    with pytest.raises(AlphaSwarmError) as refused:
        await features(office, "tech20", feature_set="alpha158")
    assert refused.value.wire_code == "unknown_name"
    assert refused.value.facts["nearest"] == ["tech30"]
    assert "'tech30'" in refused.value.hint


async def test_what_only_the_whole_spec_shows_is_told_by_its_key(office: Office) -> None:
    with pytest.raises(AlphaSwarmError) as nothing:
        await features(office, "tech30")
    with pytest.raises(AlphaSwarmError) as reversed_:
        await data_jobs.export_table(
            TABLE, start="2001-02-01", end="2001-01-01", dry_run=True, office=office, caller=ANNA
        )

    found = [error.value.facts["errors"] for error in (nothing, reversed_)]
    assert [(one["path"], one["value"]) for (one,) in found] == [
        ("set", None),
        ("end", "2001-01-01"),
    ]
