"""Sessions of the console: renewed while they live, ended when they must, few enough to keep."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import pwd
from typing import Any, cast

import pytest

from auth.local import LocalRequest, sign_in_locally
from clients.login import asked
from clients.tokens import Grant, grant_of, revoke
from servers.console import sessions
from servers.console.sessions import SESSION_S, VISIT_S, Session, Sessions, Visit, digest
from tests.kit.live import Live
from topology import services
from topology.clock import FrozenClock, SystemClock
from topology.errors import AlphaSwarmError

START = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
FACE = services.load({}).face("control")
GRANT = Grant("control", FACE.audience, FACE.issuer, "control:read", "a.b.c", 0.0)


def renewable(live: Live) -> Grant:
    """Return a grant whose access token ends now."""
    face = live.topology.face("control")
    owner = pwd.getpwuid(os.geteuid()).pw_name
    reply = sign_in_locally(
        live.identity.issuer, owner, LocalRequest(face.audience, face.read_scope)
    )
    body = cast("dict[str, Any]", reply.body)
    return dataclasses.replace(grant_of(face, body, now=0), expires_at=0.0)


async def test_a_token_that_ends_is_renewed_once_for_all_who_ask(live: Live) -> None:
    face, clock, grant = live.topology.face("control"), SystemClock(), renewable(live)
    session = Session({"control": grant}, until=float("inf"))
    first = await session.token(face, clock)
    assert first != grant.access_token
    assert await session.token(face, clock) == first


async def test_a_grant_that_the_issuer_ended_asks_for_a_sign_in(live: Live) -> None:
    face, grant = live.topology.face("control"), renewable(live)
    revoke(grant)
    session = Session({"control": grant}, until=float("inf"))
    with pytest.raises(AlphaSwarmError) as error:
        await session.token(face, SystemClock())
    assert error.value.wire_code == "sign_in_required"


def test_a_session_ends_after_twelve_hours() -> None:
    clock = FrozenClock(START)
    kept = Sessions(clock)
    secret = kept.begin({"control": GRANT}, "")
    clock.advance(SESSION_S - 1)
    assert kept.find(secret) is not None
    clock.advance(1)
    assert kept.find(secret) is None
    assert kept.find("") is None


def test_a_new_sign_in_ends_the_session_before() -> None:
    kept = Sessions(FrozenClock(START))
    first = kept.begin({"control": GRANT}, "")
    second = kept.begin({"control": GRANT}, first)
    assert kept.find(first) is None
    assert kept.find(second) is not None


def test_a_visit_waits_ten_minutes_for_its_answer() -> None:
    clock = FrozenClock(START)
    kept = Sessions(clock)
    request = asked(FACE, frozenset({"control:read"}), "http://localhost:8000/console/callback")
    until = clock.now().timestamp() + VISIT_S
    kept.leave(Visit(digest("mine"), request, "/console", until))
    assert kept.come_back(request.state, "yours") is None
    clock.advance(VISIT_S)
    assert kept.come_back(request.state, "mine") is None


def test_no_more_sessions_than_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 2)
    kept = Sessions(FrozenClock(START))
    secrets = [kept.begin({"control": GRANT}, "") for _ in range(3)]
    assert [kept.find(secret) is not None for secret in secrets] == [False, True, True]


def test_notices_are_few() -> None:
    session = Session({"control": GRANT}, until=0.0)
    for number in range(9):
        session.note(tool="halt", number=number)
    assert [one["number"] for one in session.notices] == [4, 5, 6, 7, 8]
