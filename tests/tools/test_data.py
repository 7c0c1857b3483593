"""The tools of ``data``, called as a server calls them."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from lakehouse import schemas
from lakehouse.layers import TableName
from lakehouse.write import append_arrow
from ledger import audit, runs
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.data.runtime import DataRuntime
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import (
    data,
    data_completions,
    data_jobs,
    data_language,
    data_pictures,
    data_resources,
)
from tools.intake import named_after
from tools.registry import Office, served
from topology import services
from topology.errors import AlphaSwarmError, BadInputError, InvalidSpecError, UnknownNameError

TABLE = "alphaswarm_silver_shelf.bars_1d"
SYMBOLS = ["AAA.TEST", "ABB.TEST", "BBB.TEST"]
CSV = "Date,Symbol,Open,High,Low,Close,Volume\n2012-01-03,AAA.TEST,10,11,9,10.5,1000\n"
READING = {"columns": {"vt_symbol": "Symbol", "timestamp": "Date"}}


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put 30 days of three symbols into the lake, in two snapshots."""
    whole = walks(SYMBOLS, bars=30)
    put(workshop, TABLE, whole.slice(0, 60))
    put(workshop, TABLE, whole.slice(60))


@pytest.fixture
def csv(office: Office) -> str:
    """Put a file into the inbox and return its name."""
    (office.home.inbox / "prices.csv").write_text(CSV)
    return "prices.csv"


def test_the_server_offers_exactly_the_tools_of_the_contract() -> None:
    assert set(served("data").tools) == {
        "ingest",
        "list_tables",
        "describe_table",
        "get_bars",
        "query_sql",
        "search_symbols",
        "list_snapshots",
        "get_run",
        "cancel_run",
        "compute_features",
        "quality_report",
        "export_table",
    }


def test_only_what_starts_or_ends_work_needs_more_than_reading() -> None:
    tools = served("data").tools
    writing = {name for name, tool in tools.items() if tool.auth.scopes == ("data:write",)}

    assert writing == {"ingest", "compute_features", "export_table", "cancel_run"}
    assert {name for name, tool in tools.items() if tool.job} == writing - {"cancel_run"}
    assert {name for name, tool in tools.items() if not tool.read_only} == writing


def test_tables_are_listed_page_by_page(office: Office, workshop: Workshop) -> None:
    put(workshop, "alphaswarm_silver_shelf2.bars_1d", walks(["AAA.TEST"], bars=2))
    whole = data.list_tables(limit=200, office=office, caller=ANNA)

    listed, after = [], None
    while True:
        page = data.list_tables(after, 1, office=office, caller=ANNA)
        listed += page.tables
        if (after := page.next) is None:
            break

    assert TABLE in [row.table for row in whole.tables]
    assert whole.next is None
    assert listed == whole.tables


def test_a_table_is_described_with_its_key_and_coverage(office: Office) -> None:
    found = data.describe_table(TABLE, office=office, caller=ANNA)

    assert (found.layer, found.rows, found.symbols) == ("silver", 90, 3)
    assert found.key == ["vt_symbol", "timestamp"]
    assert {"name": "close", "type": "double", "required": True} in [
        column.model_dump() for column in found.columns
    ]
    assert found.coverage is not None
    assert found.coverage[0].model_dump() == {
        "vt_symbol": "AAA.TEST",
        "first": "2001-01-01T21:00:00Z",
        "last": "2001-01-30T21:00:00Z",
        "rows": 30,
    }


async def test_bars_between_two_days_both_inclusive(office: Office) -> None:
    found = data.get_bars(
        ["AAA.TEST"], "2001-01-02", "2001-01-04", TABLE, office=office, caller=ANNA
    )

    assert found.columns[:6] == ["vt_symbol", "timestamp", "open", "high", "low", "close"]
    assert [row[1] for row in found.rows] == [f"2001-01-0{day}T21:00:00Z" for day in (2, 3, 4)]
    assert (found.row_count, found.truncated) == (3, False)
    assert found.snapshot_ids[TABLE].isdecimal()


async def test_more_bars_than_asked_for_are_cut_and_it_says_so(office: Office) -> None:
    found = data.get_bars(
        SYMBOLS, "2001-01-01", "2001-12-31", TABLE, max_rows=10, office=office, caller=ANNA
    )

    assert (found.row_count, found.truncated) == (10, True)


