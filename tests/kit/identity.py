"""An issuer to test against: a frozen clock, cheap hashes, and a person with a browser."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pyotp
import pytest
from argon2 import PasswordHasher
from psycopg.sql import SQL, Identifier
from starlette.applications import Starlette

from auth import store as rows
from auth.accounts import Accounts
from auth.factors.passwords import Passwords
from auth.factors.seal import Seal
from auth.factors.totp import Enrolment
from auth.store import Store
from ledger.identity import IdentityStore
from ledger.pool import Pool, transaction
from servers.identity.compose import Identity, open_identity
from tests.kit.identity_store import MemoryStore
from topology import services
from topology.clock import Clock, FrozenClock
from topology.errors import StoreUnreachableError
from topology.home import Home
from topology.services import Topology

START = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
USERNAME = "ada"
PASSWORD = "correct horse battery staple"
CLIENT = "alphaswarm-cli"
REDIRECT = "http://127.0.0.1:51000/callback"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
FORM = {"content-type": "application/x-www-form-urlencoded"}
TABLES = (
    "challenges",
    "grants",
    "devices",
    "once",
    "refused",
    "factors",
    "refresh",
    "codes",
    "families",
    "consents",
    "logins",
    "clients",
    "failures",
    "users",
)


@dataclass
class Recorder:
    """An audit sink that keeps what it was told, until it is cut off."""

    events: list[dict[str, Any]] = field(default_factory=list)
    cut: bool = False

    def __call__(
        self,
        *,
        actor: str,
        action: str,
        target: str,
        decision: str,
        facts: Mapping[str, str | int],
    ) -> None:
        if self.cut:
            raise StoreUnreachableError("PostgreSQL does not answer.", store="postgres")
        event = {"actor": actor, "action": action, "target": target, "decision": decision}
        self.events.append({**event, "facts": dict(facts)})

    def of(self, action: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["action"] == action]


@dataclass(repr=False)
class Scene:
    """An issuer over ASGI, a browser that keeps cookies, and the clock in the test's hand."""

    identity: Identity
    store: Store
    audit: Recorder
    clock: FrozenClock
    home: Home
    app: Starlette
    browser: httpx2.AsyncClient
    faces: dict[str, str]
    app_secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return self.identity.issuer.config.issuer

    @property
    def cookie_name(self) -> str:
        return next(iter(self.browser.cookies))

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def request(self, **changes: str | None) -> dict[str, str]:
        """Return the parameters of a good authorization request with changes; None removes."""
        good: dict[str, str | None] = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": REDIRECT,
            "resource": self.faces["data"],
            "scope": "data:read",
            "state": "xyz",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in good.items() if value is not None}

    async def authorize(self, **changes: str | None) -> httpx2.Response:
        return await self.browser.get(f"{self.issuer}/authorize", params=self.request(**changes))

    async def post(self, endpoint: str, **form: str) -> httpx2.Response:
        return await self.browser.post(f"{self.issuer}/{endpoint}", data=form)

    async def sign_in(self, target: str = "", password: str = PASSWORD) -> httpx2.Response:
        """Open the login page, type name and password, and send the form."""
        page = await self.browser.get(f"{self.issuer}/login", params={"next": target})
        form = {**hidden_fields(page.text), "username": USERNAME, "password": password}
        return await self.browser.post(f"{self.issuer}/login", data=form)

    def enrol(self) -> None:
        """Give the person an authenticator app and recovery codes."""
        accounts = Accounts(self.store, self.audit, self.clock, CHEAP)
        enrolment = Enrolment.begin(USERNAME)
        self.app_secret = enrolment.secret
        code = pyotp.TOTP(enrolment.secret).at(self.now() - 30)
        seal = Seal.open(self.home.keys)
        self.recovery_codes = accounts.enrol_totp(USERNAME, seal, enrolment, code)

    def otp(self) -> str:
        """Return a code that the app has not shown before; the clock moves on to its step."""
        self.clock.advance(30)
        return pyotp.TOTP(self.app_secret).at(self.now())

    async def second(self, target: str = "", code: str | None = None) -> httpx2.Response:
        """Open the page of the second factor, type a code, and send the form."""
        page = await self.browser.get(f"{self.issuer}/factor", params={"next": target})
        form = {**hidden_fields(page.text), "code": self.otp() if code is None else code}
        return await self.browser.post(f"{self.issuer}/factor", data=form)

    async def consent(self, page: httpx2.Response, decision: str = "allow") -> httpx2.Response:
        """Press a button of the consent page."""
        form = {**hidden_fields(page.text), "decision": decision}
        return await self.browser.post(f"{self.issuer}/authorize", data=form)

    async def approve(self, **changes: str | None) -> dict[str, str]:
        """Go through login and consent as a person; return the parameters the client gets."""
        answer = await self.authorize(**changes)
        for _ in range(4):
            if answer.status_code == 200:
                answer = await self.consent(answer)
            location = answer.headers.get("location", "")
            for page, show in (("login", self.sign_in), ("factor", self.second)):
                if f"{urlsplit(self.issuer).path}/{page}?" in location:
                    shown = await show(dict(parse_qsl(urlsplit(location).query))["next"])
                    answer = await self.browser.get(shown.headers["location"])
        return sent_back(answer)

    async def code(self, **changes: str | None) -> str:
        return (await self.approve(**changes))["code"]

    async def redeem(self, code: str, /, **changes: str | None) -> httpx2.Response:
        good: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": CLIENT,
            "redirect_uri": REDIRECT,
            "code": code,
            "code_verifier": VERIFIER,
            **changes,
        }
        return await self.post("token", **{k: v for k, v in good.items() if v is not None})

    async def refresh(self, token: str, /, **changes: str) -> httpx2.Response:
        good = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}
        return await self.post("token", **{**good, **changes})

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """Return a token response for a person who allowed everything."""
        redirect = changes.get("redirect_uri", REDIRECT)
        client = changes.get("client_id", CLIENT)
        code = await self.code(**changes)
        answer = await self.redeem(code, redirect_uri=redirect, client_id=client)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def scene_of(
    folder: Path,
    store: Store,
    *,
    topology: Topology | None = None,
    clock: Clock | None = None,
) -> Scene:
    """Return a scene with the user ``ada`` in a home below ``folder``.

    Without a ``clock`` the scene's own stands still at `START` until it is told to move.
    """
    frozen, audit, home = FrozenClock(START), Recorder(), Home(folder / "home")
    topology, clock = topology or services.load({}), clock or frozen
    home.ensure()
    identity = open_identity(topology, home, store, audit, clock, passwords=CHEAP)
    Accounts(store, audit, clock, CHEAP).add(USERNAME, PASSWORD)
    app = Starlette(routes=identity.routes())
    browser = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url=topology.base_url
    )
    faces = {name: face.audience for name, face in topology.faces.items()}
    return Scene(identity, store, audit, frozen, home, app, browser, faces)


def sent_back(answer: httpx2.Response) -> dict[str, str]:
    """Return the parameters of a redirect to the client; none of them may come twice."""
    assert answer.status_code == 303, answer.text
    pairs = parse_qsl(urlsplit(answer.headers["location"]).query, keep_blank_values=True)
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def hidden_fields(html: str) -> dict[str, str]:
    """Return the hidden fields of a page's form."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', html)
    return {unescape(name): unescape(value) for name, value in found}


@pytest.fixture(params=["memory", "postgresql"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """Return an empty store of each kind: one suite holds both to the same promises."""
    if request.param == "memory":
        return MemoryStore()
    pool: Pool = request.getfixturevalue("pool")
    with transaction(pool) as connection:
        for table in TABLES:
            connection.execute(SQL("DELETE FROM {}").format(Identifier(f"identity_{table}")))
    return IdentityStore(pool, rows)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return an issuer whose store is in memory."""
    return scene_of(tmp_path, MemoryStore())


@pytest.fixture
def any_scene(tmp_path: Path, any_store: Store) -> Scene:
    """Return an issuer on each kind of store."""
    return scene_of(tmp_path, any_store)
