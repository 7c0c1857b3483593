"""``runs open``, ``compare`` and ``diff``: a result in the browser, and runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli import output, sparks
from clients.cli.output import Json
from clients.cli.place import Place
from clients.cli.running import RunId, runs

WIDE = 60
FIGURES = ("total_return", "cagr", "sharpe", "deflated_sharpe", "max_drawdown", "volatility")
"""Statistics that a comparison prints before the ones that follow in the answer's order."""
MOST_FIGURES = 24
SAME = ("spec_hash", "run_sha", "result_sha", "snapshot_ids", "inputs", "engine")


@runs.command("open")
def open_(
    run_id: RunId,
    *,
    browser: Annotated[bool, typer.Option("--browser/--no-browser")] = True,
    json: Json = False,
) -> None:
    """Write a run's tear sheet as one page that stands alone, and open it in the browser."""
    out = output.use(json)
    path = tear_sheet(Place.find(), run_id)
    if browser:
        typer.launch(path.as_uri())
    out.answer({"run_id": run_id, "path": str(path)}, str(path))


@runs.command()
def compare(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID RUN_ID ..", help="Two to eight.")],
    *,
    json: Json = False,
) -> None:
    """Put backtests side by side: statistics, curves, what differs, and what to beware of."""
    from clients.cli import calls

    out = output.use(json)
    found = calls.call(Place.find(), "backtest", "compare_runs", {"run_ids": run_ids})
    out.answer(found, "\n".join(_side_by_side(found)))


@runs.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="RUN_ID")],
    after: Annotated[str, typer.Argument(metavar="RUN_ID")],
    *,
    json: Json = False,
) -> None:
    """Show what changed between two runs: spec, data, engine, result. Runs of every kind."""
    from clients.cli import calls

    out, place = output.use(json), Place.find()
    pair = [calls.call(place, "control", "get_run", {"run_id": one}) for one in (before, after)]
    first, second = (run["spec_hash"] for run in pair)
    asked = {"spec": first, "diff_with": second}
    changes = calls.call(place, "control", "get_spec", asked)["changes"] if first != second else []
    found = {
        "runs": [before, after],
        "changes": changes,
        "same": {name: pair[0].get(name) == pair[1].get(name) for name in SAME},
    }
    out.answer(found, "\n".join(_changed(found)))


def tear_sheet(place: Place, run_id: str) -> Path:
    """Write the page of a run below the home, 0600, and return its path."""
    from clients.cli import calls
    from topology.home import explaining, write_private

    page = calls.read(place, "backtest", f"backtest://runs/{run_id}/tearsheet")
    text = page if isinstance(page, str) else page.decode()
    folder = place.home.artifacts / "tearsheets"
    with explaining(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{run_id}.html"
        write_private(path, text)
    return path


def _side_by_side(found: Mapping[str, Any]) -> list[str]:
    names = [f"{chr(65 + place)} {run['name']} v{run['version']}" for place, run in _each(found)]
    lines = [f"{chr(65 + place)} = {run['run_id']}, {run['status']}" for place, run in _each(found)]
    lines += ["", *_curves(found), ""]
    statistics = found["statistics"]
    ordered = dict.fromkeys([*(n for n in FIGURES if n in statistics), *statistics])
    rows = [(name, *statistics[name]) for name in list(ordered)[:MOST_FIGURES]]
    rows.append(("verdict", *(run["verdict"] for run in found["runs"])))
    lines.append(output.table(("statistic", *names), rows))
    if (known := found["correlation"][0][1:]) and any(value is not None for value in known):
        told = (f"{chr(66 + n)} {v:.2f}" for n, v in enumerate(known) if v is not None)
        lines += ["", f"correlation with A over {found['common_bars']} bars: {', '.join(told)}"]
    for (place, _), changes in zip(_each(found)[1:], found["changes"].values(), strict=False):
        told_changes = [f"  {_change(one)}" for one in changes] or ["  nothing"]
        lines += ["", f"{chr(65 + place)} differs from A in:", *told_changes]
    return [*lines, *(["", *(f"beware: {text}" for text in found["caveats"])])]


def _each(found: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    return list(enumerate(found["runs"]))


def _curves(found: Mapping[str, Any]) -> list[str]:
    """Return all curves on one scale, and each on its own."""
    columns = [[row[place + 1] for row in found["curves"]] for place, _ in _each(found)]
    lines = sparks.chart(columns, width=WIDE)
    for (place, _), values in zip(_each(found), columns, strict=True):
        known = [value for value in values if value is not None]
        if known:
            lines.append(
                f"{chr(65 + place)} {sparks.line(values, width=WIDE - 14)} x{known[-1]:.2f}"
            )
    return lines


def _changed(found: Mapping[str, Any]) -> list[str]:
    lines = [_change(one) for one in found["changes"]] or ["The specs are the same."]
    words = [f"{name}: {'same' if same else 'differs'}" for name, same in found["same"].items()]
    return [*lines, "", *words]


def _change(one: Mapping[str, Any]) -> str:
    before, after = (_short(one[side]) for side in ("before", "after"))
    if one["how"] == "added":
        return f"{one['path']}: {after} (new)"
    return f"{one['path']}: {before} " + ("(gone)" if one["how"] == "removed" else f"-> {after}")


def _short(value: Any) -> str:
    import json as words

    text = words.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