async def test_an_older_snapshot_does_not_know_what_came_later(office: Office) -> None:
    page = data.list_snapshots(TABLE, office=office, caller=ANNA)
    oldest = page.snapshots[-1].snapshot_id

    with pytest.raises(UnknownNameError):
        data.get_bars(
            ["BBB.TEST"],
            "2001-01-01",
            "2001-12-31",
            TABLE,
            as_of=oldest,
            office=office,
            caller=ANNA,
        )
    found = data.get_bars(
        ["ABB.TEST"], "2001-01-01", "2001-12-31", TABLE, as_of=oldest, office=office, caller=ANNA
    )
    assert found.row_count == 30


async def test_an_older_snapshot_is_read_although_corrections_came_later(
    office: Office, workshop: Workshop
) -> None:
    table = "alphaswarm_silver_amended.bars_1d"
    first = put(workshop, table, walks(["AAA.TEST"], bars=3))
    when = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 3, pa.timestamp("us", tz="UTC"))
    corrected = walks(["AAA.TEST"], bars=3, seed=8).append_column("known_at", when)
    put(workshop, f"{table}_revisions", corrected)

    found, newest = [
        data.get_bars(
            ["AAA.TEST"], "2001-01-01", "2001-12-31", table, as_of=at, office=office, caller=ANNA
        )
        for at in (first.snapshot_id, None)
    ]

    assert set(found.snapshot_ids) == {table}
    assert set(newest.snapshot_ids) == {table, f"{table}_revisions"}
    assert found.rows != newest.rows


async def test_the_first_and_the_last_day_that_exist_mean_everything(office: Office) -> None:
    found = data.get_bars(
        ["AAA.TEST"], "0001-01-01", "9999-12-31", TABLE, office=office, caller=ANNA
    )
    assert found.row_count == 30


async def test_prices_that_nobody_can_adjust_are_named(office: Office) -> None:
    asked, raw = [
        data.get_bars(
            ["AAA.TEST"], "2001-01-01", "2001-12-31", TABLE, adjust, office=office, caller=ANNA
        )
        for adjust in ("total", "none")
    ]

    assert asked.unadjusted == ["AAA.TEST"]
    assert raw.unadjusted == []


def test_snapshots_come_newest_first_page_by_page(office: Office) -> None:
    first = data.list_snapshots(TABLE, limit=1, office=office, caller=ANNA)
    second = data.list_snapshots(TABLE, first.next, 1, office=office, caller=ANNA)

    assert (first.snapshots[0].rows_total, second.snapshots[0].rows_total) == (90, 60)
    assert second.next is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param({"start": "2002-01-01", "end": "2001-01-01"}, "invalid_arguments", id="order"),
        pytest.param({"start": "yesterday"}, "invalid_arguments", id="no day"),
        pytest.param({"start": "2001-02-30"}, "invalid_arguments", id="a day that never was"),
        pytest.param({"start": "0001-01-01T00:00:00+14:00"}, "invalid_arguments", id="before days"),
        pytest.param({"symbols": ["AAC.TEST"]}, "unknown_name", id="a symbol"),
        pytest.param({"table": "alphaswarm_silver_shelv.bars_1d"}, "table_not_found", id="a table"),
        pytest.param({"table": "../etc"}, "table_not_found", id="no table's name"),
        pytest.param({"as_of": "now"}, "invalid_arguments", id="no time"),
        pytest.param({"as_of": "12345"}, "snapshot_expired", id="no such snapshot"),
    ],
)
async def test_bad_arguments_are_refused_with_a_way_out(
    office: Office, arguments: dict[str, Any], code: str
) -> None:
    good = {"symbols": ["AAA.TEST"], "start": "2001-01-01", "end": "2001-01-31", "table": TABLE}

    with pytest.raises(AlphaSwarmError) as refused:
        data.get_bars(**(good | arguments), office=office, caller=ANNA)

    assert refused.value.wire_code == code
    assert refused.value.hint


def test_symbols_are_searched_by_beginning_then_by_part_then_by_likeness(office: Office) -> None:
    def search(text: str) -> list[str]:
        found = data.search_symbols(text, TABLE, office=office, caller=ANNA)
        return [row.vt_symbol for row in found.symbols]

    assert search("") == SYMBOLS
    assert search("bb") == ["BBB.TEST", "ABB.TEST"]
    assert search("AAB.TEST")[0] in {"AAA.TEST", "ABB.TEST"}
    assert search("zzzzzz") == []


