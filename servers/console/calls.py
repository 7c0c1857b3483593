"""What the console's pages may ask of the servers: calls with the person's own tokens, no others.

The table is no right: each server decides by the token, as it does for every client. It only keeps
a page that went wrong from asking for what no page of ours needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clients.session.calls import open_session
from servers.console.sessions import Session
from topology.clock import Clock
from topology.errors import MissingError, RefusedError, did_you_mean
from topology.services import Face, Topology

CONTROL = "control"
SCOPES = {
    CONTROL: frozenset({"control:read"}),
    "backtest": frozenset({"backtest:read", "backtest:run"}),
    "data": frozenset({"data:read", "data:write"}),
}
"""What a session asks for at each server: to read, and to cancel its runs."""
TOOLS = {
    CONTROL: frozenset(
        {
            "audit_log",
            "get_run",
            "get_spec",
            "halt_status",
            "list_runs",
            "list_specs",
            "verify_audit",
        }
    ),
    "backtest": frozenset({"cancel_run", "get_trades", "list_runs", "tear_sheet"}),
    "data": frozenset({"cancel_run", "query_sql"}),
}
STEPPED = {"halt": "control:halt", "resume": "control:resume", "cancel_run": "control:halt"}
"""Tools of ``control`` that take a step-up, and its scope: one visit to the issuer, one call."""
VIEWS = {"backtest": "ui://backtest/tearsheet.html"}
"""The MCP App of a server that the pages show."""


def faces(topology: Topology) -> dict[str, Face]:
    """Return the servers that the console signs in at: those of our own issuer, control first."""
    own = topology.embedded
    known = {name: topology.faces[name] for name in SCOPES if own and name in topology.faces}
    return {name: f for name, f in known.items() if f.issuer == topology.issuer_url(own)}


def scopes(face: Face) -> frozenset[str]:
    """Return what a session asks for at a server."""
    return SCOPES[face.name] & frozenset(face.scopes)


async def call(
    session: Session, face: Face, tool: str, arguments: Mapping[str, Any], clock: Clock
) -> dict[str, Any]:
    """Call a tool of the table for the person; what the server answers is returned or raised."""
    if tool not in TOOLS[face.name]:
        raise RefusedError(
            f"The console does not call {tool[:64]!r} of {face.name!r}.",
            hint=did_you_mean(tool, TOOLS[face.name]),
            server=face.name,
        )
    return await once(face, await session.token(face, clock), tool, arguments)


async def once(face: Face, token: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make one call with one token."""
    async with open_session(face, lambda: token) as opened:
        return await opened.call(tool, arguments)


async def view(session: Session, face: Face, clock: Clock) -> str:
    """Return the page of a server's MCP App; ``not_found`` where the server has none."""
    uri = VIEWS.get(face.name)
    if uri is None:
        raise MissingError(f"The server {face.name!r} has no view.", hint="backtest has one.")
    token = await session.token(face, clock)
    async with open_session(face, lambda: token) as opened:
        page = await opened.read(uri)
    return page if isinstance(page, str) else page.decode()
