"""The tools of the server ``backtest``: strategies, specs checked before they run, and runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from runtimes import dispatch
from runtimes.specs import trials
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tools import blocks, compare, kept, listing, sheet, source
from tools import runs as seen
from tools import trades as closed
from tools.audited import audited
from tools.backtest_results import APP, BacktestView, RefusedView, StrategyView, listed
from tools.registry import Office, tool
from topology.canonical import sha256
from topology.principal import Principal

KIND = "backtest"
QUEUE = "interactive"
READ = Rule(scopes=("backtest:read",), actor="any")
RUN = Rule(scopes=("backtest:run",), actor="any")

SpecArgument = Annotated[
    dict[str, Any] | str,
    Field(description="BacktestSpec as an object, or as YAML or JSON text"),
]
SweepBlock = Annotated[
    dict[str, Any] | None,
    Field(description="{method, params: {path: values}, ..}; null: the spec has it"),
]
WalkForwardBlock = Annotated[
    dict[str, Any] | None, Field(description="{mode, train, test, ..}; null: the spec has it")
]
ResumeFrom = Annotated[
    str | None, Field(description="A halted run of the same spec, whose trials are taken over")
]


class StrategyList(BaseModel):
    """Every strategy that a spec may name."""

    model_config = ConfigDict(frozen=True)

    strategies: list[StrategyView]
    refused: list[RefusedView] = Field(
        description="What installed packages offer that cannot be used, and why"
    )


class Validated(BaseModel):
    """A spec as it would be locked: every default written out, and its hash."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    spec_hash: str
    spec: dict[str, Any]


@tool(server="backtest", auth=READ, title="List strategies", read_only=True)
def list_strategies(*, office: Office, caller: Principal) -> StrategyList:
    """List the strategies that a spec may name, with their parameters and defaults."""
    del office, caller
    strategies, refused = listed()
    return StrategyList(strategies=strategies, refused=refused)


@tool(server="backtest", auth=READ, title="Validate a spec", read_only=True)
async def validate_spec(spec: SpecArgument, *, office: Office, caller: Principal) -> Validated:
    """Check a BacktestSpec against its schema and the lake, and return its hash; writes nothing.

    Errors name the path of every wrong key or value and the nearest valid name.
    """
    del caller
    checked = await asyncio.to_thread(_checked, office, spec)
    body = checked.body()
    return Validated(valid=True, spec_hash=sha256(body), spec=body)


@tool(
    server="backtest",
    auth=RUN,
    title="Submit a backtest",
    read_only=False,
    destructive=False,
    idempotent=False,
    job=True,
    stricter=source.rule,
)
async def submit_backtest(
    spec: SpecArgument,
    dispatch_key: seen.DispatchKey = None,
    *,
    office: Office,
    caller: Principal,
) -> seen.RunHandle:
    """Lock a BacktestSpec and start its run; returns a handle at once, get_run waits for it."""
    return await asyncio.to_thread(_submit, office, caller, spec, dispatch_key)


@tool(
    server="backtest",
    auth=RUN,
    title="Submit a sweep",
    read_only=False,
    destructive=False,
    idempotent=False,
    job=True,
    stricter=source.rule,
)
async def submit_sweep(
    spec: SpecArgument,
    sweep: SweepBlock = None,
    resume_from: ResumeFrom = None,
    dispatch_key: seen.DispatchKey = None,
    *,
    office: Office,
    caller: Principal,
) -> seen.RunHandle:
    """Try many parameters in one run: a grid or random draws; counted as trials for ever."""
    given = blocks.laid(office, spec, needed="sweep", foreign="walk_forward", sweep=sweep)
    inputs = blocks.inputs(resume_from)
    return await asyncio.to_thread(_submit, office, caller, given, dispatch_key, inputs)


@tool(
    server="backtest",
    auth=RUN,
    title="Submit a walk-forward",
    read_only=False,
    destructive=False,
    idempotent=False,
    job=True,
    stricter=source.rule,
)
async def submit_walk_forward(
    spec: SpecArgument,
    walk_forward: WalkForwardBlock = None,
    sweep: SweepBlock = None,
    resume_from: ResumeFrom = None,
    dispatch_key: seen.DispatchKey = None,
    *,
    office: Office,
    caller: Principal,
) -> seen.RunHandle:
    """Choose parameters on one part of the period and test them on the next, with purge."""
    given = blocks.laid(office, spec, needed="walk_forward", sweep=sweep, walk_forward=walk_forward)
    inputs = blocks.inputs(resume_from)
    return await asyncio.to_thread(_submit, office, caller, given, dispatch_key, inputs)


