"""Provider ``http`` in trouble: bounded, whole or not at all, and no secret kept."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.errors import ProviderError
from lakehouse.providers.http_source import Http
from tests.kit.endpoints import COLUMNS, DAYS, bar, bars, described, rows, window
from tests.kit.providers_remote import QUICK, SECRET, Steps, allowing, asking
from tests.kit.vendor import BROKEN, BUSY, HTML, Asked, Reply, Vendor, as_json
from topology.errors import BadInputError, CredentialError, EgressDeniedError, HaltedError


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor(lambda asked: as_json({"data": {"bars": window(asked)}})) as listening:
        yield listening


# --- what goes wrong ----------------------------------------------------------------------------

WHOLE = as_json({"data": {"bars": [bar(day) for day in DAYS]}})


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(BROKEN, id="500"),
        pytest.param(BUSY, id="429"),
        pytest.param(HTML, id="a web page"),
        pytest.param(Reply(WHOLE.body, cut=100), id="broken off"),
        pytest.param(Reply(b'{"data": {"bars": [', framed=False), id="broken off, no length"),
    ],
)
def test_passing_trouble_is_waited_out(trouble: Reply, vendor: Vendor, tmp_path: Path) -> None:
    vendor.trouble = [trouble, trouble]
    assert bars(asking(vendor, described(vendor), tmp_path)).num_rows == len(DAYS)
    assert len(vendor.seen) == 3


LASTING = [
    pytest.param(BROKEN, "status_500", 500, 3, "status 500", id="500"),
    pytest.param(BUSY, "status_429", 429, 3, "per_second", id="429"),
    pytest.param(HTML, "html", 200, 3, "web page", id="a web page"),
    pytest.param(Reply(WHOLE.body, cut=100), "truncated", None, 3, "broke off", id="broken off"),
    pytest.param(Reply(b"{'no': json}"), "content", None, 3, "not JSON", id="no JSON"),
    pytest.param(Reply(b"[" * 100_000), "content", None, 3, "not JSON", id="a JSON bomb"),
    pytest.param(Reply(b"", 401), "status_401", 401, 1, "credential", id="401"),
    pytest.param(Reply(b"", 404), "status_404", 404, 1, "symbol", id="404"),
    pytest.param(as_json({"error": "limit"}), "content", None, 1, "'data.bars'", id="other JSON"),
    pytest.param(as_json({"data": {"bars": 5}}), "content", None, 1, "no list", id="no rows"),
    pytest.param(as_json({"data": {"bars": [1, 2]}}), "content", None, 1, "objects", id="numbers"),
    pytest.param(
        as_json({"data": {"bars": [{"A": 1, "a": 2}]}}), "content", None, 1, "twice", id="twins"
    ),
    pytest.param(
        Reply(b"", 429, {"Retry-After": "86400"}), "status_429", 429, 1, "later", id="ban"
    ),
]


@pytest.mark.parametrize(("trouble", "reason", "status", "attempts", "words"), LASTING)
def test_lasting_trouble_ends_in_one_clear_error(
    trouble: Reply,
    reason: str,
    status: int | None,
    attempts: int,
    words: str,
    vendor: Vendor,
    tmp_path: Path,
) -> None:
    vendor.handler = lambda asked: trouble
    with pytest.raises(ProviderError, match="gave nothing usable") as told:
        list(Http().fetch(asking(vendor, described(vendor), tmp_path)))
    error = told.value
    assert (error.facts["reason"], error.facts["attempts"]) == (reason, attempts)
    assert error.facts.get("status") == status
    assert error.hint.startswith("Nothing was written.")
    assert words in error.message + error.hint
    assert len(vendor.seen) == attempts


def test_a_slow_drip_ends_with_the_time_of_the_request(vendor: Vendor, tmp_path: Path) -> None:
    """Each byte comes in time, the answer as a whole does not."""
    vendor.handler = lambda asked: Reply(WHOLE.body, drip_s=0.05)
    plan = described(vendor, bounds={**QUICK, "timeout_s": 0.3, "attempts": 2})
    began = time.monotonic()
    with pytest.raises(ProviderError, match=r"took longer than 0\.3 s"):
        list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("framed", [True, False])
def test_a_gigantic_answer_is_not_taken_in(framed: bool, vendor: Vendor, tmp_path: Path) -> None:
    vendor.handler = lambda asked: Reply(b" " * 100_000, framed=framed)
    plan = described(vendor, bounds={**QUICK, "page_bytes": 4096})
    with pytest.raises(ProviderError, match="larger than 4096 bytes"):
        list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert len(vendor.seen) == 1


def test_a_packed_bomb_is_not_unpacked(vendor: Vendor, tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    vendor.handler = lambda asked: Reply(bomb, 200, {"Content-Encoding": "gzip"})
    plan = described(vendor, bounds={**QUICK, "page_bytes": 1 << 20})
    with pytest.raises(ProviderError, match="larger than"):
        list(Http().fetch(asking(vendor, plan, tmp_path)))


def test_a_packed_answer_is_unpacked_and_a_cut_one_noticed(vendor: Vendor, tmp_path: Path) -> None:
    packed = gzip.compress(WHOLE.body)
    vendor.trouble = [Reply(packed[:60], 200, {"Content-Encoding": "gzip"}, framed=False)]
    vendor.handler = lambda asked: Reply(packed, 200, {"Content-Encoding": "gzip"})
    assert bars(asking(vendor, described(vendor), tmp_path)).num_rows == len(DAYS)
    assert len(vendor.seen) == 2


def test_csv_that_ends_in_the_middle_of_a_line_is_cut(vendor: Vendor, tmp_path: Path) -> None:
    """187.2 cut to 18 would be a price: without a length only the end of the line tells."""
    vendor.handler = lambda asked: Reply(b"t,o,h,l,c,v\n2024-01-02,1,1,1,18", framed=False)
    with pytest.raises(ProviderError, match="last line has no end"):
        list(Http().fetch(asking(vendor, described(vendor, format="csv"), tmp_path)))


def test_nobody_listens(vendor: Vendor, tmp_path: Path) -> None:
    with Vendor() as gone:
        plan, egress = described(gone), allowing(gone.port)
    with pytest.raises(ProviderError, match="ConnectionRefusedError"):
        list(Http().fetch(asking(vendor, plan, tmp_path, egress=egress)))


def test_a_missing_column_names_the_nearest(vendor: Vendor, tmp_path: Path) -> None:
    plan = described(vendor, columns={**COLUMNS, "timestamp": "tt"})
    with pytest.raises(ProviderError, match="gives no column 'tt'") as told:
        list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert told.value.facts["nearest"] == ["t"]


def test_a_halt_ends_the_work_between_two_pages(vendor: Vendor, tmp_path: Path) -> None:
    vendor.handler = lambda asked: as_json([bar(DAYS[int(asked.query["p"]) % 5])])
    plan = described(
        vendor, url=f"{vendor.url}/{{symbol}}?p={{page}}", rows="", pagination={"kind": "page"}
    )
    with pytest.raises(HaltedError):
        list(Http().fetch(asking(vendor, plan, tmp_path, progress=Steps(halt_after=2))))
    assert len(vendor.seen) == 2


def test_requests_are_paced(vendor: Vendor, tmp_path: Path) -> None:
    plan = described(vendor, bounds={**QUICK, "per_second": 20})
    began = time.monotonic()
    list(Http().fetch(asking(vendor, plan, tmp_path, symbols=("A.X", "B.X", "C.X"), end=DAYS[0])))
    assert time.monotonic() - began >= 2 / 20


# --- secrets and the way out --------------------------------------------------------------------


def test_a_secret_is_sent_and_nowhere_kept(vendor: Vendor, tmp_path: Path) -> None:
    """Not in bronze, not in pages on disk, not in an error, even where the vendor repeats it."""
    plan = described(
        vendor,
        headers={"X-Key": {"credential": "example", "prefix": "Bearer "}, "X-Plain": "yes"},
        query={"apikey": {"credential": "example"}, "fmt": "json"},
        rows="",
    )
    vendor.handler = lambda asked: as_json([{**bar(DAYS[0]), "note": f"for {SECRET}"}])
    [payload] = Http().fetch(asking(vendor, plan, tmp_path))
    asked = vendor.seen[0]
    assert (asked.headers["x-key"], asked.headers["x-plain"]) == (f"Bearer {SECRET}", "yes")
    assert (asked.query["apikey"], asked.query["fmt"]) == (SECRET, "json")
    assert rows([payload]).column("note").to_pylist() == ["for [hidden]"]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in kept
    vendor.handler = lambda asked: Reply(f"<html>key {SECRET} is wrong".encode(), 200)
    with pytest.raises(ProviderError) as told:
        list(Http().fetch(asking(vendor, plan, tmp_path)))
    chain = [told.value, told.value.__cause__]
    assert SECRET not in json.dumps(told.value.body()) + "".join(map(repr, chain))


def test_a_secret_is_found_however_the_vendor_writes_it(vendor: Vendor, tmp_path: Path) -> None:
    secret = "a+b/c d=12345"
    plan = described(vendor, query={"apikey": {"credential": "example"}}, rows="")
    told = [secret, "a%2Bb%2Fc%20d%3D12345", "a%2Bb%2Fc+d%3D12345"]
    vendor.handler = lambda asked: as_json([{**bar(DAYS[0]), "note": note} for note in told])
    [payload] = Http().fetch(asking(vendor, plan, tmp_path, secret=secret))
    assert vendor.seen[0].query["apikey"] == secret
    assert rows([payload]).column("note").to_pylist() == ["[hidden]"] * 3


@pytest.mark.parametrize("secret", ["two\nlines-of-it", "schlüssel-12345", "nul\0nul"])
def test_a_secret_that_cannot_be_sent_is_not_shown(
    secret: str, vendor: Vendor, tmp_path: Path
) -> None:
    plan = described(vendor, headers={"X-Key": {"credential": "example"}})
    with pytest.raises(CredentialError, match="'example' holds a character") as told:
        list(Http().fetch(asking(vendor, plan, tmp_path, secret=secret)))
    assert secret not in told.value.message + told.value.hint + str(told.value.__cause__)
    assert vendor.dialled == 0


def test_a_date_to_try_again_counts_from_the_servers_own(vendor: Vendor, tmp_path: Path) -> None:
    """What our clock says does not matter; an hour is more than is waited for."""
    later = "Wed, 03 Jan 2024 13:00:00 GMT"

    def handler(asked: Asked) -> Reply:
        return Reply(b"", 503, {"Retry-After": later, "Date": "Wed, 03 Jan 2024 12:00:00 GMT"})

    vendor.handler = handler
    with pytest.raises(ProviderError) as told:
        list(Http().fetch(asking(vendor, described(vendor), tmp_path)))
    assert (told.value.facts["retry_after_s"], told.value.facts["attempts"]) == (3600.0, 1)


def test_a_place_that_is_not_listed_sees_no_connection(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(EgressDeniedError) as denied:
        list(Http().fetch(asking(vendor, described(vendor), tmp_path, egress=allowing())))
    line = f"- {{host: 127.0.0.1, port: {vendor.port}, for: [ingest]}}"
    assert denied.value.facts["lines"] == [line]
    assert vendor.dialled == 0


def test_a_redirect_is_judged_like_any_address(vendor: Vendor, tmp_path: Path) -> None:
    with Vendor() as other:
        vendor.handler = lambda asked: Reply(b"", 302, {"Location": f"{other.url}/x"})
        with pytest.raises(EgressDeniedError):
            list(Http().fetch(asking(vendor, described(vendor), tmp_path)))
        assert other.dialled == 0


def test_a_secret_does_not_follow_a_redirect_to_another_host(
    vendor: Vendor, tmp_path: Path
) -> None:
    with Vendor(lambda asked: WHOLE) as other:
        vendor.handler = lambda asked: Reply(b"", 307, {"Location": f"{other.url}/x"})
        plan = described(vendor, headers={"Authorization": {"credential": "example"}})
        egress = allowing(vendor.port, other.port)
        assert list(Http().fetch(asking(vendor, plan, tmp_path, egress=egress)))
        assert "authorization" in vendor.seen[0].headers
        assert "authorization" not in other.seen[0].headers


def test_redirects_come_to_an_end(vendor: Vendor, tmp_path: Path) -> None:
    vendor.handler = lambda asked: Reply(b"", 302, {"Location": "/again"})
    with pytest.raises(ProviderError, match="redirects more than 5 times"):
        list(Http().fetch(asking(vendor, described(vendor), tmp_path)))


def test_proxies_of_the_environment_are_not_used(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Vendor() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert bars(asking(vendor, described(vendor), tmp_path)).num_rows == len(DAYS)
        assert proxy.dialled == 0


def test_another_resolution_than_the_endpoint_has_is_refused(
    vendor: Vendor, tmp_path: Path
) -> None:
    request = asking(vendor, described(vendor), tmp_path, table="alphaswarm_silver_market.bars_1m")
    with pytest.raises(BadInputError, match="no bars of 1m, but of 1d"):
        list(Http().fetch(request))
