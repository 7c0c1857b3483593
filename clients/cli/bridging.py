"""``bridge``: serve the suite on stdin and stdout, for clients that cannot reach HTTP."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Signing in")(bridge)


def bridge(
    servers: Annotated[
        list[str] | None, typer.Argument(help="One server as it is, or several with prefixes.")
    ] = None,
) -> None:
    """Serve on stdin and stdout, for MCP clients that start a program and cannot reach HTTP.

    `alphaswarm connect claude-desktop` writes the entries that start it. Of several servers (none
    means all) tools are called SERVER_TOOL.
    """
    from clients.cli.place import Place
    from clients.session import bridge as bridging
    from clients.tokens import TokenStore

    place = Place.find()
    faces = [place.face(name) for name in dict.fromkeys(servers or place.topology.faces)]
    place.home.ensure()
    bridging.run(faces, TokenStore(place.home))
