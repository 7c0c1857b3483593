"""``up`` and ``down``, ``status`` and ``doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from clients.cli import output
from clients.cli.output import Json

_PANEL = "The suite"
Port = Annotated[int | None, typer.Option(help="Listen on this port.", min=1, max=65_535)]
Only = Annotated[str, typer.Option(help="Servers to start, for example data,backtest.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (up, down, status, doctor):
        app.command(rich_help_panel=_PANEL)(command)


def up(port: Port = None, only: Only = "", *, json: Json = False) -> None:
    """Start the suite and wait until it is ready; what runs already is left alone."""
    from clients.cli import suite
    from clients.cli.place import Place

    out = output.use(json)
    names = [name.strip() for name in only.split(",") if name.strip()]
    done = suite.up(Place.find(port=port), only=names, say=output.note)
    base_url = done.place.topology.base_url
    body = {"base_url": base_url, "started": list(done.started), "seconds": round(done.seconds, 2)}
    if done.started:
        text = f"AlphaSwarm is ready at {base_url} ({done.seconds:.1f} s)."
    else:
        text = f"AlphaSwarm already runs at {base_url}; nothing was changed."
    out.answer(body, text)


def down(*, json: Json = False) -> None:
    """Stop the suite; runs that were working are taken up again after the next `up`."""
    from clients.cli import suite
    from topology.home import Home

    out = output.use(json)
    stopped = suite.down(Home.from_environment())
    text = f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running."
    out.answer({"stopped": list(stopped)}, text)


def status(*, json: Json = False) -> None:
    """Show addresses, stores, servers, workers and the kill switch."""
    from clients.cli import report
    from clients.cli.place import Place

    out = output.use(json)
    found = report.status(Place.find())
    out.answer(found, report.as_text(found))
    if not json and not found["running"]:
        output.note("Nothing is running. Start the suite with `alphaswarm up`.")
        raise typer.Exit(output.UNREACHABLE)


def doctor(*, json: Json = False) -> None:
    """Check this machine and this home; every line that is not ok names its cure."""
    from clients.cli import checkup

    out = output.use(json)
    lines = checkup.examine()
    good = all(line.state != "fail" for line in lines)
    out.answer({"ok": good, "checks": [line.body() for line in lines]}, checkup.as_text(lines))
    raise typer.Exit(output.OK if good else output.FAILED)