get_run = seen.offer_get(
    server="backtest", kind=KIND, auth=READ, what="backtest run", view=BacktestView
)


@tool(server="backtest", auth=READ, title="List backtests", read_only=True)
def list_runs(
    status: seen.Status | None = None,
    name: Annotated[str | None, Field(description="Spec name")] = None,
    after: seen.After = None,
    limit: seen.Limit = 50,
    curve: Annotated[int, Field(ge=0, le=100, description="Points of each equity curve")] = 0,
    *,
    office: Office,
    caller: Principal,
) -> listing.BacktestPage:
    """List backtest runs, newest first, with headline statistics."""
    del caller
    return listing.page(office, status=status, name=name, after=after, limit=limit, points=curve)


cancel_run = seen.offer_cancel(server="backtest", kind=KIND, auth=RUN, what="backtest run")


@tool(server="backtest", auth=READ, title="Compare backtests", read_only=True)
def compare_runs(
    run_ids: Annotated[list[seen.RunId], Field(min_length=compare.FEWEST, max_length=compare.MOST)],
    *,
    office: Office,
    caller: Principal,
) -> compare.Comparison:
    """Put runs side by side: statistics, spec changes, rebased curves, correlation, caveats."""
    del caller
    return compare.of_runs(office, run_ids)


@tool(server="backtest", auth=READ, title="Get closed trades", read_only=True)
def get_trades(
    run_id: seen.RunId,
    symbols: Annotated[list[str] | None, Field(max_length=500)] = None,
    side: Literal["long", "short"] | None = None,
    outcome: Literal["win", "loss"] | None = None,
    start: Annotated[str | None, Field(description="Closed from this day on, YYYY-MM-DD")] = None,
    end: Annotated[str | None, Field(description="Closed by this day")] = None,
    sort: closed.Order = "exit_time",
    descending: Annotated[bool, Field(description="Largest first")] = False,  # noqa: FBT002
    offset: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=closed.MOST)] = 50,
    *,
    office: Office,
    caller: Principal,
) -> closed.TradePage:
    """Page through a run's closed trades: entry, exit, P&L, excursions; with sums of all found."""
    del caller
    return closed.page(
        office,
        kept.read(office, run_id),
        symbols=symbols,
        side=side,
        outcome=outcome,
        start=start,
        end=end,
        sort=sort,
        descending=descending,
        offset=offset,
        limit=limit,
    )


@tool(server="backtest", auth=READ, title="Show a tear sheet", read_only=True, app=APP)
def tear_sheet(
    run_id: seen.RunId,
    points: Annotated[
        int, Field(ge=2, le=sheet.MOST_POINTS, description="Bars of the curve")
    ] = sheet.POINTS,
    *,
    office: Office,
    caller: Principal,
) -> sheet.TearSheet:
    """Show a run's tear sheet: verdict, statistics, curve, drawdowns, months, trades, trials."""
    del caller
    return sheet.of_run(office, kept.read(office, run_id), points=points)


def _checked(office: Office, raw: dict[str, Any] | str) -> BacktestSpec:
    from runtimes.backtest import sources

    limits = office.topology.limits
    spec = cast("BacktestSpec", parse(KIND, raw, limit=limits.spec.bytes, depth=limits.spec.depth))
    trials.check(spec.planned_trials, limits.sweep.trials)
    source.refuse_unconfined(spec)
    sources.check(office.lake, spec)
    return spec


def _submit(
    office: Office,
    caller: Principal,
    raw: dict[str, Any] | str,
    dispatch_key: str | None,
    inputs: Mapping[str, str] | None = None,
) -> seen.RunHandle:
    spec = _checked(office, raw)
    source.permit(spec, caller, office.clock)
    body = spec.body()
    target = f"spec:{KIND}/{spec.name}"
    given = dict(inputs or {})
    with audited(office, caller, action="submit_backtest", target=target, args=body | given):
        handle = dispatch.submit(
            office.pool,
            spec,
            principal=caller,
            queue=QUEUE,
            clock=office.clock,
            inputs=given,
            dispatch_key=dispatch_key,
        )
    return seen.RunHandle(**handle.body())
