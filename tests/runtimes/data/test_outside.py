"""An ingest that asks another machine: through the tool, the worker, and the guard."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse import query
from ledger import runs
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data import outside
from runtimes.data.runtime import DataRuntime
from runtimes.specs.ingest import IngestSpec
from tests.kit.providers_remote import QUICK
from tests.kit.vendor import BROKEN, Asked, Reply, Vendor, as_json
from tests.kit.work import frames_of
from tools import data_jobs
from tools.registry import Office
from topology import services
from topology.errors import AlphaSwarmError, BadInputError, CredentialError, UnknownNameError
from topology.principal import Principal
from topology.services import Topology

ANNA = Principal(subject="anna", client_id="tests", jti="t1", acr="urn:alphaswarm:acr:pwd")
DAYS = ["2024-01-02", "2024-01-03", "2024-01-04"]
KEY = "k3y-0123456789"


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor who wants a key and gives one page per symbol."""

    def handler(asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return Reply(b"who are you?", 401)
        days = [day for day in DAYS if day >= asked.query["from"]]
        return as_json([{"t": d, "o": 10, "h": 12, "l": 9, "c": 11, "v": 5} for d in days])

    with Vendor(handler) as listening:
        yield listening


def topology_of(vendor: Vendor, key: Path, *, allow: bool = True, **more: Any) -> Topology:
    document: dict[str, Any] = yaml.safe_load(services.PACKAGED.read_text())
    document["providers"] = {
        "prices": {
            "kind": "http",
            "url": f"{vendor.url}/{{symbol}}?from={{start}}",
            "headers": {"Authorization": {"credential": "prices", "prefix": "Bearer "}},
            "columns": {
                "timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v",
            },
            "bounds": QUICK,
            **more,
        }
    }  # fmt: skip
    document["credentials"] = {"prices": {"from": f"file:{key}"}}
    place = {"host": "127.0.0.1", "port": vendor.port, "for": ["ingest"]}
    document["egress"] = {"default": "deny", "allow": [place] if allow else []}
    return Topology.model_validate(document)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    return file


async def ingested(
    office: Office, workshop: Workshop, topology: Topology, **wanted: Any
) -> runs.Run:
    """Submit by the tool and work as the worker does, both with ``topology``."""
    handle = await data_jobs.ingest(
        "prices", office=dataclasses.replace(office, topology=topology), caller=ANNA, **wanted
    )
    assert handle.run_id is not None
    perform(dataclasses.replace(workshop, topology=topology), "data", handle.run_id, DataRuntime)
    return runs.get(workshop.pool, handle.run_id)


async def test_a_source_of_the_topology_is_ingested_by_its_name_and_goes_on_by_itself(
    office: Office, workshop: Workshop, vendor: Vendor, key: Path
) -> None:
    topology, table = topology_of(vendor, key), "alphaswarm_silver_prices.bars_1d"
    asked: dict[str, Any] = {"table": table, "symbols": ["AAPL.NASDAQ", "IBM.NYSE"]}

    first = await ingested(office, workshop, topology, start=DAYS[0], **asked)
    assert first.status == "succeeded", first.error
    assert first.statistics is not None
    assert first.statistics["new"] == 6
    assert set(first.inputs) == {outside.ENDPOINT}
    assert first.name == "ingest-prices"

    DAYS.append("2024-01-05")
    try:
        second = await ingested(office, workshop, topology, **asked)
    finally:
        DAYS.pop()
    assert second.status == "succeeded", second.error
    assert second.statistics is not None
    assert (second.statistics["new"], second.statistics["known"]) == (2, 2)
    assert [asked.query["from"] for asked in vendor.seen[2:]] == ["2024-01-04"] * 2

    [apple, ibm] = query.coverage(workshop.lake, table)
    assert (apple.vt_symbol, apple.rows, ibm.rows) == ("AAPL.NASDAQ", 4, 4)
    kept = json.dumps([frame.model_dump() for frame in frames_of(workshop.pool, first.task_id)])
    assert KEY not in kept + json.dumps(first.inputs)
    assert "prices: AAPL.NASDAQ, page 1, 3 rows." in kept


async def test_a_source_with_nothing_new_is_no_failure(
    office: Office, workshop: Workshop, vendor: Vendor, key: Path
) -> None:
    topology, table = topology_of(vendor, key), "alphaswarm_silver_quiet.bars_1d"
    asked: dict[str, Any] = {"table": table, "symbols": ["AAPL.NASDAQ"]}
    await ingested(office, workshop, topology, start=DAYS[0], **asked)
    vendor.handler = lambda asked: as_json([])
    run = await ingested(office, workshop, topology, **asked)
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    assert (run.statistics["payloads"], run.statistics["new"]) == (0, 0)


async def test_a_source_that_stays_broken_fails_the_run_and_writes_nothing(
    office: Office, workshop: Workshop, vendor: Vendor, key: Path
) -> None:
    vendor.handler = lambda asked: BROKEN
    table = "alphaswarm_silver_broken.bars_1d"
    run = await ingested(
        office,
        workshop,
        topology_of(vendor, key),
        table=table,
        symbols=["AAPL.NASDAQ"],
        start=DAYS[0],
    )
    assert run.status == "failed"
    assert run.error is not None
    assert (run.error["code"], run.error["facts"]["status"]) == ("provider_error", 500)
    assert run.error["facts"]["attempts"] == QUICK["attempts"]
    assert table not in query.tables(workshop.lake)
    assert KEY not in json.dumps(run.error)


async def test_a_place_that_is_not_listed_fails_the_run_without_a_connection(
    office: Office, workshop: Workshop, vendor: Vendor, key: Path
) -> None:
    run = await ingested(
        office,
        workshop,
        topology_of(vendor, key, allow=False),
        table="alphaswarm_silver_denied.bars_1d",
        symbols=["AAPL.NASDAQ"],
        start=DAYS[0],
    )
    assert run.error is not None
    assert run.error["code"] == "egress_denied"
    assert f"port: {vendor.port}" in run.error["facts"]["lines"][0]
    assert vendor.dialled == 0


async def test_what_cannot_be_asked_is_refused_before_a_run(
    office: Office, vendor: Vendor, key: Path
) -> None:
    here = dataclasses.replace(office, topology=topology_of(vendor, key))

    async def refused(source: str, **more: Any) -> AlphaSwarmError:
        with pytest.raises(AlphaSwarmError) as told:
            await data_jobs.ingest(source, office=here, caller=ANNA, **more)
        return told.value

    near = await refused("prizes")
    assert (near.wire_code, near.facts["nearest"][0]) == ("unknown_name", "prices")
    assert "Name an endpoint" in (await refused("http")).body()["facts"]["errors"][0]["problem"]
    assert "symbols" in (await refused("yfinance")).body()["facts"]["errors"][0]["problem"]


# --- the way out itself -------------------------------------------------------------------------


def spec(**keys: Any) -> IngestSpec:
    return IngestSpec.model_validate({"name": "asked", "symbols": ["AAPL.NASDAQ"], **keys})


def test_what_leaves_nothing_needs_no_way_out(vendor: Vendor, key: Path) -> None:
    assert outside.remote(topology_of(vendor, key), spec(provider="sample"), {}) is None


@pytest.mark.parametrize("provider", ["yfinance", "ccxt"])
def test_the_libraries_need_no_entry(provider: str, vendor: Vendor, key: Path) -> None:
    way = outside.remote(topology_of(vendor, key), spec(provider=provider), {})
    assert way is not None
    assert (way.name, way.source.kind) == (provider, provider)


def test_an_unknown_source_names_the_nearest(vendor: Vendor, key: Path) -> None:
    asked = spec(provider="http", endpoint="price")
    with pytest.raises(UnknownNameError, match="no http source called 'price'") as told:
        outside.remote(topology_of(vendor, key), asked, {})
    assert told.value.facts["nearest"] == ["prices"]


def test_a_description_that_has_changed_since_is_other_work(vendor: Vendor, key: Path) -> None:
    before = topology_of(vendor, key)
    inputs = {outside.ENDPOINT: outside.digest(before.providers["prices"])}
    asked = spec(provider="http", endpoint="prices")
    assert outside.remote(before, asked, inputs) is not None
    with pytest.raises(BadInputError, match="otherwise than when"):
        outside.remote(topology_of(vendor, key, currency="EUR"), asked, inputs)


def test_a_key_that_is_not_there_names_the_reference_only(vendor: Vendor, tmp_path: Path) -> None:
    way = outside.remote(
        topology_of(vendor, tmp_path / "none"), spec(provider="http", endpoint="prices"), {}
    )
    assert way is not None
    with pytest.raises(CredentialError, match="file:"):
        way.secret("prices")


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"provider": "sample", "endpoint": "prices"}, "and with no other"),
        ({"provider": "http"}, "Name an endpoint"),
        ({"provider": "ccxt", "symbols": None}, "Name symbols"),
    ],
)
def test_a_spec_that_asks_nobody_is_refused(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        spec(**keys)
