"""Provider ``http``: whatever the topology describes, whole or not at all, and no secret kept."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.errors import ProviderError
from lakehouse.providers.base import Payload, Request
from lakehouse.providers.http_source import Http
from tests.kit.providers_remote import QUICK, SECRET, Steps, allowing, asking, silver, source
from tests.kit.vendor import BROKEN, BUSY, HTML, Asked, Reply, Vendor, as_json
from topology.errors import BadInputError, EgressDeniedError, HaltedError

COLUMNS = {"timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
DAYS = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]


def bar(day: str, close: float = 10.5) -> dict[str, Any]:
    return {"t": day, "o": 10.0, "h": 11.0, "l": 9.5, "c": close, "v": 1000}


def window(asked: Asked) -> list[dict[str, Any]]:
    """Return the bars between ``from`` and ``to``, as an honest vendor does."""
    return [bar(day) for day in DAYS if asked.query["from"] <= day <= asked.query["to"]]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor(lambda asked: as_json({"data": {"bars": window(asked)}})) as listening:
        yield listening


def described(vendor: Vendor, **keys: Any) -> Any:
    defaults = {
        "kind": "http",
        "url": f"{vendor.url}/v1/{{symbol}}?from={{start}}&to={{end}}",
        "rows": "data.bars",
        "columns": COLUMNS,
    }
    return source(**{**defaults, **keys})


def rows(payloads: list[Payload]) -> pa.Table:
    return pa.Table.from_batches([b.rows for p in payloads for b in p.batches()])


def bars(request: Request) -> pa.Table:
    """Return what the silver table would get."""
    return silver(Http(), request)


# --- what an endpoint may look like -------------------------------------------------------------


def test_json_becomes_bars(vendor: Vendor, tmp_path: Path) -> None:
    found = bars(asking(vendor, described(vendor), tmp_path))
    assert found.column("vt_symbol").unique().to_pylist() == ["AAPL.NASDAQ"]
    assert found.column("timestamp").to_pylist() == [
        dt.datetime.fromisoformat(f"{day}T16:00:00Z") for day in DAYS
    ]
    assert vendor.seen[0].path == "/v1/AAPL"
    assert vendor.seen[0].query == {"from": "2024-01-02", "to": "2024-07-01"}


def test_bronze_keeps_each_value_as_the_text_that_came(vendor: Vendor, tmp_path: Path) -> None:
    text = '[{"t": "2024-01-02", "c": 1.10, "big": 12345678901234567890, "x": null, "y": {"z": 1}}]'
    vendor.handler = lambda asked: Reply(text.encode())
    request = asking(vendor, described(vendor, rows=""), tmp_path)
    [payload] = Http().fetch(request)
    assert rows([payload]).to_pylist() == [
        {
            "t": "2024-01-02",
            "c": "1.10",
            "big": "12345678901234567890",
            "x": None,
            "y": '{"z": "1"}',
            "vt_symbol": "AAPL.NASDAQ",
            "bar_time": "2024-01-02",
        }
    ]
    assert payload.source == "http:example/AAPL.NASDAQ/1"
    assert payload.table.startswith("alphaswarm_bronze_http.example_")


LAYOUTS = [
    pytest.param([bar(DAYS[0])], "", COLUMNS, id="a list of objects"),
    pytest.param(
        [[DAYS[0], 10.0, 11.0, 9.5, 10.5, 1000]], "",
        dict(zip(COLUMNS, "012345", strict=True)), id="a list of lists",
    ),
    pytest.param(
        {"s": "ok", **{name: [value] for name, value in bar(DAYS[0]).items()}}, "",
        COLUMNS, id="an object of lists",
    ),
    pytest.param({"a": [{"b": [bar(DAYS[0])]}]}, "a.0.b", COLUMNS, id="deep inside"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "path", "columns"), LAYOUTS)
def test_three_layouts_of_json(
    answer: Any, path: str, columns: dict[str, str], vendor: Vendor, tmp_path: Path
) -> None:
    vendor.handler = lambda asked: as_json(answer)
    found = bars(asking(vendor, described(vendor, rows=path, columns=columns), tmp_path))
    assert found.column("close").to_pylist() == [10.5]


def test_csv_becomes_bars_and_a_line_that_is_no_row_is_told(vendor: Vendor, tmp_path: Path) -> None:
    text = "t,o,h,l,c,v\n2024-01-02,10,11,9.5,10.5,1000\nwhat\n2024-01-03,10,11,9.5,10.6,\n"
    vendor.handler = lambda asked: Reply(text.encode(), 200, {"Content-Type": "text/csv"})
    request = asking(vendor, described(vendor, format="csv"), tmp_path)
    [payload] = Http().fetch(request)
    batches = list(payload.batches())
    assert [line.row for batch in batches for line in batch.broken] == [2]
    assert bars(request).column("close").to_pylist() == [10.5, 10.6]


TIMES = [
    pytest.param("s", 1704207600, "2024-01-02T15:00:00", id="seconds"),
    pytest.param("ms", 1704207600000, "2024-01-02T15:00:00", id="milliseconds"),
    pytest.param("us", 1704207600000000, "2024-01-02T15:00:00", id="microseconds"),
    pytest.param("ns", 1704207600000000000, "2024-01-02T15:00:00", id="nanoseconds"),
    pytest.param("s", 1704207600.5, "2024-01-02T15:00:00.5", id="half a second"),
    pytest.param("text", "2024-01-02T10:00:00", "2024-01-02T15:00:00", id="local text"),
    pytest.param("text", "2024-01-02T15:00:00Z", "2024-01-02T15:00:00", id="text with a zone"),
]


@pytest.mark.parametrize(("unit", "value", "start"), TIMES)
@pytest.mark.parametrize("label", ["start", "end"])
def test_times_of_an_hour(
    unit: str, value: Any, start: str, label: str, vendor: Vendor, tmp_path: Path
) -> None:
    vendor.handler = lambda asked: as_json([bar(value)])
    times = {"unit": unit, "label": label, "timezone": "America/New_York"}
    request = asking(
        vendor,
        described(vendor, rows="", times=times, resolutions={"1h": "60min"}),
        tmp_path,
        table="alphaswarm_silver_market.bars_1h",
    )
    hour = dt.timedelta(hours=1 if label == "start" else 0)
    expected = dt.datetime.fromisoformat(f"{start}+00:00") + hour
    assert bars(request).column("timestamp").to_pylist() == [expected]


@pytest.mark.parametrize(
    ("value", "unit"),
    [(1704171600, "s"), ("2024-01-02T05:00:00Z", "text"), ("2024-01-02", "text")],
)
def test_a_day_labelled_by_its_start_ends_at_the_close(
    value: Any, unit: str, vendor: Vendor, tmp_path: Path
) -> None:
    """Midnight in New York is 05:00 UTC; the bar of that day ends at 16:00 there, 21:00 UTC."""
    vendor.handler = lambda asked: as_json([bar(value)])
    times = {"unit": unit, "label": "start", "timezone": "America/New_York"}
    found = bars(asking(vendor, described(vendor, rows="", times=times), tmp_path))
    assert found.column("timestamp").to_pylist() == [dt.datetime(2024, 1, 2, 21, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("date", "2024-01-02", "2024-01-05"),
        ("iso", "2024-01-02T05:00:00Z", "2024-01-06T04:59:59Z"),
        ("s", "1704171600", "1704517199"),
        ("ms", "1704171600000", "1704517199999"),
    ],
)
def test_how_an_endpoint_wants_to_be_asked(
    asked: str, start: str, end: str, vendor: Vendor, tmp_path: Path
) -> None:
    vendor.handler = lambda asked: as_json([bar(DAYS[0])])
    times = {"asked": asked, "timezone": "America/New_York"}
    list(Http().fetch(asking(vendor, described(vendor, rows="", times=times), tmp_path,
                             end="2024-01-05")))  # fmt: skip
    assert vendor.seen[0].query == {"from": start, "to": end}


def test_symbols_are_written_as_the_vendor_writes_them(vendor: Vendor, tmp_path: Path) -> None:
    plan = described(vendor, symbols={"BRK.B.NYSE": "BRK/B"})
    found = bars(asking(vendor, plan, tmp_path, symbols=("BRK.B.NYSE", "IBM.NYSE"), end=DAYS[0]))
    assert [asked.path for asked in vendor.seen] == ["/v1/BRK%2FB", "/v1/IBM"]
    assert found.column("vt_symbol").to_pylist() == ["BRK.B.NYSE", "IBM.NYSE"]


def test_one_answer_may_hold_all_symbols(vendor: Vendor, tmp_path: Path) -> None:
    answer = [{"s": "aapl", **bar(DAYS[0])}, {"s": "BRK/B", **bar(DAYS[0])}]
    vendor.handler = lambda asked: as_json(answer)
    plan = described(
        vendor,
        url=f"{vendor.url}/all",
        rows="",
        columns={**COLUMNS, "vt_symbol": "s"},
        symbols={"BRK.B.NYSE": "BRK/B"},
        exchange="NASDAQ",
    )
    found = bars(asking(vendor, plan, tmp_path, symbols=None, start=None))
    assert found.column("vt_symbol").to_pylist() == ["AAPL.NASDAQ", "BRK.B.NYSE"]


# --- pages --------------------------------------------------------------------------------------


def test_pages_end_with_an_empty_one(vendor: Vendor, tmp_path: Path) -> None:
    chunks = {"1": DAYS[:2], "2": DAYS[2:4], "3": DAYS[4:]}
    vendor.handler = lambda asked: as_json([bar(d) for d in chunks.get(asked.query["p"], [])])
    plan = described(
        vendor, url=f"{vendor.url}/{{symbol}}?p={{page}}", rows="", pagination={"kind": "page"}
    )
    steps = Steps()
    payloads = list(Http().fetch(asking(vendor, plan, tmp_path, progress=steps)))
    assert [asked.query["p"] for asked in vendor.seen] == ["1", "2", "3", "4"]
    assert [p.schema.names[0] for p in payloads] == ["t"] * 3
    assert rows(payloads).column("t").to_pylist() == DAYS
    assert [(f[2]["current"], f[1]) for f in steps.frames] == [
        (2, "example: AAPL.NASDAQ, page 1, 2 rows."),
        (4, "example: AAPL.NASDAQ, page 2, 2 rows."),
        (5, "example: AAPL.NASDAQ, page 3, 1 rows."),
        (5, "example: AAPL.NASDAQ, page 4, 0 rows."),
    ]


def test_a_page_that_is_not_full_is_the_last(vendor: Vendor, tmp_path: Path) -> None:
    def handler(asked: Asked) -> Reply:
        first = int(asked.query["o"])
        return as_json([bar(day) for day in DAYS[first : first + int(asked.query["n"])]])

    vendor.handler = handler
    plan = described(
        vendor,
        url=f"{vendor.url}/{{symbol}}?o={{offset}}&n={{size}}",
        rows="",
        pagination={"kind": "page", "size": 3},
    )
    payloads = list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert [asked.query["o"] for asked in vendor.seen] == ["0", "3"]
    assert rows(payloads).column("t").to_pylist() == DAYS


def test_a_cursor_is_followed_until_there_is_none(vendor: Vendor, tmp_path: Path) -> None:
    answers = {
        "": {"bars": [bar(DAYS[0])], "next": {"token": "a b/c"}},
        "a b/c": {"bars": [], "next": {"token": "z"}},
        "z": {"bars": [bar(DAYS[1])], "next": {"token": None}},
    }
    vendor.handler = lambda asked: as_json(answers[asked.query.get("c", "")])
    plan = described(
        vendor,
        url=f"{vendor.url}/{{symbol}}?c={{cursor}}",
        rows="bars",
        pagination={"kind": "cursor", "path": "next.token"},
    )
    payloads = list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert rows(payloads).column("t").to_pylist() == DAYS[:2]


@pytest.mark.parametrize("where", ["header", "body"])
def test_a_link_is_followed_and_gets_the_key_again(
    where: str, vendor: Vendor, tmp_path: Path
) -> None:
    """Vendors repeat the key in the next address, or leave it out; it is sent either way."""

    def handler(asked: Asked) -> Reply:
        page = int(asked.query.get("page", "1"))
        onward = f"/more?page={page + 1}&apikey={SECRET}" if page < 3 else None
        link: dict[str, Any] = {"Link": f'</first>; rel="first", <{onward}>; rel="next"'} if onward else {}
        body = {"bars": [bar(DAYS[page - 1])], "next": onward}
        return as_json(body, **(link if where == "header" else {}))

    vendor.handler = handler
    plan = described(
        vendor,
        url=f"{vendor.url}/{{symbol}}",
        rows="bars",
        query={"apikey": {"credential": "example"}},
        pagination={"kind": "link", "path": None if where == "header" else "next"},
    )
    payloads = list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert rows(payloads).column("t").to_pylist() == DAYS[:3]
    assert [asked.query["apikey"] for asked in vendor.seen] == [SECRET] * 3


def test_a_link_to_another_host_is_not_followed(vendor: Vendor, tmp_path: Path) -> None:
    with Vendor() as other:
        vendor.handler = lambda asked: as_json([bar(DAYS[0])], Link=f'<{other.url}/>; rel="next"')
        plan = described(vendor, rows="", pagination={"kind": "link"})
        egress = allowing(vendor.port, other.port)
        with pytest.raises(ProviderError, match="another host"):
            list(Http().fetch(asking(vendor, plan, tmp_path, egress=egress)))
        assert other.dialled == 0


@pytest.mark.parametrize(
    ("pagination", "url", "bounds", "why"),
    [
        ({"kind": "page"}, "?p={page}", {}, "same page again"),
        ({"kind": "cursor", "path": "next"}, "?c={cursor}", {}, "same page again"),
        ({"kind": "page"}, "?x={page}", {"pages": 3}, "more pages than bounds.pages"),
    ],
)
def test_pages_without_end_are_ended(
    pagination: dict[str, Any],
    url: str,
    bounds: dict[str, Any],
    why: str,
    vendor: Vendor,
    tmp_path: Path,
) -> None:
    days = iter(range(1, 1000))

    def handler(asked: Asked) -> Reply:
        day = f"2024-02-{next(days):02}" if "x" in asked.query else DAYS[0]
        return as_json({"bars": [bar(day)], "next": "n"})

    vendor.handler = handler
    plan = described(
        vendor,
        url=f"{vendor.url}/{{symbol}}{url}",
        rows="bars",
        pagination=pagination,
        bounds={**QUICK, **bounds},
    )
    with pytest.raises(ProviderError, match=why):
        list(Http().fetch(asking(vendor, plan, tmp_path)))
    assert len(vendor.seen) <= 4


# --- going on from what is there ----------------------------------------------------------------


def test_a_later_run_goes_on_with_one_bar_of_overlap(vendor: Vendor, tmp_path: Path) -> None:
    last = dt.datetime(2024, 1, 4, 16, tzinfo=dt.UTC)
    request = asking(vendor, described(vendor), tmp_path, start=None, since=lambda _: last)
    assert bars(request).column("timestamp").to_pylist()[0] == last
    assert vendor.seen[0].query["from"] == "2024-01-04"


def test_a_bar_that_ends_at_midnight_is_of_its_own_day(vendor: Vendor, tmp_path: Path) -> None:
    last = dt.datetime(2024, 1, 5, tzinfo=dt.UTC)  # the end of 4 January, 24:00
    plan = described(vendor, times={"close": "24:00"})
    request = asking(vendor, plan, tmp_path, start=None, since=lambda _: last)
    assert bars(request).column("timestamp").to_pylist()[0] == last
    assert vendor.seen[0].query["from"] == "2024-01-04"


def test_minutes_go_on_from_the_start_of_the_last_one(vendor: Vendor, tmp_path: Path) -> None:
    vendor.handler = lambda asked: as_json([])
    plan = described(vendor, rows="", times={"asked": "iso"}, resolutions={"1m": "1"})
    last = dt.datetime(2024, 1, 4, 16, 30, tzinfo=dt.UTC)
    request = asking(
        vendor,
        plan,
        tmp_path,
        start=None,
        since=lambda _: last,
        table="alphaswarm_silver_market.bars_1m",
    )
    assert list(Http().fetch(request)) == []
    assert vendor.seen[0].query["from"] == "2024-01-04T16:29:00Z"


def test_without_bars_and_without_a_start_nobody_knows_where_to_begin(
    vendor: Vendor, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="no bars yet") as refused:
        list(Http().fetch(asking(vendor, described(vendor), tmp_path, start=None)))
    assert refused.value.facts["path"] == "start"
    assert vendor.dialled == 0


def test_a_bar_that_still_grows_is_left_for_next_time(vendor: Vendor, tmp_path: Path) -> None:
    """At 15:59 the bar of the day is not finished: keeping it would make a false first value."""
    vendor.handler = lambda asked: as_json([bar("2024-01-02"), bar("2024-01-03")])
    plan, early = described(vendor, rows=""), dt.datetime(2024, 1, 3, 15, 59, tzinfo=dt.UTC)
    [before] = Http().fetch(asking(vendor, plan, tmp_path, now=early))
    assert rows([before]).column("t").to_pylist() == ["2024-01-02"]
    [after] = Http().fetch(asking(vendor, plan, tmp_path))
    assert rows([after]).column("t").to_pylist() == ["2024-01-02", "2024-01-03"]
    assert before.sha256 != after.sha256, "the same bytes, but not the same rows"


def test_the_same_answer_is_the_same_payload(vendor: Vendor, tmp_path: Path) -> None:
    request = asking(vendor, described(vendor), tmp_path, end=DAYS[-1])
    hashes = [p.sha256 for p in Http().fetch(request)]
    assert hashes == [p.sha256 for p in Http().fetch(request)]
    other = asking(vendor, described(vendor), tmp_path, end=DAYS[-1], symbols=("IBM.NYSE",))
    assert hashes != [p.sha256 for p in Http().fetch(other)], "whose rows they are counts"


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
