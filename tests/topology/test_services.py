"""The map: what follows from it, what overlays and ports change, and every way it can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from topology import services
from topology.errors import AlphaSwarmError, BadInputError, TopologyError, UnknownNameError
from topology.fields import is_loopback
from topology.services import Topology, load, merge


def packaged() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(services.PACKAGED.read_text())
    return data


def write(path: Path, text: str) -> Path:
    file = path / "topology.yaml"
    file.write_text(text)
    return file


def changed(path: Path, **sections: Any) -> Path:
    """Write the packaged map with whole sections replaced."""
    return write(path, yaml.safe_dump({**packaged(), **sections}, sort_keys=False))


def errors(file: Path, **options: Any) -> list[str]:
    """Return ``path: problem`` of every error of a file."""
    with pytest.raises(TopologyError) as refused:
        load({}, path=file, **options)
    return [f"{e['path']}: {e['problem']}" for e in refused.value.facts["errors"]]


# --- what follows from the packaged map ---------------------------------------------------------


def test_every_address_starts_with_the_base() -> None:
    face = load({}).face("data")
    assert face.url == "http://localhost:8000/data/mcp"
    assert face.audience == face.url
    assert face.issuer == "http://localhost:8000/as"
    assert face.prm_url == ("http://localhost:8000/.well-known/oauth-protected-resource/data/mcp")
    assert (face.scopes, face.read_scope) == (("data:read", "data:write"), "data:read")


def test_the_servers_of_today_are_data_backtest_and_control() -> None:
    assert list(load({}).faces) == ["data", "backtest", "control"]


def test_an_unknown_server_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError) as refused:
        load({}).face("bactest")
    assert refused.value.hint == "Did you mean 'backtest'?"
    assert refused.value.facts["nearest"] == ["backtest"]


@pytest.mark.parametrize(
    ("environ", "port", "expected"),
    [
        pytest.param({}, None, 8000, id="the file's"),
        pytest.param({"ALPHASWARM_PORT": "8123"}, None, 8123, id="the environment's"),
        pytest.param({"ALPHASWARM_PORT": "8123"}, 9000, 9000, id="the argument wins"),
    ],
)
def test_the_port_is_replaced_before_anything_is_derived(
    environ: dict[str, str], port: int | None, expected: int
) -> None:
    topology = load(environ, port=port)
    urls = [topology.base_url, topology.issuer_url()]
    for face in topology.faces.values():
        urls += [face.url, face.audience, face.issuer, face.prm_url]
    assert topology.listen.port == expected
    assert {url.split("/")[2] for url in urls} == {f"localhost:{expected}"}


@pytest.mark.parametrize("text", ["0", "65536", "80a", "-1", "١٢", "1" * 4000])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="is not a port") as refused:
        load({"ALPHASWARM_PORT": text})
    assert len(str(refused.value)) < 100


def test_an_ingress_keeps_its_own_port(tmp_path: Path) -> None:
    file = changed(tmp_path, base_url="https://suite.example")
    topology = load({}, path=file, port=9000)
    assert (topology.listen.port, topology.base_url) == (9000, "https://suite.example")
    assert topology.face("data").audience == "https://suite.example/data/mcp"


def test_an_audience_of_its_own_is_kept_beside_the_url(tmp_path: Path) -> None:
    servers = packaged()["servers"]
    servers["data"] |= {"url": "https://a.example/d/mcp", "audience": "https://api.example/data"}
    face = load({}, path=changed(tmp_path, servers=servers)).face("data")
    assert (face.url, face.audience) == ("https://a.example/d/mcp", "https://api.example/data")
    assert face.prm_url == "https://a.example/.well-known/oauth-protected-resource/d/mcp"


def test_the_hash_covers_what_was_merged(tmp_path: Path) -> None:
    respelt = write(tmp_path, yaml.safe_dump(packaged(), sort_keys=True))
    assert load({}, path=respelt).sha256 == load({}).sha256
    assert load({}, port=8001).sha256 != load({}).sha256


def test_the_map_cannot_be_changed() -> None:
    topology = load({})
    with pytest.raises(ValueError, match="frozen"):
        topology.base_url = "http://localhost:1"  # type: ignore[misc]  # that is the point


# --- profiles -----------------------------------------------------------------------------------


def profiled(tmp_path: Path) -> Path:
    overlay = {
        "base_url": "https://suite.example",
        "listen": {"hosts": ["0.0.0.0"]},
        "clients": {"alphaswarm-cli": None, "alphaswarm-worker": None},
        "limits": {"sql": {"timeout_s": 9}},
    }
    return changed(tmp_path, profiles={"cluster": overlay, "broken": {"limits": {"sqll": 1}}})


def test_an_overlay_replaces_lists_deletes_nulls_and_keeps_the_rest(tmp_path: Path) -> None:
    topology = load({"ALPHASWARM_PROFILE": "cluster"}, path=profiled(tmp_path))
    assert topology.base_url == "https://suite.example"
    assert topology.listen.hosts == ("0.0.0.0",)
    assert topology.listen.port == 8000
    assert topology.clients == {}
    assert (topology.limits.sql.timeout_s, topology.limits.sql.memory_mb) == (9, 256)


def test_an_error_in_an_overlay_points_into_the_overlay(tmp_path: Path) -> None:
    found = errors(profiled(tmp_path), profile="broken")
    assert found == ["profiles.broken.limits.sqll: unknown key. Did you mean 'sql'?"]


def test_an_overlay_that_is_not_chosen_does_nothing(tmp_path: Path) -> None:
    assert load({}, path=profiled(tmp_path)).base_url == "http://localhost:8000"


def test_an_unknown_profile_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="No profile is called 'custer'") as refused:
        load({"ALPHASWARM_PROFILE": "custer"}, path=profiled(tmp_path))
    assert refused.value.hint == "Did you mean 'cluster'?"
    assert refused.value.facts["source"] == "ALPHASWARM_PROFILE"


@pytest.mark.parametrize(
    ("base", "overlay", "expected"),
    [
        pytest.param({"a": "b"}, {"a": "c"}, {"a": "c"}, id="replace"),
        pytest.param({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}, id="add"),
        pytest.param({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}, id="null deletes"),
        pytest.param({"a": ["b"]}, {"a": "c"}, {"a": "c"}, id="a list is a value"),
        pytest.param({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}, id="lists replace"),
        pytest.param(
            {"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}, id="nested"
        ),
        pytest.param({"e": None}, {"a": 1}, {"e": None, "a": 1}, id="null in the base stays"),
        pytest.param({"a": "foo"}, "bar", "bar", id="not a mapping"),
        pytest.param({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}, id="RFC 7396 last"),
    ],
)
def test_merging_follows_the_table_of_rfc_7396(base: Any, overlay: Any, expected: Any) -> None:
    assert merge(base, overlay) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
mappings = st.dictionaries(st.text(max_size=2), json_values, max_size=4)


@settings(deadline=None)
@given(base=mappings, overlay=mappings)
def test_an_overlay_laid_twice_is_laid_once(base: Any, overlay: Any) -> None:
    once = merge(base, overlay)
    assert merge(once, overlay) == once


# --- every way it can be wrong ------------------------------------------------------------------

EVERYTHING_WRONG = """\
version: 1
listen: {hosts: [0.0.0.0, "::1"], port: 8000}
base_url: http://localhost:8000
issuers:
  local: {kind: embeded, path: /as}
