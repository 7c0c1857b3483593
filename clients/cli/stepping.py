"""``stepup``: show a second factor before it is needed."""

from __future__ import annotations

import datetime as dt
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clients.cli import output, signin
from clients.cli.output import Json
from clients.cli.place import Place
from clients.cli.signin import Code, NoBrowser
from topology.errors import BadInputError

if TYPE_CHECKING:
    from clients.tokens import Grant

USUAL = "control:halt"
FRESH_S = 300


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Signing in")(stepup)


def stepup(
    scopes: Annotated[
        list[str] | None, typer.Argument(metavar="SCOPE", help=f"Default: {USUAL}.")
    ] = None,
    *,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Show your second factor, and until when the browser needs no other.

    For five minutes after it, commands that open the browser (resume, token --scope) find you
    stepped up and ask only what is to be done. With --code it is a drill: the code is used up.
    Nothing is stored here, and an action that is bound asks whatever is said here.
    """
    from clients import tokens

    out, place = output.use(json), Place.find()
    wanted = _checked(scopes or [USUAL])
    face = place.face(wanted[0].partition(":")[0])
    grant = signin.step_up(place, face, frozenset(wanted), no_browser=no_browser, code=code)
    try:
        found = _found(grant, wanted)
    finally:
        tokens.revoke(grant)
    out.answer(found, _text(found, typed=code is not None))


def _checked(scopes: list[str]) -> list[str]:
    from clients.login import STEP_UP

    for scope in scopes:
        if scope not in STEP_UP:
            near = get_close_matches(scope, STEP_UP, n=1)
            raise BadInputError(
                f"{scope!r} is no scope that wants a second factor.",
                hint=f"Meant {near[0]}?" if near else f"They are {', '.join(sorted(STEP_UP))}.",
                nearest=near[0] if near else None,
            )
    if len({scope.partition(":")[0] for scope in scopes}) > 1:
        raise BadInputError("Name scopes of one server.", hint="Run it once for each server.")
    return scopes


def _found(grant: Grant, wanted: list[str]) -> dict[str, Any]:
    claims = grant.claims()
    shown = int(claims.get("auth_time", 0))
    return {
        "subject": claims.get("sub"),
        "server": grant.server,
        "scope": " ".join(sorted(wanted)),
        "acr": claims.get("acr"),
        "amr": claims.get("amr", []),
        "until": _moment(shown + FRESH_S),
    }


def _text(found: dict[str, Any], *, typed: bool) -> str:
    how = f"{found['subject']} stepped up for {found['scope']} ({' '.join(found['amr'])})"
    if typed:
        return f"{how}. The code was right and is used up; each command asks for its own."
    return f"{how}. Until {found['until']} your browser needs no other."


def _moment(seconds: int) -> str:
    from topology.clock import rfc3339

    return rfc3339(dt.datetime.fromtimestamp(seconds, tz=dt.UTC))