async def test_ingest_submits_a_run_that_a_worker_can_do(
    office: Office, workshop: Workshop, csv: str
) -> None:
    handle = await data_jobs.ingest(
        csv,
        table="alphaswarm_silver_inbox.bars_1d",
        reading=READING,
        office=office,
        caller=ANNA,
    )
    assert handle.run_id is not None
    perform(workshop, "data", handle.run_id, DataRuntime)

    run = runs.get(workshop.pool, handle.run_id)
    assert run.status == "succeeded", run.error
    assert run.name == "ingest-prices"
    assert set(run.inputs) == {"payload_sha256"}
    actions = [row.action for row in audit.tail(office.pool, limit=4, newest_first=True)]
    assert actions.count("ingest") == 2


async def test_a_dry_run_checks_everything_and_writes_nothing(office: Office, csv: str) -> None:
    before = len(runs.listing(office.pool, kind="data", limit=200))

    answer = await data_jobs.ingest(csv, reading=READING, dry_run=True, office=office, caller=ANNA)

    assert (answer.dry_run, answer.run_id) == (True, None)
    assert answer.spec is not None
    assert answer.spec["path"] == "prices.csv"
    assert len(runs.listing(office.pool, kind="data", limit=200)) == before


async def test_a_whole_path_into_the_inbox_is_the_same_spec(office: Office, csv: str) -> None:
    short = await data_jobs.ingest(csv, dry_run=True, office=office, caller=ANNA)
    whole = await data_jobs.ingest(
        str(office.home.inbox / csv), dry_run=True, office=office, caller=ANNA
    )

    assert whole.spec_hash == short.spec_hash


