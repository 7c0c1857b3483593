"""What an ingest is told becomes a locked spec: paths, folders, globs and mapping files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kit import leanfolder
from tests.kit.office import ANNA
from tools import data_jobs
from tools.registry import Office
from topology.errors import AlphaSwarmError, UnknownNameError

CSV = "Day,Last\n2024-01-02,10\n"


async def spec(office: Office, source: str, **named: Any) -> dict[str, Any]:
    answer = await data_jobs.ingest(source, dry_run=True, office=office, caller=ANNA, **named)
    body: dict[str, Any] = dict(answer.spec or {})
    return body


@pytest.fixture
def eod(office: Office) -> Path:
    folder = office.home.inbox / "eod"
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_text(CSV)
    (folder / "alphaswarm-mapping.yaml").write_text(
        "timezone: Europe/Berlin\nclose: 17:30\ncolumns: {timestamp: Day}\n"
    )
    return folder


@pytest.mark.parametrize("source", ["eod", "eod/*.csv", "eod/a.csv"])
async def test_a_mapping_file_becomes_part_of_the_spec(
    office: Office, eod: Path, source: str
) -> None:
    """Whoever replays the run needs no file beside the data: the locked spec says it all."""
    body = await spec(office, source)
    assert (body["provider"], body["path"]) == ("files", source)
    assert body["reading"]["timezone"] == "Europe/Berlin"
    assert body["reading"]["close"] == "17:30"
    assert body["reading"]["columns"] == {"timestamp": "Day"}


async def test_what_the_caller_says_goes_before_the_mapping_file(office: Office, eod: Path) -> None:
    body = await spec(office, "eod", reading={"close": "22:00"})
    assert (body["reading"]["close"], body["reading"]["timezone"]) == ("22:00", "Europe/Berlin")


async def test_a_lean_folder_is_named_by_its_provider(office: Office) -> None:
    place = office.home.inbox / "Data" / "equity" / "usa" / "daily" / "ibm.zip"
    leanfolder.pack(place, "20240102 00:00,1,1,1,1,1\n")
    body = await spec(office, "lean:Data")
    assert (body["provider"], body["path"]) == ("lean", "Data")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("eod/*.parquet", "not_found"),
        ("../*.csv", "path_not_allowed"),
        ("lean:eod", "not_found"),
        ("lean:../..", "path_not_allowed"),
    ],
)
async def test_what_is_not_there_is_refused_before_a_run(
    office: Office, eod: Path, source: str, code: str
) -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        await spec(office, source)
    assert caught.value.wire_code == code


@pytest.mark.parametrize("source", ["laen", "laen:Data", "laen:/data/lean"])
async def test_a_provider_that_is_misspelled_is_named(office: Office, source: str) -> None:
    with pytest.raises(UnknownNameError, match="'laen' is neither") as caught:
        await spec(office, source)
    assert caught.value.facts["nearest"][0] == "lean"
