"""One call to one server of a suite, with the stored sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from clients.cli.place import Place
from topology.errors import AlphaSwarmError, BadInputError, did_you_mean

if TYPE_CHECKING:
    from clients.frames import Stream
    from clients.session.calls import Report, Session

Answer = TypeVar("Answer")
OWNERS = {"backtest": "backtest", "data": "data"}
"""Which server runs a kind of work."""
STREAMS = "control"
"""The server whose sign-in may read every stream of frames."""


def call(
    place: Place,
    server: str,
    tool: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    report: Report | None = None,
) -> dict[str, Any]:
    """Call a tool and return its structured result; null arguments are left out."""
    given = {key: value for key, value in (arguments or {}).items() if value is not None}

    async def ask(session: Session) -> dict[str, Any]:
        return await session.call(tool, given, report=report)

    return _with_session(place, server, token(place, server), ask)


def call_with(
    place: Place, server: str, access_token: str, tool: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Like `call`, with a token that is stored nowhere."""

    async def ask(session: Session) -> dict[str, Any]:
        return await session.call(tool, arguments)

    return _with_session(place, server, lambda: access_token, ask)


def call_or_step_up(
    place: Place,
    server: str,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    no_browser: bool,
    code: str | None,
) -> dict[str, Any]:
    """Like `call`; where the server asks for a second factor, the person is asked for this call."""
    try:
        return call(place, server, tool, arguments)
    except AlphaSwarmError as error:
        from clients import tokens
        from clients.cli import signin
        from clients.session.stepping import wanted

        scopes = wanted(error)
        if not scopes:
            raise
        grant = signin.step_up(place, place.face(server), scopes, no_browser=no_browser, code=code)
    try:
        return call_with(place, server, grant.access_token, tool, arguments)
    finally:
        tokens.revoke(grant)


def tools(place: Place, server: str) -> list[dict[str, Any]]:
    """Return the tools of a server."""

    async def ask(session: Session) -> list[dict[str, Any]]:
        return await session.tools()

    return _with_session(place, server, token(place, server), ask)


def read(place: Place, server: str, uri: str) -> str | bytes:
    """Return a resource of a server."""

    async def ask(session: Session) -> str | bytes:
        return await session.read(uri)

    return _with_session(place, server, token(place, server), ask)


def stream(place: Place, task_id: str, *, after: int = 0) -> Stream:
    """Return the frames of a task, ready to be followed."""
    from clients.frames import Stream

    return Stream(place.topology.base_url, task_id, token(place, STREAMS), after=after)


def token(place: Place, server: str) -> Callable[[], str]:
    """Return what gives a living access token for ``server`` at each use."""
    from clients.tokens import TokenStore

    face, store = place.face(server), TokenStore(place.home)
    return lambda: store.access(face).access_token


def owner(kind: str) -> str:
    """Return the server that runs a kind of work."""
    if kind not in OWNERS:
        raise BadInputError(
            f"No server runs specs of kind {kind[:64]!r}.",
            hint=did_you_mean(kind, OWNERS),
            errors=[{"path": "kind", "value": kind[:64]}],
        )
    return OWNERS[kind]


def _with_session(
    place: Place,
    server: str,
    tokens: Callable[[], str],
    ask: Callable[[Session], Awaitable[Answer]],
) -> Answer:
    face = place.face(server)
    from clients.session.calls import open_session

    async def work() -> Answer:
        async with open_session(face, tokens) as session:
            return await ask(session)

    return asyncio.run(work())
