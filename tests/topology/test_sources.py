"""Section ``providers``: what may describe a source of data, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from topology import services
from topology.errors import TopologyError
from topology.services import load

URL = "https://data.example.com/v1/{symbol}?from={start}"
ALLOW = [{"host": "data.example.com", "port": 443, "for": ["ingest"]}]


def written(folder: Path, *, allow: list[dict[str, Any]] = ALLOW, **keys: Any) -> Path:
    """Write the packaged map with one source of kind http, some keys changed."""
    data: dict[str, Any] = yaml.safe_load(services.PACKAGED.read_text())
    source = {"kind": "http", "url": URL, **keys}
    data |= {
        "providers": {"example": {name: value for name, value in source.items() if value != ""}},
        "credentials": {"example": {"from": "env:EXAMPLE_KEY"}},
        "egress": {"allow": allow},
    }
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return file


def test_a_source_needs_a_url_and_a_line_of_egress_alone(tmp_path: Path) -> None:
    source = load({}, path=written(tmp_path)).providers["example"]
    assert source.kind == "http"
    assert source.places == {"symbol", "start"}
    assert source.resolutions == {"1d": "1d"}
    assert source.bounds.attempts == 5


FINE = [
    pytest.param({"headers": {"X-Key": {"credential": "example"}, "Accept": "a/b"}}, id="headers"),
    pytest.param({"query": {"apikey": {"credential": "example"}, "fmt": "json"}}, id="query"),
    pytest.param({"pagination": {"kind": "cursor", "path": "a.b"}, "url": f"{URL}&c={{cursor}}"},
                 id="cursor"),
    pytest.param({"pagination": {"kind": "link"}}, id="link header"),
    pytest.param({"times": {"unit": "ms", "label": "start", "close": "24:00"}}, id="crypto days"),
    pytest.param({"symbols": {"BRK.B.NYSE": "BRK/B"}, "exchange": "NASDAQ"}, id="symbols"),
]  # fmt: skip


@pytest.mark.parametrize("keys", FINE)
def test_what_a_source_may_say(keys: dict[str, Any], tmp_path: Path) -> None:
    assert load({}, path=written(tmp_path, **keys)).providers["example"].kind == "http"


WRONG = [
    pytest.param({"url": "http://data.example.com/"}, "url", "https", id="without TLS"),
    pytest.param({"url": "https://data.example.com/{ticker}"}, "url", "{ticker} is no place",
                 id="an unknown place"),
    pytest.param({"url": "https://data.example.com/{symbol"}, "url", "not closed", id="a brace"),
    pytest.param({"url": "https://data.example.com/{symbol.__class__}"}, "url", "no place",
                 id="a way into objects"),
    pytest.param({"url": "https://data.example.com/{symbol!r}"}, "url", "no place", id="repr"),
    pytest.param({"url": "https://{symbol}.example.com/"}, "url", "name its host",
                 id="a host that changes"),
    pytest.param({"url": "https://me@data.example.com/"}, "url", "literal secret", id="a user"),
    pytest.param({"url": f"{URL}&apikey=12345"}, "url", "must hold no key", id="a key"),
    pytest.param({"url": f"{URL}#x"}, "url", "fragment", id="a fragment"),
    pytest.param({"url": ""}, "url", "missing", id="no url"),
    pytest.param({"kind": "htp"}, "example", "http", id="a misspelt kind"),
    pytest.param({"column": {}}, "column", "Did you mean 'columns'?", id="a misspelt key"),
    pytest.param({"columns": {"closed": "c"}}, "columns", "Did you mean 'close'?", id="a column"),
    pytest.param({"headers": {"X-Key": {"credential": "exampl"}}}, "headers.X-Key",
                 "Did you mean 'example'?", id="no such credential"),
    pytest.param({"headers": {"token": "abc"}}, "headers.token", "literal secret",
                 id="a literal secret"),
    pytest.param({"headers": {"X-Key": "eyJhbGciOi.x.y"}}, "headers.X-Key", "literal secret",
                 id="a token"),
    pytest.param({"symbols": {"aapl": "AAPL"}}, "symbols", "TICKER.EXCHANGE", id="no symbol"),
    pytest.param({"times": {"timezone": "New York"}}, "timezone", "time zone", id="no zone"),
    pytest.param({"times": {"unit": "minutes"}}, "unit", "ms", id="no unit"),
    pytest.param({"pagination": {"kind": "pages"}}, "pagination", "page", id="no pagination"),
    pytest.param({"pagination": {"kind": "page"}}, "pagination", "{page} or {offset}",
                 id="pages without a place"),
    pytest.param({"pagination": {"kind": "cursor", "path": "x"}}, "pagination", "{cursor}",
                 id="a cursor without a place"),
    pytest.param({"resolutions": {"5m": "5"}}, "resolutions", "", id="no resolution"),
    pytest.param({"bounds": {"attempts": 0}}, "attempts", "greater", id="no attempt"),
    pytest.param({"allow": []}, "url",
                 "- {host: data.example.com, port: 443, for: [ingest]}", id="not let out"),
    pytest.param({"allow": [{**ALLOW[0], "for": ["stores"]}]}, "url", "for: [ingest]",
                 id="let out for something else"),
    pytest.param({"kind": "yfinance", "url": "", "mirror": "http://127.0.0.1:8100"}, "mirror",
                 "- {host: 127.0.0.1, port: 8100, for: [ingest]}", id="a mirror on this machine"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "path", "what"), WRONG)
def test_each_mistake_names_its_place_and_its_cure(
    keys: dict[str, Any], path: str, what: str, tmp_path: Path
) -> None:
    with pytest.raises(TopologyError) as refused:
        load({}, path=written(tmp_path, **keys))
    found = refused.value.facts["errors"]
    assert any(path in one["path"] and what in one["problem"] for one in found), found
    assert all(one["line"] > 1 for one in found)
    assert "12345" not in str(refused.value)


PURPOSES = [
    pytest.param({"for": ["ingst"]}, "Did you mean 'ingest'?", id="a misspelt purpose"),
    pytest.param({"address": "private"}, "public or lan or loopback", id="no kind of address"),
    pytest.param({"host": "Data.example.com"}, "lower-case", id="capitals"),
]


@pytest.mark.parametrize(("keys", "what"), PURPOSES)
def test_a_line_of_egress_is_held_to_its_words(
    keys: dict[str, Any], what: str, tmp_path: Path
) -> None:
    with pytest.raises(TopologyError) as refused:
        load({}, path=written(tmp_path, allow=[{**ALLOW[0], **keys}]))
    assert any(what in one["problem"] for one in refused.value.facts["errors"])