servers:
  data: {path: /data/mcp, issuer: local, scopes: ["data:read"], audiance: "http://x"}
  backtest: {path: /b/mcp, issuer: locl, scopes: ["backtest:read"]}
  backtest: {path: /x/mcp, issuer: local, scopes: ["backtest:read"]}
  other: {path: /o/mcp, issuer: local, scopes: ["other:read"], audience: "http://localhost:8000/data/mcp"}
workers: {control: {threads: 1}, interactive: {threads: 1}, batch: {threads: 0}}
stores:
  postgres: {kind: embedded}
  valkey: {kind: url, url: "redis://u:hunter2@cache.example.com"}
  warehouse: {path: warehouse}
  catalog: {kind: sql}
ingest: {folders: [no, 2024-01-02]}
limits: {password: "Tr0ub4dor&3"}
"""


def test_all_errors_come_at_once_each_with_its_place(tmp_path: Path) -> None:
    file = write(tmp_path, EVERYTHING_WRONG)
    with pytest.raises(TopologyError) as refused:
        load({}, path=file)
    assert [line.removeprefix(f"{file}:") for line in str(refused.value).splitlines()] == [
        "2:18: listen.hosts[0]: the embedded profile listens on loopback only: 127.0.0.1 or '::1'",
        "5:11: issuers.local.kind: must be embedded or oidc. Did you mean 'embedded'?",
        "7:65: servers.data.audiance: unknown key. Did you mean 'audience'?",
        "8:28: servers.backtest.issuer: no such issuer. Did you mean 'local'?",
        "9:3: servers.backtest: the same key stands in line 8",
        "10:64: servers.other.audience: servers.data has the same audience",
        "11:69: workers.batch.threads: must be greater than or equal to 1",
        "14:23: stores.valkey.url: looks like a literal secret: name a credential instead",
        (
            "17:20: ingest.folders[0]: YAML reads this word as a boolean: write true or false, "
            "or quote it"
        ),
        "17:24: ingest.folders[1]: YAML reads this as a date: quote it",
        "18:10: limits.password: a literal secret has no place here: name a credential",
    ]
    body = refused.value.body()
    assert (body["code"], body["facts"]["errors"][2]["column"]) == ("invalid_topology", 65)
    assert "nothing was started" in body["hint"]
    for secret in ("hunter2", "Tr0ub4dor"):
        assert secret not in str(body)


SYNTAX = [
    pytest.param("a:\n\tb: 1\n", 2, 1, "a tab", id="tab"),
    pytest.param("version: &v 1\n", 1, 10, "an anchor", id="anchor"),
    pytest.param("version: *v\n", 1, 10, "an alias", id="alias"),
    pytest.param("version: !!python/none x\n", 1, 10, "a tag", id="tag"),
    pytest.param("version: 1\nbase_url: [\n", 3, 1, "not valid YAML", id="unclosed"),
    pytest.param("- 1\n", 1, 1, "must be a mapping", id="a list"),
    pytest.param("", 1, 1, "must be a mapping", id="empty"),
    pytest.param("--- {}\n--- {}\n", 2, 1, "not valid YAML", id="two documents"),
    pytest.param("no: 1\n", 1, 1, "'no' is not a text key", id="boolean key"),
    pytest.param("<<: {a: 1}\n", 1, 1, "'<<' is not a text key", id="merge key"),
    pytest.param("version: 0x1\n", 1, 10, "unusual base", id="hexadecimal"),
    pytest.param("version: 1_000\n", 1, 10, "unusual base", id="underscore"),
    pytest.param("version: 1:30\n", 1, 10, "unusual base", id="sexagesimal"),
    pytest.param("version: .inf\n", 1, 10, "unusual number", id="infinity"),
    pytest.param("version: yes\n", 1, 10, "as a boolean", id="yes"),
    pytest.param("version: NULL\n", 1, 10, "as null", id="NULL"),
    pytest.param("a: 1\na: 2\n", 2, 1, "the same key stands in line 1", id="equal keys"),
    pytest.param('a: "\\0"\n', 1, 4, "no text may hold", id="escaped NUL"),
    pytest.param('a: "\\ud800"\n', 1, 4, "no text may hold", id="half a character"),
    pytest.param('"\\ud800": 1\n', 1, 1, "not a text key", id="half a character as key"),
    pytest.param("version: 1.0e999\n", 1, 1, "must be 1", id="too large a number"),
    pytest.param("a: \x00\n", 1, 1, "not valid YAML", id="NUL"),
    pytest.param("a: " + "[" * 900, 1, 1, "not valid YAML", id="very deep"),
    pytest.param("a: " + "[" * 60 + "]" * 60, 1, 44, "nested too deep", id="deep"),
]


@pytest.mark.parametrize(("text", "line", "column", "what"), SYNTAX)
def test_yaml_that_means_something_else_is_refused(
    text: str, line: int, column: int, what: str, tmp_path: Path
) -> None:
    with pytest.raises(TopologyError) as refused:
        load({}, path=write(tmp_path, text))
    places = [
        (e["line"], e["column"]) for e in refused.value.facts["errors"] if what in e["problem"]
    ]
    assert places == [(line, column)]


def server(**keys: Any) -> dict[str, Any]:
    servers = packaged()["servers"]
    servers["data"] |= keys
    return {"servers": servers}


def remote(**keys: Any) -> dict[str, Any]:
    """A PostgreSQL by URL, allowed and encrypted, with some keys changed."""
    store = {"kind": "url", "url": "postgresql://db.example:5433", "sslmode": "verify-full"}
    allow = [{"host": "db.example", "port": 5433, "for": ["stores"]}]
    stores = {**packaged()["stores"], "postgres": {**store, **keys}}
    return {"stores": stores, "egress": {"allow": allow}}


EXCHANGE = {
    "client": "alphaswarm-worker",
    "source": "data",
    "targets": ["control"],
    "scopes": ["control:read"],
}
WRONG = [
    pytest.param(server(audience="HTTPS://a.example/d"), "data.audience", "lower-case", id="case"),
    pytest.param(
        server(audience="https://a.example:443/d"), "data.audience", "default port", id="port 443"
    ),
    pytest.param(server(audience="https://a.example/d/"), "data.audience", "slash", id="slash"),
    pytest.param(server(audience="https://a.example/d?x"), "data.audience", "query", id="query"),
    pytest.param(server(audience="https://a.example/d#x"), "data.audience", "fragment", id="hash"),
    pytest.param(server(audience="http://a.example/d"), "data.audience", "https", id="plain http"),
    pytest.param(server(audience="data"), "data.audience", "URL", id="no URL"),
    pytest.param(server(audience="http://[::1"), "data.audience", "not a URL", id="half address"),
    pytest.param(server(audience="http://localhost:99999/x"), "audience", "not a URL", id="port"),
    pytest.param(server(path="data"), "data.path", "a path such as", id="path"),
    pytest.param(server(path="/as"), "data.path", "issuers.local has the same", id="path taken"),
    pytest.param(server(scopes=["data:write"]), "data.scopes", "data:read", id="no read scope"),
    pytest.param(server(scopes=[]), "data.scopes", "not be empty", id="no scopes"),
    pytest.param(
        server(scopes=["data:read", "data:read"]), "scopes[1]", "stands above", id="scope twice"
    ),
    pytest.param({"version": 2}, "version", "must be 1", id="version"),
    pytest.param({"version": None}, "version", "must be 1", id="null"),
    pytest.param({"listen": {"port": 8000}}, "listen.hosts", "is missing", id="no hosts"),
    pytest.param(
        {"listen": {"hosts": ["localhost"], "port": 8000}}, "hosts[0]", "IP address", id="a name"
    ),
    pytest.param(
        {"listen": {"hosts": ["::1", "0:0::1"], "port": 8000}}, "hosts[1]", "above", id="host twice"
    ),
    pytest.param(
        {"listen": {"hosts": ["::1"], "port": "8000"}}, "listen.port", "integer", id="quoted port"
    ),
    pytest.param(
        {"listen": {"hosts": ["::1"], "port": 8001}}, "base_url", "another port", id="two ports"
    ),
    pytest.param({"base_url": "http://localhost:8000/x"}, "base_url", "no path", id="base path"),
    pytest.param({"base_url": "http://10.0.0.1:8000"}, "base_url", "https", id="base http"),
    pytest.param({"workers": {"control": {"threads": 1}}}, "workers", "'batch'", id="no batch"),
    pytest.param(
        {"workers": {"gpus": {"threads": 1}}}, "workers.gpus", "unknown key", id="a queue"
    ),
    pytest.param({"clients": {"c": {"redirects": ["x"]}}}, "redirects[0]", "'loopback'", id="uri"),
    pytest.param({"clients": {"c": {}}}, "c.redirects", "needs one", id="nowhere to go back to"),
    pytest.param(
        {"clients": {"c": {"redirects": ["https://*.x/cb"]}}},
        "redirects[0]",
        "pattern",
        id="wildcard",
    ),
    pytest.param(
        {"clients": {"c": {"grants": ["token_exchange"]}}}, "c.keys", "prove", id="no keys"
    ),
    pytest.param(
        {"clients": {"c": {"grants": ["client_credentials"], "keys": "home", "scopes": ["x:y"]}}},
        "c.scopes[0]",
        "no server",
        id="an unknown scope",
    ),
    pytest.param(
        {"clients": {"c": {"grants": ["device_code"], "scopes": ["data:read"]}}},
        "c.scopes",
        "of its own",
        id="scopes without the grant",
    ),
    pytest.param({"exchange": [EXCHANGE | {"client": "x"}]}, "client", "no such", id="who"),
    pytest.param(
        {"exchange": [EXCHANGE | {"client": "alphaswarm-cli"}]}, "client", "no grant", id="may not"
    ),
    pytest.param({"exchange": [EXCHANGE | {"source": "x"}]}, "source", "no such", id="from where"),
    pytest.param(
        {"exchange": [EXCHANGE | {"targets": ["x"]}]}, "targets", "no such", id="to where"
    ),
    pytest.param(
        {"exchange": [EXCHANGE | {"scopes": ["control:halt"]}]}, "scopes[0]", "step-up", id="halts"
    ),
    pytest.param({"limits": {"tokens": {"exchanged_s": 121}}}, "exchanged_s", "120", id="too long"),
    pytest.param({"credentials": {"c": {"from": "s3cr3t"}}}, "c.from", "reference", id="literal"),
    pytest.param({"credentials": {"c": {"from": "file:x"}}}, "c.from", "well-formed", id="file"),
    pytest.param({"credentials": {"c": {"value": "x"}}}, "c.from", "missing", id="no reference"),
    pytest.param({"egress": {"default": "allow"}}, "egress.default", "deny", id="egress open"),
    pytest.param({"ingest": {"folders": ["data"]}}, "folders[0]", "absolute", id="relative"),
    pytest.param({"limits": {"halt": {"grace_s": 9}}}, "halt.grace_s", "kill_s", id="grace"),
    pytest.param({"limits": {"lease_s": 1}}, "limits.reap_s", "lease_s", id="reaper"),
    pytest.param({"limits": {"spec": {"depth": True}}}, "spec.depth", "integer", id="true as 1"),
    pytest.param({"profiles": {"Prod": {}}}, "profiles.Prod", "a name", id="a profile's name"),
    pytest.param(remote(sslmode=None), "postgres.url", "encrypted", id="in clear"),
    pytest.param(remote(url="postgresql://db.exmple:5433"), "postgres.url", "egress", id="egress"),
    pytest.param(remote(url="postgresql://db.example:5433?x=1"), "url", "query", id="store query"),
    pytest.param(
        remote(credentials={"alphaswarm_app": "pg"}), "alphaswarm_app", "credential", id="no cred"
    ),
    pytest.param(remote(kind="sqlite"), "postgres.kind", "embedded or url", id="store kind"),
    pytest.param({"nonsense": 1}, "nonsense", "unknown key", id="a section"),
    pytest.param(
        {"registration": {"redirects": ["eyJhbGciOiJIUzI1NiJ9.x.y"]}},
        "redirects[0]",
        "literal secret",
        id="a token anywhere",
    ),
]


@pytest.mark.parametrize(("sections", "path", "what"), WRONG)
def test_each_mistake_is_named_alone(
    sections: dict[str, Any], path: str, what: str, tmp_path: Path
) -> None:
    found = errors(changed(tmp_path, **sections))
    assert any(line.partition(": ")[0].endswith(path) and what in line for line in found), found


def test_beyond_loopback_only_with_https(tmp_path: Path) -> None:
    open_to_all = {"hosts": ["0.0.0.0"], "port": 8000}
    file = changed(tmp_path, listen=open_to_all, profiles={"cluster": {}})
    assert errors(file, profile="cluster") == [
        "listen.hosts[0]: beyond loopback base_url must be https"
    ]
    file = changed(
        tmp_path,
        listen=open_to_all,
        base_url="https://suite.example",
        profiles={"cluster": {}},
    )
    assert load({}, path=file, profile="cluster").listen.hosts == ("0.0.0.0",)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"\xff\xfe\x00", "UTF-8", id="not text"),
        pytest.param(b"# " + b"x" * services.LARGEST, "larger than", id="too large"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    content: bytes | None, what: str, tmp_path: Path
) -> None:
    file = tmp_path / "map.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TopologyError, match=what) as refused:
        load({"ALPHASWARM_TOPOLOGY": str(file)})
    assert "ALPHASWARM_TOPOLOGY" in refused.value.hint


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_egress_allows_this_machine_and_what_is_listed(tmp_path: Path) -> None:
    allow = [{"host": "data.example.com", "port": 443, "for": ["ingest"]}]
    egress = load({}, path=changed(tmp_path, egress={"allow": allow})).egress
    assert egress.allows("localhost", 1)
    assert egress.allows("data.example.com", 443)
    assert not egress.allows("data.example.com", 80)
    assert not egress.allows("example.com", 443)


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
anything = st.recursive(
    leaves, lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(max_size=8), i, max_size=3)
)


@settings(deadline=None)
@given(section=st.sampled_from(sorted(Topology.model_fields)), value=anything)
def test_whatever_stands_in_a_section_ends_in_a_topology_or_our_error(
    section: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    try:
        load({}, path=changed(folder, **{section: value}))
    except AlphaSwarmError as refused:
        assert refused.facts["errors"]  # noqa: PT017  either end is right
