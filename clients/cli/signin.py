"""``login``, ``logout``, ``whoami`` and ``token``."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place

if TYPE_CHECKING:
    from clients import device as devices
    from clients.tokens import Grant
    from topology.services import Face

_PANEL = "Signing in"
Servers = Annotated[list[str] | None, typer.Argument(help="Servers; none means all of them.")]
Local = Annotated[bool, typer.Option("--local", help="As this operating-system user.")]
Device = Annotated[
    bool, typer.Option("--device", help="Show a code to allow in a browser elsewhere.")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address to open.")]
Code = Annotated[
    str | None, typer.Option(help="One-time or recovery code: no browser is needed then.")
]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="May be repeated.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (login, logout, whoami, token):
        app.command(rich_help_panel=_PANEL)(command)


def login(
    *,
    servers: Servers = None,
    local: Local = False,
    device: Device = False,
    no_browser: NoBrowser = False,
    json: Json = False,
) -> None:
    """Sign in: in the browser, by a code allowed elsewhere, or as this operating-system user."""
    import time

    from clients import device as devices
    from clients import login as signing
    from clients.tokens import TokenStore

    out, place = output.use(json), Place.find()
    faces = _faces(place, servers)
    store = TokenStore(place.home)
    place.home.ensure()
    wanted = [(face, signing.usual(face)) for face in faces]
    if local:
        grants = [
            signing.locally(place.home, face, signing.usual(face), now=store.now())
            for face in faces
        ]
    elif device:
        grants = devices.by_device(wanted, _shown, now=store.now, sleep=time.sleep)
    else:
        grants = signing.in_browser(wanted, opener(no_browser), now=store.now)
    signing.keep(store, faces, grants)
    names = ", ".join(face.name for face in faces)
    out.answer(_identity(place, faces, grants), f"Signed in to {names} as {_subject(grants)}.")


def logout(servers: Servers = None, *, json: Json = False) -> None:
    """End the stored sign-ins, here and at the issuer."""
    from clients import tokens
    from topology.errors import FaultError

    out, place = output.use(json), Place.find()
    store, ended = tokens.TokenStore(place.home), []
    for face in _faces(place, servers) if place.home.secrets.is_dir() else []:
        grant = store.forget(face)
        if grant is None:
            continue
        ended.append(face.name)
        try:
            tokens.revoke(grant)
        except FaultError:
            output.note(f"{face.name}: removed here; the issuer could not be told.")
    text = f"Signed out of {', '.join(ended)}." if ended else "Nobody was signed in."
    out.answer({"signed_out": ended}, text)


def whoami(*, json: Json = False) -> None:
    """Show who is signed in, at which servers, with what, and until when."""
    from clients.tokens import TokenStore

    out, place = output.use(json), Place.find()
    store = TokenStore(place.home)
    found = [(face, grant) for face in place.topology.faces.values() if (grant := store.find(face))]
    faces, grants = [face for face, _ in found], [grant for _, grant in found]
    body = _identity(place, faces, grants)
    rows = [
        (name, s["scope"], s["acr"].rpartition(":")[2], s["signed_in_at"], s["expires_at"])
        for name, s in body["servers"].items()
    ]
    body["factors"] = _factors(place, body["subject"]) if found else None
    table = output.table(("server", "may", "how", "since", "token until"), rows)
    text = f"{body['subject']}\n{table}\nsecond factors: {_factors_text(body['factors'])}"
    out.answer(body, text if found else "Not signed in.")
    if not found:
        output.note("Sign in with `alphaswarm login` or `alphaswarm login --local`.")
        raise typer.Exit(output.SIGN_IN)


def token(
    server: Annotated[str, typer.Argument(help="Whose audience the token is for.")],
    scope: Scopes = None,
    *,
    no_browser: NoBrowser = False,
    code: Code = None,
    json: Json = False,
) -> None:
    """Print an access token for one server's audience.

    Scopes that need a second factor (control:halt ..) open the browser, or take --code, and are
    stored nowhere.
    """
    from clients import login as signing
    from clients.tokens import TokenStore

    out, place = output.use(json), Place.find()
    face, wanted = place.face(server), frozenset(scope or ())
    if wanted & signing.STEP_UP:
        grant = step_up(place, face, wanted, no_browser=no_browser, code=code)
    else:
        grant = TokenStore(place.home).access(face, wanted)
    body = {
        "access_token": grant.access_token,
        "audience": grant.audience,
        "scope": grant.scope,
        "expires_at": _moment(grant.expires_at),
    }
    out.answer(body, grant.access_token)


def step_up(
    place: Place,
    face: Face,
    scopes: frozenset[str],
    *,
    no_browser: bool,
    action: tuple[str, dict[str, Any]] | None = None,
    code: str | None = None,
) -> Grant:
    """Sign in for one command with a second factor, whatever is stored.

    With ``code`` (a one-time or recovery code) as this operating-system user, else in the browser.
    ``action`` is the tool and the arguments that the person is asked about.
    """
    import time

    from clients import login as signing

    tool, arguments = action or ("", {})
    asked = signing.StepUp(tool, arguments, code or "")
    wanted = scopes | {face.read_scope}
    if code:
        return signing.locally(place.home, face, wanted, now=time.time(), step_up=asked)
    show = opener(no_browser)
    return signing.in_browser([(face, wanted)], show, now=time.time, step_up=asked)[0]


def opener(no_browser: bool) -> Any:  # noqa: FBT001  a flag handed on
    """Return what shows a person the address to open."""
    import webbrowser

    def show(url: str) -> None:
        if not no_browser and webbrowser.open(url):
            output.note("Continue in the browser. If none has opened, open this address:")
        else:
            output.note("Open this address in a browser on this machine:")
        print(url, file=sys.stderr, flush=True)

    return show


def _shown(code: devices.Code) -> None:
    output.note(f"Open {code.url} on any machine and type {code.user_code}, or open")
    print(code.complete_url, file=sys.stderr, flush=True)
    output.note(f"Waiting for {code.expires_s / 60:.0f} minutes at most.")


def _faces(place: Place, servers: list[str] | None) -> list[Face]:
    faces = place.topology.faces
    ours = [name for name, face in faces.items() if not face.foreign]
    return [place.face(name) for name in servers or ours or faces]


def _identity(place: Place, faces: list[Face], grants: list[Grant]) -> dict[str, Any]:
    return {
        "subject": _subject(grants) if grants else None,
        "issuer": place.topology.issuer_url(),
        "servers": {
            face.name: {
                "audience": grant.audience,
                "scope": grant.scope,
                "acr": str(grant.claims().get("acr", "")),
                "signed_in_at": _moment(grant.claims().get("auth_time", 0)),
                "expires_at": _moment(grant.expires_at),
            }
            for face, grant in zip(faces, grants, strict=True)
        },
    }


def _factors(place: Place, username: str) -> dict[str, Any] | None:
    """Return a person's second factors, or None where the issuer of this home does not answer."""
    from clients import login as signing
    from topology.errors import AlphaSwarmError

    try:
        found = signing.factors(place.home, username)
    except AlphaSwarmError:
        return None
    return {"held": found["factors"], "recovery_codes": found["recovery_codes"]}


def _factors_text(found: dict[str, Any] | None) -> str:
    if found is None:
        return "unknown, the issuer of this home does not answer"
    names = [one["kind"] + (f" ({one['name']})" if one["name"] else "") for one in found["held"]]
    if not names:
        return "none; enrol one with `alphaswarm user enrol totp` or `.. passkey`"
    return f"{', '.join(names)}; {found['recovery_codes']} recovery codes left"


def _subject(grants: list[Grant]) -> str:
    return str(grants[0].claims().get("sub", ""))


def _moment(seconds: float) -> str:
    from topology.clock import rfc3339

    return rfc3339(dt.datetime.fromtimestamp(int(seconds), tz=dt.UTC))
