"""What could be known at a time, and nothing more: canaries dated later, and a thousand reads.

In every table rows are planted that are dated after t in one of its columns: a bar that ends
later, a correction that became known later, a split, a ticker, a membership still to come. They
are planted before t, so that no snapshot hides them, and once more after it.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import identity, query, scan, schemas, universe, views
from lakehouse.asof import DATED, rows_at, time_of
from lakehouse.errors import SnapshotExpiredError
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS
from lakehouse.sandbox import query_sql
from lakehouse.scan import Where
from lakehouse.schemas import Shape
from lakehouse.source import open_source
from tests.kit.lake import Depot, fresh
from topology.errors import UnknownNameError
from topology.home import Home

READS, THROUGH_SANDBOX = 1_000, 40
MORE = 5
"""Further questions to rows that were opened anyway."""
MARKET = "alphaswarm_silver_market"
BARS, QUOTES = f"{MARKET}.bars_1d", f"{MARKET}.quotes_1d"
FEATURES = "alphaswarm_gold_features.set_0a1b2c3d"
BRONZE = "alphaswarm_bronze_files.shape_0a1b2c3d4e5f"
TABLES = [
    *(BARS, BARS + REVISIONS, QUOTES, QUOTES + REVISIONS),
    *(f"{MARKET}.{name}" for name in ("adjustments", "symbol_map", "universes")),
    *(f"{MARKET}.{name}" for name in ("rejects", "quality", "payloads")),
    *(FEATURES, FEATURES + REVISIONS, BRONZE, "alphaswarm_gold_backtests.fills"),
]
LONG_AGO = dt.datetime(2024, 1, 2, 21, tzinfo=dt.UTC)
CANARY, HONEST = "CANARY", "honest"
HELD = "AAPL.NASDAQ"
YELLOW = 666.0
"""What a canary says, wherever it says anything."""
CORRECTED: dict[Any, Any] = {1.0: 2.0, YELLOW: 667.0}
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Aviary:
    """A lake with canaries; ``moment`` is t."""

    depot: Depot
    moment: dt.datetime


@pytest.fixture(scope="module")
def aviary(
    migrated: Home, dsn: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Aviary]:
    for depot in fresh(dsn, tmp_path_factory.mktemp("aviary")):
        later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)  # noqa: TID251  snapshots know no other
        for table in TABLES:
            depot.append(table, planted(table, later), key="before")
        time.sleep(0.01)
        moment = dt.datetime.now(dt.UTC)  # noqa: TID251
        time.sleep(0.01)
        for table in TABLES:
            depot.append(table, planted(table, later + 9 * DAY, only_late=True), key="after")
        yield Aviary(depot, moment)


def shape_of(table: str) -> Shape:
    own = {"vt_symbol": schemas.TEXT, "timestamp": schemas.TIME, "f1": schemas.FEATURE}
    raw = {"price": schemas.NUMBER, **{f.name: f.type for f in schemas.MANDATORY_BRONZE}}
    given = pa.schema(raw if table == BRONZE else own)
    return schemas.of(TableName.parse(table), given)


def planted(table: str, later: dt.datetime, *, only_late: bool = False) -> pa.Table:
    """Return an honest row, and one for each dated column in which it lies after t."""
    shape = shape_of(table)
    columns = [field for field in shape.columns if field.name in DATED and _is_time(field.type)]
    rows = [] if only_late else [row(shape, 0, None, later)]
    rows += [row(shape, n, f.name, later) for n, f in enumerate(columns, start=1)]
    if table.endswith(REVISIONS):  # of the same bars, in other words
        rows = [
            {name: CORRECTED.get(v, v) if isinstance(v, float) else v for name, v in one.items()}
            for one in rows
        ]
        for one in rows:
            one["vt_symbol"] = HELD if one["known_at"] > LONG_AGO else one["vt_symbol"]
    return pa.Table.from_pylist(rows, shape.columns)


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def row(shape: Shape, number: int, late: str | None, later: dt.datetime) -> dict[str, Any]:
    """Return a row of the long ago, but for the column ``late``."""
    values: dict[str, Any] = {}
    for field in shape.columns:
        when = later if field.name == late else LONG_AGO
        if pa.types.is_timestamp(field.type):
            values[field.name] = when
        elif pa.types.is_date(field.type):
            ends = field.name in ("valid_to", "date_to")
            values[field.name] = (later if ends else when).date()
        elif pa.types.is_floating(field.type):
            values[field.name] = YELLOW if late else 1.0
        elif pa.types.is_integer(field.type):
            values[field.name] = 666 if late else 1
        elif field.name == "vt_symbol":
            values[field.name] = f"{CANARY}{number}.NASDAQ" if late else HELD
        elif field.name == "currency":
            values[field.name] = "USD"
        else:
            values[field.name] = CANARY if late else HONEST
    return values


def singing(value: Any) -> bool:
    """Tell whether a result holds anything that a canary says."""
    if isinstance(value, pa.Table):
        return any(singing(column.to_pylist()) for column in value.columns)
    if isinstance(value, list | tuple):
        return any(map(singing, value))
    if isinstance(value, str):
        return CANARY in value
    return value in (YELLOW, CORRECTED[YELLOW])


class Reader:
    """Reads anything, in any of the ways there are."""

    def __init__(self, aviary: Aviary, seed: int) -> None:
        self.lake = aviary.depot.reader
        self.moment = aviary.moment
        self.choose = random.Random(seed)

    def as_of(self) -> Any:
        when = self.moment
        return self.choose.choice([when, when.isoformat(), when.astimezone(_zone(-5))])

    def reads(self) -> list[Any]:
        """Return what one way of reading gives; rows and views are asked several things."""
        ways: list[Callable[[], Any]] = [
            self.rows,
            self.sql,
            self.bars,
            self.coverage,
            self.factors,
        ]
        ways += [self.tickers, self.members]
        way = self.choose.choices(ways, weights=[8, 4, 2, 1, 1, 1, 1])[0]
        return way() if way in (self.rows, self.sql) else [way()]

    def asked(self, names: list[str]) -> str:
        """Return a query of the rows ``source``."""
        name = scan.identifier(self.choose.choice(names))
        return self.choose.choice(
            [
                "SELECT * FROM source",
                f"SELECT min({name}), max({name}) FROM source",
                f"SELECT {name}, count(*) AS n FROM source GROUP BY ALL",
                f"SELECT {name} FROM source ORDER BY {name} DESC LIMIT 5",
            ]
        )

    def rows(self) -> list[Any]:
        table = self.choose.choice(TABLES)
        names = shape_of(table).columns.names
        columns = self.choose.sample(names, self.choose.randint(1, len(names)))
        where = Where()
        if "timestamp" in names and self.choose.random() < 0.5:
            where = Where(start=LONG_AGO - DAY, end=LONG_AGO + 9_999 * DAY)
        source = open_source(self.lake, table, where=where, as_of=self.as_of())
        found = query.read(self.lake, table, where=where, columns=columns, as_of=self.as_of())
        return [found, *(source.rows(self.asked(names)) for _ in range(MORE))]

    def sql(self) -> list[Any]:
        """Run SQL over the views that `query_sql` makes, without its child process."""
        table = self.choose.choice(TABLES)
        made = views.planned(self.lake, [table], self.as_of())
        text = made.views[0][-1]
        for file in made.files:
            text = text.replace(f"'{file}'", f"'{Path(made.root) / file}'")
        names = shape_of(table).columns.names
        return [
            scan.select(f"WITH source AS ({text}) {self.asked(names)}", {}) for _ in range(1 + MORE)
        ]

    def bars(self) -> Any:
        table = self.choose.choice([BARS, QUOTES])
        names = [HELD, f"{CANARY}1.NASDAQ", f"{CANARY}2.NASDAQ"]
        symbols = self.choose.sample(names, self.choose.randint(1, 3))
        try:
            return query.bars(
                self.lake,
                symbols,
                dt.date(2000, 1, 1),
                dt.date(2199, 1, 1),
                table=table,
                adjust=self.choose.choice(["none", "split", "total"]),
                revisions=self.choose.choice(["first", "latest"]),
                as_of=self.as_of(),
            )
        except UnknownNameError as error:  # a canary was never heard of
            return error.facts["nearest"]

    def coverage(self) -> Any:
        table = self.choose.choice([BARS, QUOTES])
        return [c.vt_symbol for c in query.coverage(self.lake, table, as_of=self.as_of())]

    def factors(self) -> Any:
        return query.factors(self.lake, BARS, as_of=self.as_of())

    def tickers(self) -> Any:
        return [t.name for t in identity.tickers(self.lake, BARS, as_of=self.as_of())]

    def members(self) -> Any:
        names = [HONEST, CANARY]
        try:
            found = universe.members(
                self.lake,
                self.choose.choice(names),
                dt.date(2000, 1, 1),
                dt.date(2199, 1, 1),
                as_of=self.as_of(),
            )
        except UnknownNameError as error:
            return error.facts["nearest"]
        assert all(member.date_to is None for member in found.members)  # it lay ahead
        return found.symbols()


def _zone(hours: int) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours))


def test_a_thousand_reads_as_of_a_time_hear_no_canary(aviary: Aviary) -> None:
    reader = Reader(aviary, seed=7)
    number = 0
    while number < READS - THROUGH_SANDBOX:
        for found in reader.reads():
            assert not singing(found), (number, found)
            number += 1


def test_neither_does_sql_in_the_sandbox(aviary: Aviary) -> None:
    for number in range(THROUGH_SANDBOX):
        table = TABLES[number % len(TABLES)]
        result = query_sql(aviary.depot.reader, f"SELECT * FROM {table}", as_of=aviary.moment)
        assert not singing(list(result.rows)), table


@pytest.mark.parametrize("table", TABLES)
def test_the_canaries_are_there_and_the_honest_rows_are_seen(aviary: Aviary, table: str) -> None:
    """Without a time they all sing; as of t the honest row is still read."""
    lake = aviary.depot.reader
    assert singing(query.read(lake, table))
    assert query.read(lake, table, as_of=aviary.moment).num_rows == 1


def test_as_of_a_time_before_the_first_snapshot_is_refused(aviary: Aviary) -> None:
    for table in TABLES:
        with pytest.raises(SnapshotExpiredError) as caught:
            query.read(aviary.depot.reader, table, as_of=aviary.moment - 365 * DAY)
        assert caught.value.facts["oldest"]


class TestTheFilter:
    """`asof.rows_at` is the one place that says which rows a time may show."""

    def test_only_a_time_hides_rows(self) -> None:
        columns = pa.schema({"timestamp": schemas.TIME})
        assert rows_at(columns, None) == rows_at(columns, "123") == "SELECT * FROM %s"
        assert time_of("123") is None

    def test_text_dates_nothing(self) -> None:
        """In bronze a column ``date`` may be anything."""
        assert "WHERE true" in rows_at(pa.schema({"date": pa.string()}), LONG_AGO)

    def test_an_end_that_lay_ahead_is_open(self) -> None:
        ends = pa.table({"date_to": [dt.date(2024, 1, 1), dt.date(2024, 1, 3), None]})
        sql = rows_at(ends.schema, LONG_AGO).replace("%s", "ends")
        assert scan.select(sql, {"ends": ends})["date_to"].to_pylist() == [
            dt.date(2024, 1, 1),
            None,
            None,
        ]
