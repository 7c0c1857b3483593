"""A lake of its own for a test: a fresh database with catalog and claims, a fresh warehouse."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from lakehouse import catalog
from lakehouse.lake import Lake, open_lake
from lakehouse.write import Receipt, append_arrow
from ledger.appends import Appends
from ledger.migrations.lake import l0001_catalog
from ledger.migrations.record import r0002_events_and_effects
from ledger.pool import open_pool
from topology.home import Home
from topology.ids import new_id

BARS = "alphaswarm_silver_market.bars_1d"
FILLS = "alphaswarm_gold_backtests.fills"
SPEC = "5" * 64
DAY = dt.datetime(2024, 1, 2, 21, tzinfo=dt.UTC)
NOW = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Depot:
    """A lake as its writer, as its reader, and the log of its appends."""

    writer: Lake
    reader: Lake
    log: Appends
    app_dsn: str

    def append(self, table: str, data: pa.Table, *, key: str = "k", **named: Any) -> Receipt:
        """Append with the layer that the table's name says."""
        named = {"run_id": new_id(NOW), "spec_sha256": SPEC, "log": self.log, **named}
        layer = table.split("_")[1]
        return append_arrow(layer, table, data, key=key, **{"lake": self.writer, **named})


@pytest.fixture
def depot(migrated: Home, dsn: Callable[..., str], tmp_path: Path) -> Iterator[Depot]:
    """Yield an empty lake; its database is dropped afterwards."""
    yield from fresh(dsn, tmp_path / "warehouse")


@pytest.fixture(scope="module")
def market(
    migrated: Home, dsn: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Depot]:
    """Yield a lake with the bars of two symbols, shared by the tests of a module that only read."""
    for opened in fresh(dsn, tmp_path_factory.mktemp("market")):
        opened.append(BARS, pa.concat_tables([bars(), bars("MSFT.NASDAQ", (20.0, 21.0))]))
        yield opened


def fresh(dsn: Callable[..., str], warehouse: Path) -> Iterator[Depot]:
    """Yield an empty lake in a database of its own."""
    name = f"lake_{new_id(dt.datetime.now(dt.UTC))}"  # noqa: TID251  only a name
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as superuser:
        superuser.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield from _opened(name, dsn, warehouse)
        finally:
            superuser.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _opened(name: str, dsn: Callable[..., str], warehouse: Path) -> Iterator[Depot]:
    def at(role: str) -> str:
        return dsn(role, "lake").replace("/lake?", f"/{name}?")

    with psycopg.connect(at("alphaswarm")) as connection:
        for text in (
            l0001_catalog.TABLES,
            l0001_catalog.GRANTS,
            "GRANT USAGE ON SCHEMA public TO alphaswarm_app",
            r0002_events_and_effects.APPENDS,
        ):
            connection.execute(text.encode())
    app = at("alphaswarm_app")
    with closing(open_pool(app, name="lake tests", min_size=1, max_size=4)) as pool:
        writer, reader = (
            open_lake(at(role).replace("postgresql://", "postgresql+psycopg://"), str(warehouse))
            for role in ("alphaswarm_writer", "alphaswarm_reader")
        )
        yield Depot(writer, reader, Appends(pool, app), app)
        for lake in (writer, reader):
            catalog.close(lake)


def bars(
    symbol: str = "AAPL.NASDAQ",
    closes: Sequence[float] = (10.0, 11.0, 12.0),
    *,
    start: dt.datetime = DAY,
    **constants: Any,
) -> pa.Table:
    """Return one bar a day of ``symbol``: open, high and low are the close, volume is 100."""
    rows = len(closes)
    values = {name: pa.array(closes, pa.float64()) for name in ("open", "high", "low", "close")}
    facts = {"currency": "USD", "source": "test", "ingested_at": NOW, "run_id": "r", **constants}
    times = [start + dt.timedelta(days=i) for i in range(rows)]
    return pa.table(
        {
            "vt_symbol": pa.array([symbol] * rows),
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
            **values,
            "volume": pa.array([100.0] * rows),
            **{
                name: pa.array(
                    [value] * rows,
                    pa.timestamp("us", tz="UTC") if isinstance(value, dt.datetime) else pa.string(),
                )
                for name, value in facts.items()
            },
        }
    )


@dataclass(frozen=True)
class Silent:
    """A `Progress` that keeps the frames and never stops the work."""

    frames: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Keep the frame."""
        self.frames.append((stage, {"message": message, **extras}))

    def checkpoint(self) -> None:
        """Return."""


def fills(run_id: str, rows: int = 100) -> pa.Table:
    """Return fills of a run, one a second, numbered from 0."""
    times = [DAY + dt.timedelta(seconds=i) for i in range(rows)]
    return pa.table(
        {
            "run_id": [run_id] * rows,
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
            "vt_symbol": ["AAPL.NASDAQ"] * rows,
            "side": ["buy"] * rows,
            "quantity": [1.0] * rows,
            "price": [10.0] * rows,
            "fee": [0.0] * rows,
            "order_id": list(range(rows)),
            "tag": ["target"] * rows,
        }
    )
