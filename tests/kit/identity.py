"""An issuer to test against: a store in memory, a frozen clock, cheap hashes, and a person."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from argon2 import PasswordHasher
from psycopg.sql import SQL, Identifier
from starlette.applications import Starlette

from auth import store as rows
from auth.accounts import Accounts
from auth.factors import Passwords
from auth.store import ClientRecord, Code, Consent, Family, Login, Refresh, Store, User
from ledger.identity import IdentityStore
from ledger.pool import Pool, transaction
from servers.identity.compose import Identity, open_identity
from topology import services
from topology.clock import Clock, FrozenClock
from topology.errors import StoreUnreachableError
from topology.home import Home
from topology.services import Topology

DAY_S = 86_400
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
TABLES = ("refresh", "codes", "families", "consents", "logins", "clients", "failures", "users")


class MemoryStore:
    """The issuer's store for one process; one lock stands for the database's transactions."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.failures: dict[str, tuple[int, int, int]] = {}
        self.clients: dict[str, ClientRecord] = {}
        self.logins: dict[str, Login] = {}
        self.consents: set[Consent] = set()
        self.families: dict[str, Family] = {}
        self.codes: dict[str, Code] = {}
        self.refreshes: dict[str, Refresh] = {}

    def add_user(self, user: User) -> bool:
        with self._lock:
            return self.users.setdefault(user.username, user) is user

    def find_user(self, username: str) -> User | None:
        return self.users.get(username)

    def set_password(self, username: str, password_hash: str) -> bool:
        with self._lock:
            if username not in self.users:
                return False
            self.users[username] = replace(self.users[username], password_hash=password_hash)
            return True

    def count_failure(self, key: str, *, now: int, limit: int, lock_s: int) -> int:
        with self._lock:
            count, last, locked = self.failures.get(key, (0, now, 0))
            count = 1 if last < now - lock_s else count + 1
            if count >= limit:
                count, locked = 0, now + lock_s
            self.failures[key] = (count, now, locked)
            return locked if locked > now else 0

    def locked_until(self, key: str, *, now: int) -> int:
        locked = self.failures.get(key, (0, 0, 0))[2]
        return locked if locked > now else 0

    def clear_failures(self, key: str) -> None:
        self.failures.pop(key, None)

    def add_client(self, client: ClientRecord, *, since: int, at_most: int) -> bool:
        with self._lock:
            if sum(known.created_at > since for known in self.clients.values()) >= at_most:
                return False
            self.clients[client.client_id] = client
            return True

    def find_client(self, client_id: str) -> ClientRecord | None:
        return self.clients.get(client_id)

    def touch_client(self, client_id: str, *, now: int) -> None:
        if client_id in self.clients:
            self.clients[client_id] = replace(self.clients[client_id], used_at=now)

    def add_login(self, login: Login) -> None:
        self.logins[login.id_hash] = login

    def find_login(self, id_hash: str, *, now: int) -> Login | None:
        login = self.logins.get(id_hash)
        return login if login and login.expires_at > now else None

    def end_login(self, id_hash: str) -> None:
        self.logins.pop(id_hash, None)

    def end_logins(self, username: str) -> int:
        with self._lock:
            gone = [key for key, login in self.logins.items() if login.username == username]
            for key in gone:
                del self.logins[key]
            return len(gone)

    def add_consent(self, consent: Consent, *, now: int) -> None:
        self.consents.add(consent)

    def has_consent(self, consent: Consent) -> bool:
        return consent in self.consents

    def add_code(self, code: Code, family: Family) -> None:
        with self._lock:
            self.families[family.sid] = family
            self.codes[code.code_hash] = code

    def find_code(self, code_hash: str) -> tuple[Code, Family] | None:
        code = self.codes.get(code_hash)
        return (code, self.families[code.sid]) if code else None

    def consume_code(self, code_hash: str, refresh: Refresh | None, *, now: int) -> bool:
        with self._lock:
            code = self.codes.get(code_hash)
            if code is None or code.used_at is not None or not self.family_alive(code.sid):
                return False
            self.codes[code_hash] = replace(code, used_at=now)
            if refresh is not None:
                self.refreshes[refresh.token_hash] = refresh
            return True

    def add_family(self, family: Family, refresh: Refresh | None) -> None:
        with self._lock:
            self.families[family.sid] = family
            if refresh is not None:
                self.refreshes[refresh.token_hash] = refresh

    def find_refresh(self, token_hash: str) -> tuple[Refresh, Family] | None:
        refresh = self.refreshes.get(token_hash)
        return (refresh, self.families[refresh.sid]) if refresh else None

    def rotate_refresh(self, token_hash: str, successor: Refresh, *, now: int) -> bool:
        with self._lock:
            old = self.refreshes.get(token_hash)
            if old is None or old.used_at is not None or not self.family_alive(old.sid):
                return False
            self.refreshes[token_hash] = replace(old, used_at=now)
            self.refreshes[successor.token_hash] = successor
            return True

    def find_family(self, sid: str) -> Family | None:
        return self.families.get(sid)

    def family_alive(self, sid: str) -> bool:
        family = self.families.get(sid)
        return family is not None and family.revoked_at is None

    def revoke_family(self, sid: str, *, now: int) -> bool:
        with self._lock:
            if not self.family_alive(sid):
                return False
            self.families[sid] = replace(self.families[sid], revoked_at=now)
            return True

    def revoke_families(self, *, username: str, now: int) -> int:
        with self._lock:
            mine = [sid for sid, family in self.families.items() if family.username == username]
            return sum(self.revoke_family(sid, now=now) for sid in mine)

    def purge(self, *, now: int) -> int:
        with self._lock:
            idle = {
                key
                for key, client in self.clients.items()
                if (client.used_at is None and client.created_at < now - DAY_S)
                or (client.used_at is not None and client.used_at < now - 90 * DAY_S)
            }
            gone = [
                _drop(self.clients, idle),
                _drop(self.logins, {k for k, v in self.logins.items() if v.expires_at <= now}),
                _drop(self.families, {k for k, v in self.families.items() if v.expires_at <= now}),
                _drop(
                    self.failures,
                    {k for k, v in self.failures.items() if v[1] < now - DAY_S and v[2] <= now},
                ),
            ]
            orphans = {consent for consent in self.consents if consent.client_id in idle}
            self.consents -= orphans
            _drop(self.codes, {k for k, v in self.codes.items() if v.sid not in self.families})
            _drop(
                self.refreshes, {k for k, v in self.refreshes.items() if v.sid not in self.families}
            )
            return sum(gone) + len(orphans)


def _drop(rows: dict[str, Any], keys: set[str]) -> int:
    for key in keys:
        del rows[key]
    return len(keys)


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

    async def consent(self, page: httpx2.Response, decision: str = "allow") -> httpx2.Response:
        """Press a button of the consent page."""
        form = {**hidden_fields(page.text), "decision": decision}
        return await self.browser.post(f"{self.issuer}/authorize", data=form)

    async def approve(self, **changes: str | None) -> dict[str, str]:
        """Go through login and consent as a person; return the parameters the client gets."""
        answer = await self.authorize(**changes)
        for _ in range(3):
            if answer.status_code == 200:
                answer = await self.consent(answer)
            location = answer.headers.get("location", "")
            if f"{urlsplit(self.issuer).path}/login?" in location:
                signed_in = await self.sign_in(dict(parse_qsl(urlsplit(location).query))["next"])
                answer = await self.browser.get(signed_in.headers["location"])
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
