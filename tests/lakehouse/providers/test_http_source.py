"""Provider ``http``: whatever the topology describes, page by page, going on from what is there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import ProviderError
from lakehouse.providers.http_source import Http
from tests.kit.endpoints import COLUMNS, DAYS, bar, bars, described, rows, window
from tests.kit.providers_remote import QUICK, SECRET, Steps, allowing, asking
from tests.kit.vendor import Asked, Reply, Vendor, as_json
from topology.errors import BadInputError


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor(lambda asked: as_json({"data": {"bars": window(asked)}})) as listening:
        yield listening


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
        link: dict[str, Any] = (
            {"Link": f'</first>; rel="first", <{onward}>; rel="next"'} if onward else {}
        )
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
