"""What a backtest left, as resources of capped size: record, curve, fills, tear sheet."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from runtimes.strategies import STRATEGIES
from runtimes.strategies.plugins import PluginError
from tools import curves, kept, sheet
from tools import runs as seen
from tools.apps import tearsheet
from tools.registry import Office, completion, resource
from tools.results import Link
from tools.rows import Rows, capped
from topology.principal import Principal

KIND = "backtest"
POINTS = 2_000
MOST_ROWS = 5_000
PAGE_SIZES = ((POINTS, 500), (POINTS, 100), (1_000, 0))
"""Points and trades of the page that stands alone; the next pair where one is too large."""
APP = "ui://backtest/tearsheet.html"
READ = Rule(scopes=("backtest:read",), actor="any")


class BacktestView(seen.RunView):
    """Everything the ledger records of a backtest, with links to what it left."""

    def links(self) -> list[Link]:
        """Return the resources that hold the run and its result tables."""
        base, tables = f"backtest://runs/{self.run_id}", self.result_tables or {}
        links = super().links()
        if "equity" in tables:
            links.append(Link(f"{base}/equity", "equity", title="Equity curve"))
        if tables.keys() & {"equity", "trials"}:
            links.append(
                Link(f"{base}/tearsheet", "tearsheet", title="Tear sheet", mime="text/html")
            )
        roles = (("fills", "Fills"), ("trades", "Closed trades"), ("trials", "Trials"))
        links += [
            Link(f"{base}/{role}", role, title=title) for role, title in roles if role in tables
        ]
        return links


class CurveView(BaseModel):
    """The curve of a run: of its ``bars`` rows those that keep its shape, both ends among them."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    bars: int
    curve: Rows


class RefusedView(BaseModel):
    """A strategy of an installed package that cannot be used, and why."""

    name: str
    problem: str


class StrategyView(BaseModel):
    """A strategy, and the JSON schema of each of its parameters."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    form: Literal["weights", "script"] = Field(
        description="weights: decides parts of equity; script: gives orders"
    )
    origin: str | None = Field(description="The installed package that brings it; null: ours")
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
    table, snapshot_ids = kept.table(office, kept.read(office, run_id), "equity")
    chosen = table.take(curves.thinned(kept.numbers(table, "equity"), most=POINTS).tolist())
    return CurveView(
        run_id=run_id,
        bars=table.num_rows,
        curve=capped(
            chosen.column_names,
            zip(*(column.to_pylist() for column in chosen.columns), strict=True),
            most_rows=POINTS,
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
    return _head(office, run_id, "fills")


@resource(
    server="backtest",
    uri="backtest://runs/{run_id}/trades",
    auth=READ,
    title="Closed trades of a backtest",
)
def trades(run_id: str, *, office: Office, caller: Principal) -> Rows:
    """Return the closed trades of a run in order of their exits, the first 5,000 of them."""
    del caller
    return _head(office, run_id, "trades")


@resource(
    server="backtest",
    uri="backtest://runs/{run_id}/trials",
    auth=READ,
    title="Trials of a sweep or walk-forward",
)
def trials(run_id: str, *, office: Office, caller: Principal) -> Rows:
    """Return the trials of a run with their parameters, the first 5,000 of them."""
    del caller
    return _head(office, run_id, "trials")


@resource(
    server="backtest",
    uri="backtest://runs/{run_id}/tearsheet",
    auth=READ,
    title="Tear sheet of a backtest",
    mime="text/html",
)
def page(run_id: str, *, office: Office, caller: Principal) -> str:
    """Return a page that stands alone: curves to zoom, drawdowns, months, statistics, trades."""
    del caller
    run, text = kept.read(office, run_id), ""
    for points, rows in PAGE_SIZES:
        found = sheet.of_run(office, run, points=points, rows=rows)
        text = tearsheet.page(found.model_dump(mode="json"), summary=found.told())
        if len(text.encode()) <= tearsheet.LARGEST:
            break
    return text


@resource(server="backtest", uri=APP, auth=READ, title="Tear sheet", mime=tearsheet.MIME)
def app(*, office: Office, caller: Principal) -> str:
    """Return the page on which a host draws what the tool tear_sheet returns (an MCP App)."""
    del office, caller
    return tearsheet.page()


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
    schema, origin = found.params.model_json_schema(), STRATEGIES.origin(name)
    return StrategyView(
        name=name,
        title=found.title,
        form=found.form,
        origin=None if origin is None else str(origin),
        params=schema.get("properties", {}),
    )


def listed() -> tuple[list[StrategyView], list[RefusedView]]:
    """Return every strategy, and what installed packages offer that cannot be used."""
    found, refused = [], [RefusedView(name=n, problem=p) for n, p in STRATEGIES.clashes.items()]
    for name in STRATEGIES:
        try:
            found.append(describe(name))
        except PluginError as error:
            refused.append(RefusedView(name=name, problem=error.message))
    return found, sorted(refused, key=lambda each: each.name)


def _head(office: Office, run_id: str, role: str) -> Rows:
    table, snapshot_ids = kept.table(office, kept.read(office, run_id), role)
    head = table.slice(0, MOST_ROWS)
    return capped(
        head.column_names,
        zip(*(column.to_pylist() for column in head.columns), strict=True),
        most_rows=MOST_ROWS,
        most_characters=1_000_000,
        snapshot_ids=snapshot_ids,
        more=table.num_rows > MOST_ROWS,
    )
