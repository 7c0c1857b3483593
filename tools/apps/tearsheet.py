"""The tear sheet of a backtest: one HTML page that holds everything and fetches nothing.

A pure function of the run's record, its statistics and its curve. No script; every value that
comes from outside is escaped; light and dark follow the reader's system.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from tools.apps.figures import Series, drawdown_chart, equity_chart, heatmap
from tools.apps.svg import day_of, element, words
from tools.apps.wording import amount, count, known, percent, plain

Form = Callable[[Any], str]
RATIO: Form = amount


def _share(value: Any) -> str:
    return percent(value, sign=False)


def _loss(value: Any) -> str:
    return percent(-value if known(value) else value)


TILES: tuple[tuple[str, str, Form], ...] = (
    ("Total return", "total_return", percent),
    ("Yearly growth", "cagr", percent),
    ("Sharpe ratio", "sharpe", RATIO),
    ("Max drawdown", "max_drawdown", _loss),
    ("Volatility", "volatility", _share),
    ("End equity", "end_equity", lambda value: amount(value, digits=0)),
)
GROUPS: dict[str, tuple[tuple[str, str, Form], ...]] = {
    "Return": (
        ("Start equity", "start_equity", amount),
        ("End equity", "end_equity", amount),
        ("Total return", "total_return", percent),
        ("Yearly growth (CAGR)", "cagr", percent),
        ("Sharpe ratio", "sharpe", RATIO),
        ("Sortino ratio", "sortino", RATIO),
        ("Calmar ratio", "calmar", RATIO),
        ("Probability Sharpe > 0", "probabilistic_sharpe", _share),
    ),
    "Risk": (
        ("Volatility, yearly", "volatility", _share),
        ("Max drawdown", "max_drawdown", _loss),
        ("Longest drawdown, bars", "max_drawdown_bars", count),
        ("Value at risk 95 %, bar", "value_at_risk_95", _loss),
        ("Best bar", "best_bar", percent),
        ("Worst bar", "worst_bar", percent),
        ("Skew", "skew", RATIO),
        ("Kurtosis", "kurtosis", RATIO),
    ),
    "Activity": (
        ("Bars", "bars", count),
        ("Fills", "fills", count),
        ("Closed trades", "trades", count),
        ("Winning trades", "hit_rate", _share),
        ("Profit factor", "profit_factor", RATIO),
        ("Average exposure", "exposure", _share),
        ("Turnover, per bar", "turnover", _share),
        ("Fees paid", "total_fees", amount),
    ),
}
BENCHMARK: tuple[tuple[str, str, Form], ...] = (
    ("Return", "benchmark_return", percent),
    ("Beta", "benchmark_beta", RATIO),
    ("Correlation", "benchmark_correlation", RATIO),
    ("Information ratio", "information_ratio", RATIO),
)


def render(
    run: Mapping[str, Any],
    statistics: Mapping[str, Any],
    *,
    timestamps: Sequence[int],
    equity: Sequence[float],
    drawdown: Sequence[float],
    fills: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page as one HTML string, well below 300 kB for any number of bars.

    ``run`` is the run's record as its server shows it (``run_id name version status spec_hash
    run_sha result_sha snapshot_ids engine spec``, whatever of it there is), ``timestamps`` int ns
    UTC, ``drawdown`` fractions below the peak; the three have equal lengths. ``fills`` is a
    summary by symbol: mappings of ``vt_symbol fills bought sold fees``. A run without bars gets a
    page that says so.
    """
    series = Series(
        [int(t) for t in timestamps],
        [float(e) for e in equity],
        [float(d) for d in drawdown],
        float(statistics.get("start_equity") or (equity[0] if len(equity) else 0.0)),
    )
    name = str(run.get("name", "Backtest"))
    body = element(
        "main",
        _header(run, statistics, series),
        _tiles(statistics),
        _notes(statistics.get("warnings") or ()),
        _figures(series) if series.timestamps else _empty(),
        _statistics(statistics),
        _fills(fills),
        _provenance(run),
        element(
            "footer", "Made by AlphaSwarm from the stored result. Past returns promise nothing."
        ),
    )
    style = files("tools.apps").joinpath("tearsheet.css").read_text()
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        + element("title", words(f"{name} - tear sheet"))
        + element("style", style)
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _header(run: Mapping[str, Any], statistics: Mapping[str, Any], series: Series) -> str:
    status = str(run.get("status", ""))
    partial = bool(statistics.get("partial"))
    text = f"{status}, partial result" if partial else status
    good = status == "succeeded" and not partial
    state = element("span", words(text), class_="state" if good else "state other") if text else ""
    version = f" v{run['version']}" if run.get("version") else ""
    title = element("h1", words(run.get("name", "Backtest")), words(version))
    return element("header", title, state, element("p", words(_lead(run, series)), class_="lead"))


