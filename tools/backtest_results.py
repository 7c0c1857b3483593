"""What a backtest left, as resources of capped size: record, curve, fills, tear sheet."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from ledger import specs
from ledger.runs import Run
from runtimes.strategies import STRATEGIES
from tools import runs as seen
from tools.apps import tearsheet
from tools.registry import Office, completion, resource
from tools.results import Link
from tools.rows import Rows, capped
from topology.errors import MissingError
from topology.principal import Principal

KIND = "backtest"
POINTS = 2_000
MOST_FILLS = 5_000
READ = Rule(scopes=("backtest:read",), actor="any")


class BacktestView(seen.RunView):
    """Everything the ledger records of a backtest, with links to what it left."""

    def links(self) -> list[Link]:
        """Return the resources that hold the run and its result tables."""
        base, tables = f"backtest://runs/{self.run_id}", self.result_tables or {}
        links = super().links()
        if "equity" in tables:
            links.append(Link(f"{base}/equity", "equity", title="Equity curve"))
            links.append(
                Link(f"{base}/tearsheet", "tearsheet", title="Tear sheet", mime="text/html")
            )
        if "fills" in tables:
            links.append(Link(f"{base}/fills", "fills", title="Fills"))
        return links


class CurveView(BaseModel):
    """The curve of a run, every ``every``-th of its ``bars`` rows and always the last one."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    bars: int
    every: int
    curve: Rows


class StrategyView(BaseModel):
    """A strategy, and the JSON schema of each of its parameters."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    params: dict[str, Any]


@resource(server="backtest", uri="run://{run_id}", auth=READ, title="A backtest run")
def run(run_id: str, *, office: Office, caller: Principal) -> seen.RunView:
    """Return everything the ledger records of a backtest run."""
    del caller
    return seen.view(seen.read(office, run_id, kind=KIND))


@resource(
    server="backtest",
    uri="backtest://runs/{run_id}/equity",
    auth=READ,
    title="Equity curve of a backtest",
)
def equity(run_id: str, *, office: Office, caller: Principal) -> CurveView:
    """Return equity, drawdown, cash, exposures, turnover and fees, thinned to 2,000 bars."""
    del caller
    table, snapshot_ids = _result(office, _read(office, run_id), "equity")
    every = max(-(-table.num_rows // POINTS), 1)
    last = table.num_rows - 1
    kept = table.take([*range(0, last, every), last])
    return CurveView(
        run_id=run_id,
        bars=table.num_rows,
        every=every,
        curve=capped(
            kept.column_names,
            zip(*(column.to_pylist() for column in kept.columns), strict=True),
            most_rows=POINTS + 1,
            most_characters=500_000,
            snapshot_ids=snapshot_ids,
        ),
    )


@resource(
    server="backtest",
    uri="backtest://runs/{run_id}/fills",
    auth=READ,
    title="Fills of a backtest",
)
def fills(run_id: str, *, office: Office, caller: Principal) -> Rows:
    """Return the fills of a run in order, the first 5,000 of them."""
    del caller
    table, snapshot_ids = _result(office, _read(office, run_id), "fills")
    head = table.slice(0, MOST_FILLS)
    return capped(
        head.column_names,
        zip(*(column.to_pylist() for column in head.columns), strict=True),
        most_rows=MOST_FILLS,
        most_characters=1_000_000,
        snapshot_ids=snapshot_ids,
        more=table.num_rows > MOST_FILLS,
    )


@resource(
    server="backtest",
    uri="backtest://runs/{run_id}/tearsheet",
    auth=READ,
    title="Tear sheet of a backtest",
    mime="text/html",
)
def tear_sheet(run_id: str, *, office: Office, caller: Principal) -> str:
    """Return a page that stands alone: equity, drawdown, monthly returns and statistics."""
    del caller
    found = _read(office, run_id)
    curve, _ = _result(office, found, "equity")
    times = curve.column("timestamp").to_numpy().astype("datetime64[ns]").astype("int64")
    shown = seen.view(found).model_dump()
    version = specs.get(office.pool, found.spec_sha256, kind=KIND)
    return tearsheet.render(
        {**shown, "spec": version.body},
        found.statistics or {},
        timestamps=times,
        equity=curve.column("equity").to_numpy(),
        drawdown=curve.column("drawdown").to_numpy(),
        fills=_by_symbol(office, found),
    )


@resource(
    server="backtest",
    uri="backtest://strategies/{strategy}",
    auth=READ,
    title="A strategy",
)
def strategy(strategy: str, *, office: Office, caller: Principal) -> StrategyView:
    """Return what a strategy does and the JSON schema of its parameters."""
    del office, caller
    return describe(strategy)


@completion(server="backtest", argument="strategy")
def strategies(value: str, *, office: Office) -> list[str]:
    """Return the strategies that begin with ``value``."""
    del office
    return [name for name in STRATEGIES if name.startswith(value)]


@completion(server="backtest", argument="run_id")
def run_ids(value: str, *, office: Office) -> list[str]:
    """Return the newest backtest runs whose id begins with ``value``."""
    page = seen.page(office, kind=KIND, status=None, name=None, after=None, limit=100)
    return [row.run_id for row in page.runs if row.run_id.startswith(value)]


def describe(name: str) -> StrategyView:
    """Return a strategy of the registry; an unknown one raises `UnknownNameError`."""
    found = STRATEGIES.load(name)
    schema = found.params.model_json_schema()
    return StrategyView(name=name, title=found.title, params=schema.get("properties", {}))


def _read(office: Office, run_id: str) -> Run:
    return seen.read(office, run_id, kind=KIND)


def _result(office: Office, found: Run, role: str) -> tuple[Any, dict[str, str]]:
    """Return the run's rows of a result table, and the snapshot they were read at."""
    name = (found.result_tables or {}).get(role)
    if name is None:
        raise MissingError(
            f"Run {found.run_id} has no {role}: it is {found.status}.",
            hint="get_run with wait_s waits for the end; a run without fills has no fills table.",
            status=found.status,
        )
    from lakehouse import query
    from lakehouse.scan import Where

    snapshot_ids = query.resolve(office.lake, [name])
    where = Where() if role == "equity" else Where(run_id=found.run_id)
    return query.read(office.lake, name, where=where, as_of=snapshot_ids[name]), snapshot_ids


def _by_symbol(office: Office, found: Run) -> list[dict[str, Any]]:
    if "fills" not in (found.result_tables or {}):
        return []
    totals: dict[str, dict[str, Any]] = {}
    table, _ = _result(office, found, "fills")
    for row in table.select(["vt_symbol", "side", "quantity", "price", "fee"]).to_pylist():
        blank = {"vt_symbol": row["vt_symbol"], "fills": 0, "bought": 0.0, "sold": 0.0, "fees": 0.0}
        total = totals.setdefault(row["vt_symbol"], blank)
        total["fills"] += 1
        total["bought" if row["side"] == "buy" else "sold"] += row["quantity"] * row["price"]
        total["fees"] += row["fee"]
    return [totals[symbol] for symbol in sorted(totals)]