@pytest.mark.parametrize(
    ("source", "more", "code"),
    [
        pytest.param("../secrets/x.csv", {}, "path_not_allowed", id="out of the inbox"),
        pytest.param("/etc/passwd", {}, "path_not_allowed", id="somewhere else"),
        pytest.param("sampl", {}, "unknown_name", id="a misspelt provider"),
        pytest.param("missing.csv", {}, "not_found", id="no such file"),
        pytest.param("sample", {"table": "bars"}, "invalid_spec", id="no table's name"),
        pytest.param("sample", {"symbols": ["aapl"]}, "invalid_spec", id="no symbol"),
        pytest.param("sample", {"reading": {"zone": "UTC"}}, "invalid_spec", id="a misspelt key"),
        pytest.param("sample", {"name": "Bad Name"}, "invalid_spec", id="no name"),
    ],
)
async def test_what_cannot_be_ingested_is_refused_at_once(
    office: Office, source: str, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(AlphaSwarmError) as refused:
        await data_jobs.ingest(source, **more, office=office, caller=ANNA)

    assert refused.value.wire_code == code


async def test_a_link_out_of_the_inbox_is_refused(office: Office, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(CSV)
    link = office.home.inbox / "link.csv"
    link.symlink_to(tmp_path / "secret.csv")

    with pytest.raises(AlphaSwarmError) as refused:
        await data_jobs.ingest("link.csv", office=office, caller=ANNA)

    assert refused.value.wire_code == "path_not_allowed"
    assert str(tmp_path) not in str(refused.value.body())


async def test_a_misspelt_time_zone_gets_the_nearest(office: Office, csv: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        await data_jobs.ingest(
            csv,
            reading={"timezone": "America/NewYork"},
            dry_run=True,
            office=office,
            caller=ANNA,
        )

    line = refused.value.facts["errors"][0]
    assert line["path"] == "reading.timezone"
    assert "America/New_York" in line["nearest"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("sample", "ingest-sample"),
        ("My Prices (2).csv.gz", "ingest-my-prices-2"),
        ("日本.csv", "ingest-file"),
        ("a/b/c.parquet", "ingest-c"),
    ],
)
def test_a_spec_is_named_after_its_source(source: str, name: str) -> None:
    assert named_after(source) == name


def test_the_resources_of_a_table(office: Office) -> None:
    schema = data_resources.schema(TABLE, office=office, caller=ANNA)
    coverage = data_resources.coverage(TABLE, office=office, caller=ANNA)
    providers = data_resources.providers(office=office, caller=ANNA)

    assert schema.key == ["vt_symbol", "timestamp"]
    assert [row.vt_symbol for row in coverage.symbols] == SYMBOLS
    by_name = {one.name: one for one in providers.providers}
    assert {"files", "lean", "sample", "yfinance", "ccxt"} == set(by_name)
    assert "egress.allow does not name" in by_name["yfinance"].missing[-1]
    assert "symbols" in by_name["ccxt"].needs
    assert (by_name["ccxt"].ready, "names no host" in by_name["ccxt"].missing[-1]) == (False, True)
    assert by_name["sample"].ready
    assert by_name["files"].needs == ["a path"]
    assert providers.folders[0] == "inbox"


def test_a_provider_of_the_topology_says_what_is_missing(office: Office) -> None:
    def view(**egress: Any) -> data_resources.ProviderView:
        prices = {"kind": "http", "url": "https://prices.example.com/{symbol}", "rows": "bars"}
        document = yaml.safe_load(services.PACKAGED.read_text())
        document |= {"providers": {"prices": prices}, **egress}
        topology = services.Topology.model_validate(document)
        found = data_resources.providers(
            office=dataclasses.replace(office, topology=topology), caller=ANNA
        )
        return next(one for one in found.providers if one.name == "prices")

    denied = view()
    allowed = view(egress={"allow": [{"host": "prices.example.com", "for": ["ingest"]}]})

    assert (denied.kind, denied.ready) == ("http", False)
    assert "egress.allow does not name prices.example.com port 443 for ingest." in denied.missing[0]
    assert (allowed.ready, allowed.missing) == (True, [])


def test_tables_complete_by_their_whole_or_their_own_name(office: Office) -> None:
    assert TABLE in data_completions.tables("alphaswarm_silver_sh", office=office)
    assert TABLE in data_completions.tables("bars", office=office)


def test_symbols_and_columns_complete_for_the_table_that_is_chosen(office: Office) -> None:
    given = {"table": TABLE}

    assert data_completions.symbols("a", office=office, given=given) == ["AAA.TEST", "ABB.TEST"]
    assert data_completions.columns("cl", office=office, given=given) == ["close"]
    for complete in (data_completions.symbols, data_completions.columns):
        assert complete("", office=office, given={"table": "nothing"}) == []


def test_operators_and_feature_sets_complete_without_the_compiler() -> None:
    assert "Mean" in data_completions.operators("me")
    assert data_completions.feature_sets("alpha1") == ["alpha158"]


def test_an_operator_and_a_feature_set_are_resources(office: Office) -> None:
    mean = data_language.operator("Mean", office=office, caller=ANNA)
    language = data_language.language(office=office, caller=ANNA)
    alpha = data_language.feature_set("alpha158", office=office, caller=ANNA)

    assert (mean.signature, mean.family) == ("Mean(x, N)", "rolling")
    assert mean in language.operators
    assert len(alpha.features) == 158
    with pytest.raises(UnknownNameError, match="Mea"):
        data_language.operator("Mea", office=office, caller=ANNA)


def test_a_former_ticker_finds_the_symbol_that_bore_it(office: Office, workshop: Workshop) -> None:
    table = "alphaswarm_silver_renamed.bars_1d"
    put(workshop, table, walks(["META.TEST"], bars=3))
    name(workshop, table, "META.TEST", [("FB", "2012-05-18", "2022-06-08"), ("META", None, None)])

    found = data.search_symbols("fb", table, office=office, caller=ANNA)

    assert [row.vt_symbol for row in found.symbols] == ["META.TEST"]
    assert found.symbols[0].tickers == ["FB.TEST 2012-05-18..2022-06-08"]
    assert "FB.TEST" in data_completions.symbols("F", office=office, given={"table": table})


async def test_features_are_checked_at_once_with_the_nearest_name(office: Office) -> None:
    asked: dict[str, Any] = {
        "symbols": ["AAA.TEST"],
        "start": "2001-01-01",
        "end": "2001-01-30",
        "table": TABLE,
    }
    good = await data_jobs.compute_features(
        **asked,
        expressions={"ratio": "Mean($close,5)/$close"},
        dry_run=True,
        office=office,
        caller=ANNA,
    )
    assert good.spec is not None
    assert good.spec["task"] == "features"

    with pytest.raises(AlphaSwarmError) as refused:
        await data_jobs.compute_features(
            **asked,
            expressions={"ratio": "Maen($close,5)"},
            dry_run=True,
            office=office,
            caller=ANNA,
        )
    assert "Mean" in refused.value.facts["errors"][0]["nearest"]
    with pytest.raises(UnknownNameError):
        await data_jobs.compute_features(
            **(asked | {"symbols": ["AAC.TEST"]}),
            feature_set="alpha158",
            dry_run=True,
            office=office,
            caller=ANNA,
        )


async def test_an_export_is_checked_then_made_by_a_worker(
    office: Office, workshop: Workshop
) -> None:
    with pytest.raises(UnknownNameError):
        await data_jobs.export_table(TABLE, ["clos"], office=office, caller=ANNA)

    handle = await data_jobs.export_table(TABLE, ["close"], office=office, caller=ANNA)
    assert handle.run_id is not None
    perform(workshop, "data", handle.run_id, DataRuntime)

    view = await data.get_run(handle.run_id, office=office, caller=ANNA)
    assert view.status == "succeeded", view.error
    assert [link.uri for link in view.links()] == [
        f"run://{handle.run_id}",
        f"data://exports/{handle.run_id}",
    ]


def test_a_cursor_of_another_table_is_refused(office: Office) -> None:
    with pytest.raises(BadInputError):
        data.list_snapshots(TABLE, "1", office=office, caller=ANNA)


async def test_sql_reads_tables_by_their_names(office: Office) -> None:
    found = await data.query_sql(
        f"SELECT vt_symbol, count(*) AS bars FROM {TABLE} GROUP BY vt_symbol ORDER BY vt_symbol",
        office=office,
        caller=ANNA,
    )

    assert found.columns == ["vt_symbol", "bars"]
    assert found.rows == [[symbol, 30] for symbol in SYMBOLS]
    assert found.snapshot_ids[TABLE].isdecimal()
    assert not found.truncated


async def test_more_rows_than_asked_for_are_cut_by_sql_too(office: Office) -> None:
    found = await data.query_sql(f"SELECT * FROM {TABLE}", 7, office=office, caller=ANNA)

    assert (found.row_count, found.truncated) == (7, True)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM alphaswarm_silver_shelf.bars_1d",
        "COPY (SELECT 1) TO '/tmp/x'",
        "ATTACH '/tmp/x'",
        "SELECT 1; SELECT 2",
        "SELECT * FROM read_csv('/etc/passwd')",
    ],
)
async def test_sql_that_is_no_plain_select_is_refused(office: Office, sql: str) -> None:
    with pytest.raises(AlphaSwarmError) as refused:
        await data.query_sql(sql, office=office, caller=ANNA)

    assert refused.value.wire_code == "sql_not_allowed"