def _lead(run: Mapping[str, Any], series: Series) -> str:
    spec = run.get("spec") or {}
    strategy = spec.get("strategy") or {}
    symbols = (spec.get("universe") or {}).get("symbols") or ()
    settings = ", ".join(f"{key} {value}" for key, value in (strategy.get("params") or {}).items())
    parts = []
    if strategy:
        parts.append(f"{strategy.get('name')}{f' ({settings})' if settings else ''}")
    if symbols:
        more = f" and {len(symbols) - 8} more" if len(symbols) > 8 else ""
        parts.append(", ".join(str(symbol) for symbol in symbols[:8]) + more)
    if series.timestamps:
        parts.append(f"{day_of(series.timestamps[0])} to {day_of(series.timestamps[-1])}")
    return " · ".join(parts)


def _tiles(statistics: Mapping[str, Any]) -> str:
    tiles = []
    for label, name, form in TILES:
        value = statistics.get(name)
        tone = None
        if name in ("total_return", "cagr") and known(value) and value:
            tone = "gain-text" if float(value or 0) > 0 else "loss-text"
        figure = element("b", words(form(value)), class_=tone)
        tiles.append(element("div", element("span", words(label)), figure, class_="tile"))
    return element("section", *tiles, class_="tiles")


def _notes(warnings: Sequence[Mapping[str, Any]]) -> str:
    if not warnings:
        return ""
    lines = []
    for warning in warnings:
        extra = [value for key, value in warning.items() if key not in ("code", "message")]
        facts = "; ".join(plain(value) for value in extra)[:400]
        code = element("code", words(warning.get("code", "")))
        text = f" {warning.get('message', '')}{f' ({facts})' if facts else ''}"
        lines.append(element("li", code, words(text)))
    title = element("h2", "Read this first")
    return element("section", title, element("ul", *lines), class_="notes")


def _figures(series: Series) -> str:
    return (
        _picture("Equity", equity_chart(series))
        + _picture("Drawdown", drawdown_chart(series))
        + _picture("Monthly returns, %", heatmap(series))
    )


def _picture(title: str, markup: str) -> str:
    return element("section", element("h2", title), element("div", markup, class_="scroll"))


def _empty() -> str:
    return element("section", element("h2", "No bars"), "The run stopped before its first bar.")


def _statistics(statistics: Mapping[str, Any]) -> str:
    groups = dict(GROUPS)
    if "benchmark_return" in statistics:
        groups["Benchmark"] = BENCHMARK
    tables = [
        element("table", element("caption", words(title)), *_rows(rows, statistics))
        for title, rows in groups.items()
    ]
    return element("section", element("div", *tables, class_="groups"))


def _rows(rows: Sequence[tuple[str, str, Form]], statistics: Mapping[str, Any]) -> list[str]:
    return [
        element(
            "tr",
            element("th", words(label), scope="row"),
            element("td", words(form(statistics.get(name)))),
        )
        for label, name, form in rows
    ]


def _fills(fills: Sequence[Mapping[str, Any]], *, most: int = 50) -> str:
    if not fills:
        return ""
    names = ("Symbol", "Fills", "Bought", "Sold", "Fees")
    head = element("tr", *(element("th", name, scope="col") for name in names))
    rows = [
        element(
            "tr",
            element("th", words(row.get("vt_symbol", "")), scope="row"),
            element("td", words(count(row.get("fills")))),
            *(element("td", words(amount(row.get(key)))) for key in ("bought", "sold", "fees")),
        )
        for row in fills[:most]
    ]
    rest = f"Fills by symbol, the first {most} of {len(fills)}" if len(fills) > most else ""
    title = element("h2", words(rest or "Fills by symbol"))
    table = element("table", element("thead", head), element("tbody", *rows), class_="fills")
    return element("section", title, element("div", table, class_="scroll"))


def _provenance(run: Mapping[str, Any]) -> str:
    engine = run.get("engine") or {}
    facts = {
        "Run": run.get("run_id"),
        "Created": run.get("created_at"),
        "Finished": run.get("finished_at"),
        "Spec hash": run.get("spec_hash") or run.get("spec_sha256"),
        "Run hash": run.get("run_sha"),
        "Result hash": run.get("result_sha"),
        **{f"Snapshot of {t}": s for t, s in (run.get("snapshot_ids") or {}).items()},
        "Engine": f"{engine.get('version')} {engine.get('sources')}" if engine else None,
        "Built on": engine.get("fingerprint"),
        "Spec": json.dumps(run["spec"], default=str) if run.get("spec") else None,
    }
    rows = [
        element(
            "tr", element("th", words(k), scope="row"), element("td", element("code", words(v)))
        )
        for k, v in facts.items()
        if v
    ]
    title = element("h2", "Where this comes from")
    return element("section", title, element("table", *rows, class_="facts"))
