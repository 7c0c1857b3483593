"""What `append_arrow` promises: exactly once by key, and nothing that does not belong."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import about, catalog, query
from lakehouse.errors import (
    DuplicateKeyError,
    IdempotencyConflictError,
    LayerMismatchError,
    SchemaMismatchError,
    TableNotFoundError,
)
from lakehouse.write import NO_SNAPSHOT
from ledger.appends import Appends
from tests.kit.faults import FaultyLog, failing
from tests.kit.lake import BARS, FILLS, NOW, SPEC, Depot, bars
from topology.errors import AlphaSwarmError, BadInputError, FaultError, RefusedError
from topology.ids import new_id

REVISIONS = f"{BARS}_revisions"
ADJUSTMENTS = "alphaswarm_silver_market.adjustments"
BRONZE = "alphaswarm_bronze_files.shape_1"
LATER = NOW + dt.timedelta(days=1)


def raw(payload: str = "a" * 64, **columns: list[Any]) -> pa.Table:
    """Return bronze rows: whatever the vendor sends, and our four columns."""
    columns = columns or {"Adj Close": ["1.5", "2.5"]}
    rows = len(next(iter(columns.values())))
    return pa.table(
        {
            **columns,
            "_ingested_at": pa.array([NOW] * rows, pa.timestamp("us", tz="UTC")),
            "_source": ["files:x.csv"] * rows,
            "_payload_sha256": [payload] * rows,
            "_run_id": ["r"] * rows,
        }
    )


def factors(known_at: dt.datetime, *values: float, symbol: str = "AAPL.NASDAQ") -> pa.Table:
    """Return a set of split factors of a symbol, one a day."""
    days = [dt.date(2024, 1, 2) + dt.timedelta(days=i) for i in range(len(values))]
    return pa.table(
        {
            "vt_symbol": [symbol] * len(values),
            "date": pa.array(days),
            "price_factor": [1.0] * len(values),
            "split_factor": list(values),
            "known_at": pa.array([known_at] * len(values), pa.timestamp("us", tz="UTC")),
            "source": ["test"] * len(values),
            "run_id": ["r"] * len(values),
        }
    )


class TestExactlyOnce:
    """The key decides: same rows give the first receipt, other rows are a conflict."""

    def test_an_append_is_there_for_readers(self, depot: Depot) -> None:
        receipt = depot.append(BARS, bars())
        assert (receipt.how, receipt.rows) == ("new", 3)
        assert query.current_snapshot(depot.reader, BARS) == receipt.snapshot_id
        assert query.read(depot.reader, BARS).column("close").to_pylist() == [10.0, 11.0, 12.0]

    def test_the_same_again_is_a_replay_in_any_layout(self, depot: Depot) -> None:
        first = depot.append(BARS, bars())
        reordered = bars().select(bars().schema.names[::-1]).take([2, 0, 1])
        again = depot.append(BARS, reordered)
        assert (again.how, again.rows) == ("replay", 3)
        assert again.snapshot_id == first.snapshot_id
        assert about.describe(depot.reader, BARS).rows == 3

    def test_other_rows_under_the_same_key_are_a_conflict(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        with pytest.raises(IdempotencyConflictError) as caught:
            depot.append(BARS, bars(closes=[10.0, 11.0, 99.0]))
        facts = caught.value.facts
        assert facts["key"] == "k"
        assert facts["stored_sha256"] != facts["given_sha256"]
        assert about.describe(depot.reader, BARS).rows == 3

    def test_the_same_key_in_another_table_is_another_append(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        other = depot.append("alphaswarm_silver_market.bars_1h", bars())
        assert other.how == "new"

    def test_who_died_between_commit_and_settling_is_recovered(self, depot: Depot) -> None:
        log = FaultyLog(depot.log, {"before settle": failing(FaultError("died"))})
        with pytest.raises(FaultError, match="died"):
            depot.append(BARS, bars(), log=log)
        entry = depot.log.find(BARS, "k")
        assert entry is not None
        assert entry.snapshot_id is None
        again = depot.append(BARS, bars())
        assert (again.how, again.rows) == ("recovered", 3)
        assert len(about.snapshots(depot.reader, BARS)) == 1
        assert depot.append(BARS, bars()).how == "replay"

    def test_who_died_before_the_commit_starts_over(self, depot: Depot) -> None:
        log = FaultyLog(depot.log, {"after claim": failing(FaultError("died"))})
        with pytest.raises(FaultError, match="died"):
            depot.append(BARS, bars(), log=log)
        assert BARS not in query.tables(depot.reader)
        assert depot.append(BARS, bars()).how == "new"

    def test_a_rival_who_settles_while_we_wait_for_the_lock_makes_ours_a_replay(
        self, depot: Depot
    ) -> None:
        log = FaultyLog(depot.log, {"before lock": lambda: _discard(depot.append(BARS, bars()))})
        assert depot.append(BARS, bars(), log=log).how == "replay"
        assert log.steps == ["find", "lock", "claim"]
        assert len(about.snapshots(depot.reader, BARS)) == 1

    def test_a_rival_with_other_rows_is_a_conflict_even_then(self, depot: Depot) -> None:
        rival = bars(closes=[1.0, 2.0, 3.0])
        log = FaultyLog(depot.log, {"before lock": lambda: _discard(depot.append(BARS, rival))})
        with pytest.raises(IdempotencyConflictError):
            depot.append(BARS, bars(), log=log)

    def test_a_replay_touches_neither_lock_nor_claim(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        log = FaultyLog(depot.log, {})
        depot.append(BARS, bars(), log=log)
        assert log.steps == ["find"]

    def test_a_busy_table_says_so_and_loses_nothing(self, depot: Depot) -> None:
        hurried = Appends(depot.log._pool, depot.app_dsn, patience_s=0.2)
        with depot.log.lock(BARS), pytest.raises(AlphaSwarmError) as caught:
            depot.append(BARS, bars(), log=hurried)
        assert caught.value.wire_code == "table_busy"
        assert depot.append(BARS, bars()).how == "new"

    def test_the_snapshot_says_who_wrote_it_and_why(self, depot: Depot) -> None:
        run_id = new_id(NOW)
        depot.append(BARS, bars(), run_id=run_id, summary={"alphaswarm.audit_tip": "f" * 64})
        snapshot = catalog.load(depot.reader, BARS).current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        facts = snapshot.summary.additional_properties
        entry = depot.log.find(BARS, "k")
        assert entry is not None
        assert facts["alphaswarm.key"] == "k"
        assert facts["alphaswarm.run_id"] == run_id
        assert facts["alphaswarm.spec_sha256"] == SPEC
        assert facts["alphaswarm.sha256"] == entry.digest
        assert facts["alphaswarm.audit_tip"] == "f" * 64


def _discard(_: object) -> None:
    """An action gives nothing back."""


class TestLayerRules:
    """What a layer takes, and what it does not."""

    def test_silver_takes_new_keys_only(self, depot: Depot) -> None:
        depot.append(BARS, bars(closes=[10.0, 11.0]), key="one")
        more = depot.append(BARS, bars(closes=[99.0, 98.0, 12.0]), key="two")
        assert more.rows == 1
        assert query.read(depot.reader, BARS).column("close").to_pylist() == [10.0, 11.0, 12.0]

    def test_nothing_new_commits_nothing(self, depot: Depot) -> None:
        first = depot.append(BARS, bars(), key="one")
        again = depot.append(BARS, bars(source="elsewhere"), key="two")
        assert (again.how, again.rows, again.snapshot_id) == ("new", 0, first.snapshot_id)
        assert depot.append(BARS, bars(source="elsewhere"), key="two").rows == 0
        assert len(about.snapshots(depot.reader, BARS)) == 1

    def test_revisions_take_changed_values_only_and_the_latest_counts(self, depot: Depot) -> None:
        depot.append(BARS, bars(closes=[10.0, 11.0, 12.0]))
        same = depot.append(REVISIONS, bars(known_at=NOW), key="same")
        assert (same.rows, same.snapshot_id) == (0, NO_SNAPSHOT)
        assert REVISIONS not in query.tables(depot.reader)
        for known_at, close in ((NOW, 11.5), (LATER, 11.7)):
            changed = bars(closes=[10.0, close, 12.0], known_at=known_at)
            assert depot.append(REVISIONS, changed, key=str(close)).rows == 1
        repeated = bars(closes=[10.0, 11.7, 12.0], known_at=LATER)
        assert depot.append(REVISIONS, repeated, key="repeated").rows == 0

    def test_a_value_that_appears_or_goes_is_a_change(self, depot: Depot) -> None:
        table = bars()
        place = table.schema.get_field_index("volume")
        without = table.set_column(place, "volume", pa.array([None, 100.0, 100.0], pa.float64()))
        depot.append(BARS, without)
        assert depot.append(REVISIONS, bars(known_at=NOW), key="appears").rows == 1
        gone = without.append_column("known_at", bars(known_at=LATER).column("known_at"))
        assert depot.append(REVISIONS, gone, key="goes").rows == 1

    def test_adjustments_are_written_as_whole_sets_when_one_factor_changes(
        self, depot: Depot
    ) -> None:
        assert depot.append(ADJUSTMENTS, factors(NOW, 0.5, 1.0), key="1").rows == 2
        assert depot.append(ADJUSTMENTS, factors(LATER, 0.5, 1.0), key="2").rows == 0
        assert depot.append(ADJUSTMENTS, factors(LATER, 0.25, 0.5, 1.0), key="3").rows == 3
        both = pa.concat_tables(
            [factors(LATER, 0.25, 0.5, 1.0), factors(LATER, 1.0, symbol="MSFT.NASDAQ")]
        )
        assert depot.append(ADJUSTMENTS, both, key="4").rows == 1

    def test_bronze_keeps_columns_as_they_came_and_a_payload_once(self, depot: Depot) -> None:
        first = depot.append(BRONZE, raw(), key="one")
        assert depot.append(BRONZE, raw(), key="two").rows == 0
        assert depot.append(BRONZE, raw("b" * 64), key="three").rows == 2
        held = query.read(depot.reader, BRONZE)
        assert held.column("Adj Close").to_pylist() == ["1.5", "2.5"] * 2
        assert first.rows == 2

    def test_bronze_needs_its_four_columns(self, depot: Depot) -> None:
        with pytest.raises(SchemaMismatchError, match="_payload_sha256"):
            depot.append(BRONZE, raw().drop_columns(["_payload_sha256"]))

    def test_a_table_keeps_its_columns(self, depot: Depot) -> None:
        depot.append(BRONZE, raw())
        with pytest.raises(SchemaMismatchError) as caught:
            depot.append(BRONZE, raw("b" * 64, Price=["1"]), key="other")
        assert caught.value.facts["there"] == "Adj Close string"
        assert caught.value.facts["given"] == "Price string"

    def test_gold_tables_of_a_run_belong_to_that_run(self, depot: Depot) -> None:
        mine, other = new_id(NOW), new_id(NOW)
        with pytest.raises(BadInputError, match="another run"):
            depot.append(f"alphaswarm_gold_backtests.run_{other}", equity(), run_id=mine)
        assert depot.append(f"alphaswarm_gold_backtests.run_{mine}", equity(), run_id=mine).rows

    @pytest.mark.parametrize(
        ("table", "nearest"),
        [
            pytest.param("alphaswarm_gold_backtests.fils", [FILLS], id="misspelt"),
            pytest.param("alphaswarm_silver_market.bars_2d", [BARS], id="no such bars"),
        ],
    )
    def test_a_table_that_is_not_registered_is_refused(
        self, depot: Depot, table: str, nearest: list[str]
    ) -> None:
        with pytest.raises(TableNotFoundError) as caught:
            depot.append(table, bars())
        assert caught.value.facts["nearest"][:1] == nearest

    def test_a_layer_writes_its_own_tables(self, depot: Depot) -> None:
        from lakehouse.write import append_arrow

        with pytest.raises(LayerMismatchError):
            append_arrow(
                "gold",
                BARS,
                bars(),
                key="k",
                run_id="r",
                spec_sha256=SPEC,
                log=depot.log,
                lake=depot.writer,
            )

    @pytest.mark.parametrize(
        "named",
        [
            pytest.param({"key": ""}, id="no key"),
            pytest.param({"key": "k" * 201}, id="long key"),
            pytest.param({"key": "a\nb"}, id="line break in the key"),
            pytest.param({"run_id": ""}, id="no run"),
            pytest.param({"spec_sha256": ""}, id="no spec"),
        ],
    )
    def test_an_append_names_key_run_and_spec(self, depot: Depot, named: dict[str, str]) -> None:
        with pytest.raises(BadInputError):
            depot.append(BARS, bars(), **named)

    def test_a_reader_of_batches_is_refused(self, depot: Depot) -> None:
        with pytest.raises(SchemaMismatchError, match="RecordBatchReader"):
            depot.append(BARS, bars().to_reader())

    def test_doubled_keys_claim_nothing(self, depot: Depot) -> None:
        with pytest.raises(DuplicateKeyError):
            depot.append(BARS, pa.concat_tables([bars(), bars()]))
        assert depot.log.find(BARS, "k") is None


def equity() -> pa.Table:
    """Return an equity curve of one bar."""
    names = ("equity", "drawdown", "cash", "gross_exposure", "net_exposure", "turnover", "fees")
    times = pa.array([NOW], pa.timestamp("us", tz="UTC"))
    return pa.table({"timestamp": times, **{name: [1.0] for name in names}})


class TestTables:
    """Tables are made once, as the design says."""

    def test_a_new_table_has_key_order_partitions_and_properties(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        told = about.describe(depot.reader, BARS)
        assert told.key == told.order == ("vt_symbol", "timestamp")
        assert told.partitions == ("timestamp_month: month",)
        assert (told.layer, told.rows, told.files) == ("silver", 3, 1)
        table = catalog.load(depot.reader, BARS)
        assert table.format_version == 2
        assert catalog.PROPERTIES.items() <= table.properties.items()

    def test_tables_of_many_runs_are_spread_by_run(self, depot: Depot) -> None:
        depot.append("alphaswarm_gold_backtests.statistics", statistics("r"))
        told = about.describe(depot.reader, "alphaswarm_gold_backtests.statistics")
        assert told.partitions == ("run_id_bucket: bucket[16]",)
        assert told.order == ("run_id", "profile", "name")

    @pytest.mark.parametrize(
        "name", [pytest.param(name, id=name) for name in sorted(catalog.PROPERTIES)[:2]]
    )
    def test_a_table_without_our_properties_is_refused(self, depot: Depot, name: str) -> None:
        depot.append(BARS, bars())
        with catalog.load(depot.writer, BARS).transaction() as change:
            change.remove_properties(name)
        with pytest.raises(FaultError) as caught:
            depot.append(BARS, bars(closes=[1.0] * 5), key="next")
        assert caught.value.facts["properties"] == [name]

    def test_the_readers_role_cannot_commit(self, depot: Depot) -> None:
        depot.append(BARS, bars())
        with pytest.raises(RefusedError) as caught:
            depot.append(BARS, bars(closes=[1.0] * 5), key="next", lake=depot.reader)
        assert caught.value.wire_code == "access_denied"
        assert about.describe(depot.reader, BARS).rows == 3

    def test_the_readers_role_cannot_make_a_table(self, depot: Depot) -> None:
        with pytest.raises(RefusedError):
            depot.append(BARS, bars(), lake=depot.reader)
        assert query.tables(depot.reader) == []

    def test_first_appends_to_many_tables_at_once_share_the_namespace(self, depot: Depot) -> None:
        runs = [new_id(NOW) for _ in range(6)]

        def first(run_id: str) -> str:
            table = f"alphaswarm_gold_backtests.run_{run_id}"
            return depot.append(table, equity(), key=run_id, run_id=run_id).how

        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(first, runs)) == ["new"] * 6
        assert len(query.tables(depot.reader)) == 6

    def test_first_appends_to_one_table_at_once_make_it_once(self, depot: Depot) -> None:
        symbols = [f"S{place}.TEST" for place in range(6)]
        with ThreadPoolExecutor(3) as threads:
            made = threads.map(lambda s: depot.append(BARS, bars(s), key=s).rows, symbols)
            assert list(made) == [3] * 6
        assert about.describe(depot.reader, BARS).rows == 18

    def test_metadata_does_not_grow_with_appends(self, depot: Depot) -> None:
        for place in range(25):
            depot.append(BARS, bars(f"S{place}.TEST"), key=f"{place}")
        table = catalog.load(depot.reader, BARS)
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert len(snapshot.manifests(table.io)) < 20
        assert len(table.metadata.metadata_log) <= 10


def statistics(run_id: str) -> pa.Table:
    """Return one statistic of a run."""
    return pa.table(
        {"run_id": [run_id], "profile": ["standard"], "name": ["sharpe"], "value": [1.0]}
    )


@pytest.mark.parametrize("step", ["before find", "before lock", "after lock", "before claim"])
def test_a_fault_at_any_step_before_the_commit_leaves_no_table(depot: Depot, step: str) -> None:
    log = FaultyLog(depot.log, {step: failing(FaultError("died"))})
    with pytest.raises(FaultError, match="died"):
        depot.append(BARS, bars(), log=log)
    assert query.tables(depot.reader) == []
    assert depot.append(BARS, bars(), log=log).how == "new"
