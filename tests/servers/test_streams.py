"""``/chat/stream/{task_id}``: frames by SSE and WebSocket, resumed, refused, ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ledger import runs
from ledger.progress.emitter import Emitter
from tests.kit.ledger import Desk
from tests.kit.live import Live
from topology.clock import SystemClock
from topology.ids import new_id


def ended(live: Live, desk: Desk, **body: Any) -> runs.Run:
    """Return a run with three frames: a start, one bar and the end."""
    claim = desk.claimed(**body)
    emitter = Emitter(live.office.pool, live.office.bus, claim, SystemClock())
    emitter.emit("bar.processed", "half", current=1, total=2)
    pending = emitter.drain()
    runs.finish(
        live.office.pool,
        claim,
        status="succeeded",
        frames=pending,
        stage="done",
        message="done",
        extras={"run_id": claim.run.run_id},
        bus=live.office.bus,
    )
    emitter.close()
    return claim.run


def url(live: Live, task_id: str, scheme: str = "http") -> str:
    return f"{live.topology.base_url}/chat/stream/{task_id}".replace("http", scheme, 1)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def events(answer: httpx2.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield id and frame of each event of a whole stream."""
    for block in answer.read().decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            yield int(lines["id"]), json.loads(lines["data"])


def test_every_frame_comes_once_and_the_stream_ends_with_the_last(live: Live, desk: Desk) -> None:
    run = ended(live, desk)
    with httpx2.stream(
        "GET", url(live, run.task_id), headers=bearer(live.token("control")), timeout=10
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = list(events(answer))
    ids = [seq for seq, _ in found]
    assert ids == list(range(1, len(ids) + 1))
    assert [frame["seq"] for _, frame in found] == ids
    assert found[-1][1]["stage"] == "done"
    assert found[-1][1]["run_id"] == run.run_id


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_stream_resumes_behind_the_frame_that_was_seen(live: Live, desk: Desk, how: str) -> None:
    run = ended(live, desk)
    headers = bearer(live.token("backtest"))
    query = {"after": "1"} if how == "query" else {}
    if how == "header":
        headers["last-event-id"] = "1"
    answer = httpx2.get(url(live, run.task_id), headers=headers, params=query, timeout=10)
    assert next(events(answer))[0] == 2


def test_an_event_source_that_has_everything_is_told_to_stop(live: Live, desk: Desk) -> None:
    run = ended(live, desk)
    headers = {**bearer(live.token("control")), "last-event-id": "999"}
    assert httpx2.get(url(live, run.task_id), headers=headers).status_code == 204


def test_a_websocket_carries_the_same_frames(live: Live, desk: Desk) -> None:
    run = ended(live, desk)
    with connect(
        url(live, run.task_id, "ws"), additional_headers=bearer(live.token("control"))
    ) as socket:
        frames = [json.loads(text) for text in socket]
    assert frames[-1]["stage"] == "done"
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


def test_frames_come_while_the_run_runs(live: Live, desk: Desk) -> None:
    claim = desk.claimed(name="slow")
    emitter = Emitter(live.office.pool, live.office.bus, claim, SystemClock())
    seen: list[str] = []

    def listen() -> None:
        headers = bearer(live.token("control"))
        with connect(url(live, claim.run.task_id, "ws"), additional_headers=headers) as socket:
            seen.extend(json.loads(text)["stage"] for text in socket)

    listener = threading.Thread(target=listen)
    listener.start()
    emitter.emit("bar.processed", "one", current=1, total=1)
    emitter.flush(5.0)
    runs.finish(
        live.office.pool,
        claim,
        status="succeeded",
        frames=emitter.drain(),
        stage="done",
        message="done",
        extras={"run_id": claim.run.run_id},
        bus=live.office.bus,
    )
    emitter.close()
    listener.join(10)
    assert not listener.is_alive()
    assert seen[-2:] == ["bar.processed", "done"]


def refusal(live: Live, task_id: str, **headers: str) -> httpx2.Response:
    return httpx2.get(url(live, task_id), headers=headers)


def test_without_a_token_there_is_a_challenge_and_no_stream(live: Live, desk: Desk) -> None:
    run = desk.submit()
    answer = refusal(live, run.task_id)
    prm = live.topology.face("control").prm_url
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        f'Bearer scope="control:read", resource_metadata="{prm}"'
    )


