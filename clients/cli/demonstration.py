"""``demo``: the main job end to end, on real stores, with real data, checked at every step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place
from topology.errors import FaultError

SOURCE = "sample"
EQUITY = "SELECT count(*) AS bars, arg_max(equity, timestamp) AS equity FROM {table}"
PORTS = 50
"""How many ports behind the usual one are tried where it is taken."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Start here")(demo)


def demo(*, json: Json = False) -> None:
    """Ingest real prices, run one backtest, check the record and write a tear sheet."""
    from clients.cli import showing

    out = output.use(json)
    with _suite() as place:
        _sign_in(place)
        _ingest(place)
        run = _backtest(place)
        facts = _verified(place, run)
        facts["tear_sheet"] = str(showing.tear_sheet(place, run["run_id"]))
    out.answer(facts, _as_text(facts))


@contextlib.contextmanager
def _suite() -> Iterator[Place]:
    """Give a running suite; what was started here is stopped again."""
    from clients.cli import suite

    place = Place.find()
    was_up = suite.running(place.home, suite.SERVERS) is not None
    if not was_up:
        output.note("Starting the suite (the first time takes a few seconds more) ..")
        place = _free(place)
    try:
        suite.up(place)
        yield place
    finally:
        if not was_up:
            output.note("Stopping the suite ..")
            suite.down(place.home)


def _free(place: Place) -> Place:
    """Return the place on its port, or on the next free one, and say so."""
    from clients.cli import suite

    first = place.topology.listen.port
    for port in range(first, min(first + PORTS, 65_535)):
        candidate = place if port == first else Place.find(port=port)
        if suite.port_taken(candidate) is None:
            if port != first:
                output.note(f"Port {first} is taken; using {port}.")
            return candidate
    raise FaultError(
        f"Ports {first} to {first + PORTS - 1} are all taken.",
        hint="Set ALPHASWARM_PORT to a free one.",
        code="port_taken",
    )


def _sign_in(place: Place) -> None:
    from clients import login
    from clients.tokens import TokenStore

    store = TokenStore(place.home)
    for face in place.topology.faces.values():
        grant = login.locally(place.home, face, login.usual(face), now=store.now())
        store.keep(face, grant)
    output.note(f"Signed in to {', '.join(place.topology.faces)} as this operating-system user.")


def _ingest(place: Place) -> None:
    from clients.cli import calls, following

    handle = calls.call(place, "data", "ingest", {"source": SOURCE})
    run = following.ended(place, handle, kind="data", title="ingest sample")
    _succeeded(run)
    output.note(f"Ingested {SOURCE}: {run['last_frame']['message']}")


def _backtest(place: Place) -> dict[str, Any]:
    from clients.cli import calls, following, specs

    handle = calls.call(place, "backtest", "submit_backtest", {"spec": specs.packaged()})
    output.note(f"Submitted run {handle['run_id']} (spec {handle['spec_hash'][:12]}).")
    run = following.ended(place, handle, kind="backtest", title="backtest")
    _succeeded(run)
    return run


def _verified(place: Place, run: dict[str, Any]) -> dict[str, Any]:
    """Check what the demo claims and return it; anything that does not hold is an error."""
    from clients.cli import calls

    recorded = calls.call(place, "control", "get_run", {"run_id": run["run_id"]})
    sharpe = (recorded["statistics"] or {}).get("sharpe")
    _hold(sharpe is not None, "backtest_runs row with a Sharpe ratio", f"sharpe {sharpe}")
    last = run["last_frame"]
    same = last.get("stage") == "done" and last.get("run_id") == run["run_id"]
    _hold(same, "a done frame with this run_id", f"frame {last.get('seq')}")
    table = f"alphaswarm_gold_backtests.run_{run['run_id']}"
    answer = calls.call(place, "data", "query_sql", {"sql": EQUITY.format(table=table)})
    bars, equity = answer["rows"][0]
    _hold(bars > 0, "the Iceberg table answers SQL", f"{bars} bars in {table}")
    switch = calls.call(place, "control", "halt_status")
    _hold(not switch["halted"], "the kill switch is green", f"latch {switch['latch']}")
    return {
        "run_id": run["run_id"],
        "status": recorded["status"],
        "spec_hash": recorded["spec_hash"],
        "run_sha": recorded["run_sha"],
        "result_sha": recorded["result_sha"],
        "table": table,
        "bars": bars,
        "final_equity": equity,
        "statistics": recorded["statistics"],
        "halted": switch["halted"],
    }


def _succeeded(run: dict[str, Any]) -> None:
    """Report a run that did not succeed, and exit as every command that follows a run does."""
    from clients.cli import following
    from clients.errors import from_body

    if run["status"] == "succeeded":
        return
    ended = {"code": run["status"], "message": f"The run {run['run_id']} ended: {run['status']}."}
    output.current.error(from_body(run.get("error") or ended))
    raise typer.Exit(following.exit_code(run["status"]))


def _hold(true: object, what: str, proof: str) -> None:
    if not true:
        raise FaultError(
            f"The demo's check failed: {what} ({proof}).", hint="Please report this: it is a bug."
        )
    output.note(f"ok  {what}: {proof}", style="green")


def _as_text(facts: dict[str, Any]) -> str:
    statistics = facts["statistics"]
    shown = ("sharpe", "total_return", "cagr", "max_drawdown", "volatility")
    numbers = [
        f"{name} {statistics[name]:.4f}" for name in shown if statistics.get(name) is not None
    ]
    lines = [
        f"run         {facts['run_id']}",
        f"result      {'  '.join(numbers)}  final equity {facts['final_equity']:,.2f}",
        f"run_sha     {facts['run_sha']}",
        f"result_sha  {facts['result_sha']}",
        f"tear sheet  {facts['tear_sheet']}",
        "",
        "Next:",
        "  alphaswarm up                                    keep the suite running",
        f"  alphaswarm runs open {facts['run_id']}  the tear sheet in the browser",
        f'  alphaswarm data sql "{EQUITY.format(table=facts["table"])}"',
        "  alphaswarm user passwd                           then connect an MCP client (README)",
    ]
    if "ALPHASWARM_HOME" in os.environ:
        lines.append(f"  (with ALPHASWARM_HOME={os.environ['ALPHASWARM_HOME']})")
    return "\n".join(lines)