def name(
    workshop: Workshop, table: str, symbol: str, names: list[tuple[str, str | None, str | None]]
) -> None:
    """Say which tickers a symbol bore, as a provider's map does."""
    since = dt.date(1998, 1, 2)
    rows = [
        {
            "vt_symbol": symbol,
            "ticker": ticker,
            "exchange": "TEST",
            "valid_from": dt.date.fromisoformat(first) if first else since,
            "valid_to": dt.date.fromisoformat(last) if last else None,
            "known_at": dt.datetime(2023, 1, 1, tzinfo=dt.UTC),
            "source": "test",
            "run_id": "r",
        }
        for ticker, first, last in names
    ]
    beside = f"{table.partition('.')[0]}.symbol_map"
    append_arrow(
        "silver",
        beside,
        pa.Table.from_pylist(rows, schemas.of(TableName.parse(beside), pa.schema([])).columns),
        key="names",
        run_id="r",
        spec_sha256="0" * 64,
        log=workshop.log,
        lake=workshop.lake,
    )


def test_coverage_and_lineage_are_pictures(office: Office) -> None:
    calendar = data_pictures.coverage_picture(TABLE, office=office, caller=ANNA)
    lineage = data_pictures.table_lineage(TABLE, office=office, caller=ANNA)
    drawn = data_pictures.table_lineage_picture(TABLE, office=office, caller=ANNA)

    assert calendar.startswith("<svg")
    assert "AAA.TEST" in calendar
    assert [node.name for node in lineage.nodes] == ["bars_1d"]
    assert lineage.nodes[0].rows == 90
    assert drawn.startswith("<svg")


def test_what_a_data_run_made_has_a_lineage(office: Office, workshop: Workshop) -> None:
    handle = asyncio.run(data_jobs.export_table(TABLE, office=office, caller=ANNA))
    assert handle.run_id is not None

    assert data_pictures.run_lineage(handle.run_id, office=office, caller=ANNA).nodes == []
    assert data_pictures.run_lineage_picture(handle.run_id, office=office, caller=ANNA).startswith(
        "<svg"
    )
