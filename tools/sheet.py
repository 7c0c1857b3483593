"""The tear sheet of a backtest as data: what the page draws and what a model reads.

Honest of every run: a partial one says so, a failed one shows its error and what it had, and a
sweep shows its trials, its best one never without how many were tried and what luck explains.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ledger import specs
from ledger.runs import Run
from runtimes.specs.backtest import BacktestSpec
from tools import curves, kept, lines
from tools import runs as seen
from tools import trades as closed
from tools import trials as tried
from tools.apps.labels import GROUPS, TILES, in_words
from tools.apps.wording import percent
from tools.registry import Office
from tools.results import Link
from tools.rows import cell
from topology.clock import rfc3339

POINTS, MOST_POINTS = 1_000, 2_000
TRADES = 50
DEEPEST = 10
YEARS = 60
SYMBOLS = 50
TOLD = frozenset({"warnings", "verdict", "audit", "lean", "sensitivity"})
OF_TRIALS = frozenset({"parameters", "heatmap", "splits", "paths", "trial_sharpes"})
ASIDE = TOLD | OF_TRIALS
"""Members of the statistics that a sheet shows in places of their own."""
Json = dict[str, Any]


class Curve(BaseModel):
    """Rows of ``columns``, chosen of ``bars`` so that the shape stays; ``t`` is seconds UTC.

    ``name`` says of many trials whose curve it is, ``behind`` are the others, thinned.
    """

    model_config = ConfigDict(frozen=True)

    bars: int
    start: float
    window: int
    name: str
    behind: list[Json]
    columns: list[str]
    rows: list[list[float | None]]


class TearSheet(BaseModel):
    """A tear sheet; ``statistics`` by profile, ``monthly`` rows of year, 12 months, whole year."""

    model_config = ConfigDict(frozen=True)

    run: Json
    lead: str
    spec: Json
    statistics: Json
    verdict: Json | None
    audit: Json | None
    sensitivity: Json | None
    warnings: list[Json]
    error: Json | None
    curve: Curve
    monthly: list[list[float | None]]
    drawdowns: list[Json]
    trades: Json
    symbols: list[Json]
    trials: Json | None

    def links(self) -> list[Link]:
        """Return the page that stands alone, and the whole curve."""
        base = f"backtest://runs/{self.run['run_id']}"
        page = Link(f"{base}/tearsheet", "tearsheet", title="Tear sheet", mime="text/html")
        curve = Link(f"{base}/equity", "equity", title="Equity curve")
        return [page, curve] if self.curve.bars else [page]

    def told(self) -> str:
        """Return the sheet in words, for who sees no page."""
        return "\n".join(line for line in _told(self) if line)


def of_run(office: Office, run: Run, *, points: int = POINTS, rows: int = TRADES) -> TearSheet:
    """Return the sheet of an ended run, or of what a working one has left; else ``not_found``."""
    if not kept.has(run, "equity"):
        kept.started(run)
    body = specs.get(office.pool, run.spec_sha256, kind=kept.KIND).body
    spec = BacktestSpec.model_validate(body)
    statistics = dict(run.statistics or {})
    lean = statistics.get("lean")
    standard = {name: value for name, value in statistics.items() if name not in ASIDE}
    curve, monthly, falls = _curve(lines.of_run(office, run), spec, points=points)
    return TearSheet(
        run=_record(run),
        lead=_lead(body, curve),
        spec=body,
        statistics={"standard": cell(standard), "lean": cell(lean) if lean else None},
        verdict=statistics.get("verdict"),
        audit=statistics.get("audit"),
        sensitivity=statistics.get("sensitivity"),
        warnings=list(statistics.get("warnings") or ()),
        error=dict(run.error) if run.error else None,
        curve=curve,
        monthly=monthly,
        drawdowns=falls,
        trades=closed.newest(office, run, most=rows),
        symbols=_by_symbol(office, run),
        trials=tried.view(office, run),
    )


def _record(run: Run) -> Json:
    aside = {"statistics", "inputs", "result_tables", "error"}
    return seen.view(run).model_dump(exclude=aside)


def _lead(spec: Mapping[str, Any], curve: Curve) -> str:
    strategy, universe = spec["strategy"], spec["universe"]
    swept = {
        path.rpartition(".")[2]: "varied" for path in (spec.get("sweep") or {}).get("params", ())
    }
    given = {**strategy.get("params", {}), **swept}
    settings = ", ".join(f"{key} {value}" for key, value in given.items())
    symbols = universe.get("symbols") or ()
    more = f" and {len(symbols) - 8} more" if len(symbols) > 8 else ""
    who = ", ".join(symbols[:8]) + more if symbols else f"universe {universe.get('name')}"
    parts = [f"{strategy['name']}{f' ({settings})' if settings else ''}", who]
    if curve.rows:
        parts.append(" to ".join(_day(curve.rows[place][0]) for place in (0, -1)))
    return " \N{MIDDLE DOT} ".join(parts)


def _day(seconds: float | None) -> str:
    return str(np.datetime64(int(seconds or 0), "s"))[:10]


def _curve(
    line: lines.Line, spec: BacktestSpec, *, points: int
) -> tuple[Curve, list[list[float | None]], list[Json]]:
    cash, times, equity = float(spec.portfolio.cash), line.times, line.equity
    window = max(round(spec.periods_per_year / 2), 2)
    falls = curves.drawdowns(equity, start=cash, most=DEEPEST)
    rolling = curves.rolling_sharpe(
        curves.returns(equity, start=cash), window=window, periods_per_year=spec.periods_per_year
    )
    deepest = [falls[0].peak, falls[0].trough] if falls else []
    room = max(points - sum(len(one["rows"]) for one in line.behind), 2)
    values = {
        "equity": equity,
        "drawdown": curves.fall(equity, start=cash),
        "rolling_sharpe": rolling,
        "exposure": line.exposure,
    }
    drawn = [
        [int(times[at] // 1_000_000_000), *(_short(column[at]) for column in values.values())]
        for at in curves.thinned(equity, most=room, keep=deepest).tolist()
    ]
    found = Curve(
        bars=len(equity),
        start=cash,
        window=window,
        name=line.name,
        behind=list(line.behind) if points > len(line.behind) else [],
        columns=["t", *values],
        rows=drawn,
    )
    return found, _monthly(times, equity, cash), [_fall(one, times) for one in falls]


def _short(value: float) -> float | None:
    """Return eight significant digits: more than a picture shows, and half the characters."""
    return float(f"{value:.8g}") if np.isfinite(value) else None


def _monthly(times: curves.Ints, equity: curves.Floats, start: float) -> list[list[float | None]]:
    table = curves.months(times, equity, start=start)
    return [
        [year, *(_short(row[m]) if m in row else None for m in (*range(1, 13), 0))]
        for year, row in list(table.items())[-YEARS:]
    ]


def _fall(one: curves.Drawdown, times: curves.Ints) -> Json:
    """Return a drawdown with its times; a peak at the start has none."""
    last = len(times) - 1 if one.end is None else one.end
    return {
        "depth": one.depth,
        "peak": _moment(times, one.peak) if one.peak >= 0 else None,
        "trough": _moment(times, one.trough),
        "end": None if one.end is None else _moment(times, one.end),
        "down": one.trough - one.peak,
        "bars": last - one.peak,
    }


def _moment(times: curves.Ints, at: int) -> str:
    moment = np.datetime64(int(times[at]), "ns").astype("datetime64[us]").item()
    return rfc3339(moment.replace(tzinfo=dt.UTC))


def _by_symbol(office: Office, run: Run) -> list[Json]:
    """Return what was bought and sold of the symbols with most fills, in order of names."""
    if not kept.has(run, "fills"):
        return []
    table, _ = kept.table(office, run, "fills")
    names, place = np.unique(table.column("vt_symbol").to_numpy(), return_inverse=True)
    worth = np.abs(kept.numbers(table, "quantity")) * kept.numbers(table, "price")
    bought = table.column("side").to_numpy() == "buy"

    def total(weights: curves.Floats) -> list[float]:
        return [float(x) for x in np.bincount(place, weights=weights, minlength=len(names))]

    columns = (total(worth * bought), total(worth * ~bought), total(kept.numbers(table, "fee")))
    counts = np.bincount(place, minlength=len(names))
    most = sorted(np.argsort(-counts, kind="stable")[:SYMBOLS].tolist())
    return [
        {
            "vt_symbol": str(names[at]),
            "fills": int(counts[at]),
            **{
                name: column[at]
                for name, column in zip(("bought", "sold", "fees"), columns, strict=True)
            },
        }
        for at in most
    ]


def _told(sheet: TearSheet) -> list[str]:
    standard = sheet.statistics["standard"]
    run = sheet.run
    partial = ", partial result" if standard.get("partial") else ""
    lines = [f"{run['name']} v{run['version']} (run {run['run_id']}): {run['status']}{partial}"]
    lines.append(sheet.lead)
    if sheet.error:
        lines.append(f"Error: {sheet.error.get('message')} {sheet.error.get('hint', '')}".rstrip())
    if sheet.verdict:
        said = " ".join(sheet.verdict.get("sentences") or ())
        lines.append(f"Verdict: {sheet.verdict.get('grade')}. {said}".rstrip())
    lines += [f"Warning {one.get('code')}: {one.get('message')}" for one in sheet.warnings]
    lines.append(in_words(standard, TILES))
    lines += [f"{title}: {text}" for title, rows in GROUPS if (text := in_words(standard, rows))]
    years = [f"{int(row[0] or 0)} {percent(row[-1], digits=1)}" for row in sheet.monthly]
    lines.append(f"By year: {', '.join(years)}" if years else "")
    lines += [
        f"Drawdown {percent(-one['depth'])}: peak {_place(one['peak'], 'at the start')}, trough "
        f"{_place(one['trough'], '')}, recovered {_place(one['end'], 'not yet')}"
        for one in sheet.drawdowns[:3]
    ]
    lines.append(tried.told(sheet.trials) if sheet.trials else "")
    lines.append(f"Closed trades: {sheet.trades['total']}; get_trades pages through them.")
    return lines


def _place(moment: str | None, otherwise: str) -> str:
    return moment[:10] if moment else otherwise