def test_a_websocket_without_a_token_is_refused_before_it_opens(live: Live, desk: Desk) -> None:
    run = desk.submit()
    with pytest.raises(InvalidStatus) as caught, connect(url(live, run.task_id, "ws")):
        pass
    assert caught.value.response.status_code == 401


def test_a_forged_token_is_invalid(live: Live, desk: Desk) -> None:
    answer = refusal(live, desk.submit().task_id, authorization="Bearer eyJhbGciOiJub25lIn0.e30.")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_the_token_of_another_server_is_not_enough(live: Live, desk: Desk) -> None:
    answer = refusal(live, desk.submit("backtest").task_id, **bearer(live.token("data")))
    assert answer.status_code == 403
    assert 'scope="backtest:read"' in answer.headers["www-authenticate"]


def test_two_tokens_are_refused(live: Live, desk: Desk) -> None:
    token = ("authorization", f"Bearer {live.token('control')}")
    answer = httpx2.get(url(live, desk.submit().task_id), headers=[token, token])
    assert answer.status_code == 400


@pytest.mark.parametrize("task", ["%00", "x", "%ff", "a" * 27, "A" * 26])
def test_what_is_no_task_id_is_not_found(live: Live, task: str) -> None:
    answer = httpx2.get(url(live, task), headers=bearer(live.token("control")))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_unknown_task_is_not_found(live: Live) -> None:
    task_id = new_id(SystemClock().now())
    answer = refusal(live, task_id, **bearer(live.token("control")))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("after", ["-1", "one", "1.5", "9" * 30])
def test_what_is_no_frame_number_is_refused(live: Live, desk: Desk, after: str) -> None:
    headers = {**bearer(live.token("control")), "last-event-id": after}
    answer = refusal(live, desk.submit().task_id, **headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")


def test_a_revoked_grant_ends_an_open_stream(live: Live, desk: Desk) -> None:
    run = desk.submit()
    token = live.token("control")
    claims = live.identity.verifier(live.topology.face("control").audience).verify(
        token, SystemClock().now().timestamp()
    )
    with httpx2.stream("GET", url(live, run.task_id), headers=bearer(token), timeout=10) as answer:
        live.identity.issuer.store.revoke_family(
            claims.sid, now=int(SystemClock().now().timestamp())
        )
        assert b"still here" in answer.read()


def test_a_revoked_grant_ends_a_stream_that_never_rests(live: Live, desk: Desk) -> None:
    """Frames that keep coming must not keep a dead grant alive."""
    claim = desk.claimed()
    token, store = live.token("control"), live.identity.issuer.store
    now = SystemClock().now().timestamp()
    claims = live.identity.verifier(live.topology.face("control").audience).verify(token, now)
    emitter = Emitter(live.office.pool, live.office.bus, claim, SystemClock())
    stop = threading.Event()

    def chatter() -> None:
        for current in range(300):
            emitter.emit("bar.processed", "on", current=current, total=300)
            if stop.wait(0.02):
                return

    talker = threading.Thread(target=chatter)
    talker.start()
    try:
        path = url(live, claim.run.task_id)
        with httpx2.stream("GET", path, headers=bearer(token), timeout=10) as answer:
            store.revoke_family(claims.sid, now=int(now))
            for line in answer.iter_lines():
                assert talker.is_alive(), f"the stream outlived the frames: {line}"
    finally:
        stop.set()
        talker.join()
        emitter.close()


def test_a_foreign_page_opens_no_websocket(live: Live, desk: Desk) -> None:
    address, headers = url(live, desk.submit().task_id, "ws"), bearer(live.token("control"))
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(address, additional_headers={**headers, "origin": "http://evil.test"}),
    ):
        pass
    assert caught.value.response.status_code == 403
