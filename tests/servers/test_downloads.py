"""``/data/mcp/exports/{id}``: exported files by HTTP, whole, in part, expired, and to whom."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import io
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from mcp import MCPError

from ledger import runs
from runtimes.context import Workshop
from servers.rules import _pattern
from tests.kit.exports import exported, submitted
from tests.kit.ledger import Desk
from tests.kit.live import Live
from tests.kit.market import put, walks
from tools import exports
from tools.registry import Office
from topology.clock import FrozenClock

TABLE = "alphaswarm_silver_pier.bars_1d"
MIB = 1_048_576


@pytest.fixture(scope="module")
def run(workshop: Workshop) -> runs.Run:
    """Export a table with 60 bars."""
    put(workshop, TABLE, walks(["AAA.TEST", "BBB.TEST"], bars=30))
    found = exported(workshop, TABLE)
    assert found.statistics is not None, found.error
    return found


@pytest.fixture(scope="module")
def whole(live: Live, run: runs.Run) -> bytes:
    """Return the file as a client gets it."""
    return get(live, run.run_id).content


def url(live: Live, export_id: str) -> str:
    return f"{live.url('data')}/exports/{export_id}"


def get(live: Live, export_id: str, method: str = "GET", **headers: str) -> httpx2.Response:
    sent = {"authorization": f"Bearer {live.token('data')}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.request(method, url(live, export_id), headers=sent)


def test_the_whole_file_is_parquet_and_names_its_digest(live: Live, run: runs.Run) -> None:
    answer = get(live, run.run_id)

    digest = hashlib.sha256(answer.content).hexdigest()
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{digest}"'
    assert digest == run.result_sha
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["accept-ranges"] == "bytes"
    assert f'filename="bars_1d-{run.run_id[-8:]}.parquet"' in answer.headers["content-disposition"]
    assert pq.read_table(io.BytesIO(answer.content)).num_rows == 60


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        pytest.param("bytes=0-0", 0, 1, id="the first byte"),
        pytest.param("bytes=4-7", 4, 8, id="some"),
        pytest.param("bytes=100-", 100, None, id="the rest"),
        pytest.param("bytes=-8", -8, None, id="the end, as Parquet readers ask"),
        pytest.param("bytes=-99999999", 0, None, id="more of the end than there is"),
        pytest.param("bytes=8-99999999", 8, None, id="up to behind the end"),
    ],
)
def test_a_range_is_a_part_of_the_file(
    live: Live, run: runs.Run, whole: bytes, asked: str, start: int, stop: int | None
) -> None:
    answer = get(live, run.run_id, range=asked)

    expected = whole[start:stop]
    first = len(whole) + start if start < 0 else start
    last = first + len(expected) - 1
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,4-5", "lines=0-1", "bytes=x-y", "bytes=5-2", "bytes=-", "bytes", "bytes=1_0-20"],
)
def test_what_is_no_single_range_gets_the_whole_file(
    live: Live, run: runs.Run, whole: bytes, asked: str
) -> None:
    answer = get(live, run.run_id, range=asked)

    assert (answer.status_code, len(answer.content)) == (200, len(whole))


@pytest.mark.parametrize("asked", ["bytes={size}-", "bytes=999999999-", "bytes=-0"])
def test_a_range_behind_the_end_says_how_long_the_file_is(
    live: Live, run: runs.Run, whole: bytes, asked: str
) -> None:
    answer = get(live, run.run_id, range=asked.format(size=len(whole)))

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"
    assert answer.json()["facts"]["bytes"] == len(whole)


def test_a_download_is_resumed_only_if_the_file_is_the_same(
    live: Live, run: runs.Run, whole: bytes
) -> None:
    same = get(live, run.run_id, range="bytes=10-", if_range=f'"{run.result_sha}"')
    other = get(live, run.run_id, range="bytes=10-", if_range='"another"')

    assert (same.status_code, same.content) == (206, whole[10:])
    assert (other.status_code, other.content) == (200, whole)


def test_who_has_the_file_already_gets_no_second_one(live: Live, run: runs.Run) -> None:
    answer = get(live, run.run_id, if_none_match=f'"x", W/"{run.result_sha}"')

    assert (answer.status_code, answer.content) == (304, b"")


def test_head_tells_size_and_digest_and_nothing_else(
    live: Live, run: runs.Run, whole: bytes
) -> None:
    answer = get(live, run.run_id, "HEAD")
    part = get(live, run.run_id, "HEAD", range="bytes=0-3")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole))
    assert (part.status_code, part.headers["content-length"]) == (206, "4")


def test_a_download_needs_a_token_for_data_and_no_other(live: Live, run: runs.Run) -> None:
    address = url(live, run.run_id)
    none = httpx2.get(address)
    other = httpx2.get(address, headers={"authorization": f"Bearer {live.token('backtest')}"})
    posted = httpx2.post(address, headers={"authorization": f"Bearer {live.token('data')}"})

    assert (none.status_code, other.status_code, posted.status_code) == (401, 401, 405)
    assert 'scope="data:read"' in none.headers["www-authenticate"]
    assert "/.well-known/oauth-protected-resource/data/mcp" in none.headers["www-authenticate"]


def test_a_page_of_somebody_else_may_not_download(live: Live, run: runs.Run) -> None:
    assert get(live, run.run_id, origin="http://evil.test").status_code == 403
    assert get(live, run.run_id, host="evil.test").status_code == 421


@pytest.mark.parametrize(
    "export_id",
    ["0" * 26, "..%2F..%2Fsecrets", "%2e%2e", "A" * 26, "x" * 5_000, "a%00b", "é"],
)
def test_what_is_no_export_is_not_there(live: Live, export_id: str) -> None:
    answer = get(live, export_id)

    assert answer.status_code in (400, 404)
    assert str(live.office.home.root) not in answer.text


def test_another_kind_of_run_is_no_export(live: Live, desk: Desk) -> None:
    for kind in ("backtest", "data"):
        assert get(live, desk.submit(kind).run_id).status_code == 404


def test_an_export_that_has_not_ended_has_no_file_yet(live: Live, workshop: Workshop) -> None:
    answer = get(live, submitted(workshop, TABLE, name="pier-waits").run_id)

    assert (answer.status_code, answer.json()["facts"]["status"]) == (404, "queued")


def test_an_export_that_has_expired_is_gone(live: Live, workshop: Workshop) -> None:
    found = exported(workshop, TABLE, symbols=["BBB.TEST"])
    (workshop.home.artifacts / "exports" / f"{found.result_sha}.parquet").unlink()

    answer = get(live, found.run_id)

    assert (answer.status_code, answer.json()["code"]) == (410, "export_expired")
    assert answer.json()["hint"]


def test_it_expires_by_the_clock_a_week_after_it_ended(live: Live, run: runs.Run) -> None:
    def at(days: float) -> Office:
        assert run.finished_at is not None
        clock = FrozenClock(run.finished_at + dt.timedelta(days=days))
        return dataclasses.replace(live.office, clock=clock)

    assert exports.find(at(6.99), run.run_id).sha256 == run.result_sha
    with pytest.raises(exports.ExportExpiredError):
        exports.find(at(7), run.run_id)


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_an_mcp_client_reads_metadata_and_then_the_bytes(
    live: Live, run: runs.Run, whole: bytes, era: str
) -> None:
    uri = f"data://exports/{run.run_id}"
    async with Client(live.url("data"), auth=BearerAuth(live.token("data")), mode=era) as client:
        about = await read(client, uri)
        parts = [
            await read(client, f"{uri}/content?offset={start}&length=1000")
            for start in range(0, len(whole), 1000)
        ]
        everything = await read(client, f"{uri}/content")

    assert f'"sha256":"{run.result_sha}"' in about
    assert f'"url":"{url(live, run.run_id)}"' in about
    assert b"".join(parts) == everything == whole


@pytest.mark.parametrize("query", ["offset=-1", f"length={2 * MIB}", "offset=x", "length=0"])
async def test_a_range_over_mcp_is_capped(live: Live, run: runs.Run, query: str) -> None:
    async with Client(live.url("data"), auth=BearerAuth(live.token("data"))) as client:
        with pytest.raises(MCPError, match=r"bytes|offset") as refused:
            await read(client, f"data://exports/{run.run_id}/content?{query}")
    assert refused.value.data["code"] == "invalid_arguments"
    assert refused.value.data["hint"]


def test_a_query_belongs_to_the_template_that_names_it() -> None:
    pattern = _pattern("data://exports/{id}/content{?offset,length}")

    assert pattern.fullmatch("data://exports/x/content?offset=1&length=2")
    assert pattern.fullmatch("data://exports/x/content")
    assert not pattern.fullmatch("data://exports/x?y/content")
    assert not _pattern("data://exports/{id}").fullmatch("data://exports/x/content?offset=1")


async def read(client: Client[Any], uri: str) -> Any:
    (one,) = await client.read_resource(uri)
    text = getattr(one, "text", None)
    return text if text is not None else base64.b64decode(one.blob)  # type: ignore[union-attr]
