"""What every provider promises, asked of every provider that is registered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import query
from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from lakehouse.providers import PROVIDERS, WITH_PATH
from lakehouse.providers.base import Payload, Provider, Request
from tests.kit.lake import SPEC, Depot, Silent
from tests.kit.payloads import bronze
from tests.kit.providers import LOCAL, MakeSetup, Setup
from tests.kit.providers_remote import REMOTE
from topology.errors import AlphaSwarmError
from topology.ids import new_id

SETUPS: dict[str, MakeSetup] = {**LOCAL, **REMOTE}
FACTS = {
    "adjustments": ["vt_symbol", "date", "price_factor", "split_factor"],
    "symbol_map": ["vt_symbol", "ticker", "exchange", "valid_from", "valid_to"],
    "universes": ["universe", "vt_symbol", "date_from", "date_to"],
}


@pytest.fixture(params=sorted(SETUPS))
def setup(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Setup]:
    folder = tmp_path / "inbox"
    folder.mkdir()
    with SETUPS[request.param](folder, monkeypatch) as made:
        yield made


def provider(setup: Setup) -> Provider:
    return PROVIDERS.load(setup.spec["provider"])()


def asked(setup: Setup, tmp_path: Path) -> Request:
    """Return the request as an ingest makes it."""
    spill = tmp_path / new_id(setup.now)
    spill.mkdir()
    more: dict[str, Any] = {"now": setup.now, "remote": setup.remote, "progress": Silent()}
    return Request.of(setup.spec, [setup.folder], spill=spill, **more)


def fetched(setup: Setup, tmp_path: Path) -> tuple[Provider, Request, list[Payload]]:
    one, request = provider(setup), asked(setup, tmp_path)
    return one, request, list(one.fetch(request))


def test_every_registered_provider_is_asked() -> None:
    assert set(SETUPS) == set(PROVIDERS.names())
    assert set(PROVIDERS.names()) >= WITH_PATH


def test_two_fetches_give_the_same_payloads_in_the_same_order(setup: Setup, tmp_path: Path) -> None:
    one, two = fetched(setup, tmp_path)[2], fetched(setup, tmp_path)[2]
    assert one
    told = [[(p.table, p.sha256, p.source, p.schema) for p in payloads] for payloads in (one, two)]
    assert told[0] == told[1]
    assert all(re.fullmatch("[0-9a-f]{64}", payload.sha256) for payload in one)
    assert all(payload.table.startswith("alphaswarm_bronze_") for payload in one)


def test_batches_have_one_schema_and_may_be_taken_again(setup: Setup, tmp_path: Path) -> None:
    for payload in fetched(setup, tmp_path)[2]:
        first, again = list(payload.batches()), list(payload.batches())
        assert first == again
        assert all(batch.rows.schema == payload.schema for batch in first)
        assert all(batch.rows.num_rows <= 100_000 for batch in first)
        numbers = bronze(payload).column("_row").to_pylist()
        told = {line.row for batch in first for line in batch.broken}
        assert sorted({*numbers, *told}) == list(range(1, len(numbers) + len(told) + 1))


def test_payloads_of_one_table_have_one_schema(setup: Setup, tmp_path: Path) -> None:
    payloads = fetched(setup, tmp_path)[2]
    assert len({(p.table, str(p.schema)) for p in payloads}) == len({p.table for p in payloads})


def test_rows_in_rows_out(setup: Setup, tmp_path: Path) -> None:
    """The hook may turn columns into ours; how many rows, and where they are from, stays."""
    one, _, payloads = fetched(setup, tmp_path)
    for payload in payloads:
        raw = bronze(payload)
        for part in (raw, raw.slice(0, 1), raw.slice(0, 0)):
            got = one.rows(part)
            kept = [name for name in part.schema.names if name.startswith("_")]
            order = [("_row", "ascending")]
            assert got.select(kept).sort_by(order).equals(part.select(kept).sort_by(order))


def test_facts_have_their_columns(setup: Setup, tmp_path: Path) -> None:
    one, request, _ = fetched(setup, tmp_path)
    for name, table in one.facts(request).items():
        assert table.schema.names == FACTS[name]
        assert table.num_rows
        assert all(
            kind == pa.date32()
            for column, kind in zip(table.schema.names, table.schema.types, strict=True)
            if column in ("date", "valid_from", "valid_to", "date_from", "date_to")
        )


def test_origins_name_no_folder_and_no_secret(setup: Setup, tmp_path: Path) -> None:
    for payload in fetched(setup, tmp_path)[2]:
        assert payload.source.partition(":")[0] == setup.spec["provider"]
        assert shown(payload.source, setup, tmp_path) == []


def test_broken_writes_nothing_then_once_writes_all_then_again_nothing(
    setup: Setup, depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = brought(setup, depot, tmp_path)
    assert first.new > 0
    before = snapshots(depot)
    again = brought(setup, depot, tmp_path)
    assert (again.new, again.revised, again.known) == (0, 0, first.new)
    assert snapshots(depot) == before

    setup.spoil()
    with pytest.raises(AlphaSwarmError) as caught:
        brought(setup, depot, tmp_path)
    assert snapshots(depot) == before
    assert caught.value.hint
    assert shown(str(caught.value.body()), setup, tmp_path) == []


def shown(text: str, setup: Setup, tmp_path: Path) -> list[str]:
    """Return what ``text`` should not tell."""
    return [word for word in (str(tmp_path), str(setup.folder), *setup.secrets) if word in text]


def brought(setup: Setup, depot: Depot, tmp_path: Path) -> IngestResult:
    spill = tmp_path / "spill"
    spill.mkdir(exist_ok=True)
    run = Run(
        depot.writer,
        depot.log,
        run_id=new_id(setup.now),
        spec_sha256=SPEC,
        created_at=setup.now,
        progress=Silent(),
        spill=spill,
    )
    return ingest(run, setup.spec, allowed=[setup.folder], remote=setup.remote)


def snapshots(depot: Depot) -> dict[str, str]:
    return query.resolve(depot.reader, query.tables(depot.reader))
