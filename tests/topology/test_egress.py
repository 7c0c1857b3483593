"""Nothing leaves this machine unless the topology names where to, what for and how far."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from topology.egress import Guard, line, reach_of
from topology.errors import BadInputError, EgressDeniedError
from topology.sections import Egress


def egress(*allow: dict[str, Any]) -> Egress:
    return Egress.model_validate({"allow": list(allow)})


def leading(*addresses: str) -> Any:
    """Return a lookup by which every name leads to ``addresses``."""

    def lookup(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return lookup


VENDOR = {"host": "data.example.com", "port": 443, "for": ["ingest"]}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("93.184.215.14", "public", id="the internet"),
        pytest.param("2606:4700::1111", "public", id="the internet, six"),
        pytest.param("127.0.0.1", "loopback", id="this machine"),
        pytest.param("127.8.8.8", "loopback", id="all of 127/8"),
        pytest.param("::1", "loopback", id="this machine, six"),
        pytest.param("::ffff:127.0.0.1", "loopback", id="four inside six"),
        pytest.param("::ffff:10.0.0.1", "lan", id="private inside six"),
        pytest.param("64:ff9b::7f00:1", "loopback", id="four behind NAT64"),
        pytest.param("2002:a00:1::", "lan", id="four inside 6to4"),
        pytest.param("10.1.2.3", "lan", id="private"),
        pytest.param("192.168.1.1", "lan", id="home"),
        pytest.param("100.64.0.1", "lan", id="carrier's"),
        pytest.param("fd12:3456::1", "lan", id="unique local"),
        pytest.param("169.254.169.254", "never", id="metadata"),
        pytest.param("::ffff:169.254.169.254", "never", id="metadata inside six"),
        pytest.param("fd00:ec2::254", "never", id="metadata, six"),
        pytest.param("100.100.100.200", "never", id="metadata elsewhere"),
        pytest.param("168.63.129.16", "never", id="metadata at a public address"),
        pytest.param("192.0.0.192", "never", id="metadata at a reserved one"),
        pytest.param("fec0::1", "lan", id="site-local, deprecated but routed"),
        pytest.param("169.254.1.1", "never", id="link-local"),
        pytest.param("fe80::1%eth0", "never", id="link-local with a zone"),
        pytest.param("0.0.0.0", "never", id="unspecified"),
        pytest.param("::", "never", id="unspecified, six"),
        pytest.param("224.0.0.1", "never", id="multicast"),
        pytest.param("255.255.255.255", "never", id="broadcast"),
    ],
)
def test_how_far_an_address_leads(address: str, expected: str) -> None:
    assert reach_of(address) == expected


def test_a_listed_place_is_reached_at_a_checked_address() -> None:
    guard = Guard(egress(VENDOR), "ingest", leading("93.184.215.14", "93.184.215.15"))
    target = guard.check("https://data.example.com/v1/bars?x=1")
    assert (target.scheme, target.host, target.port) == ("https", "data.example.com", 443)
    assert target.addresses == ("93.184.215.14", "93.184.215.15")


@pytest.mark.parametrize(
    ("url", "purpose", "cure"),
    [
        pytest.param(
            "https://other.example/", "ingest",
            "- {host: other.example, port: 443, for: [ingest]}", id="another host",
        ),
        pytest.param(
            "https://data.example.com:8443/", "ingest",
            "- {host: data.example.com, port: 8443, for: [ingest]}", id="another port",
        ),
        pytest.param(
            "http://data.example.com/", "ingest",
            "- {host: data.example.com, port: 80, for: [ingest]}", id="without TLS",
        ),
        pytest.param(
            "https://data.example.com/", "stores",
            "- {host: data.example.com, port: 443, for: [ingest, stores]}", id="for something else",
        ),
        pytest.param(
            "http://127.0.0.1:8100/", "ingest",
            "- {host: 127.0.0.1, port: 8100, for: [ingest]}", id="this machine is listed, too",
        ),
        pytest.param(
            "http://[::1]:8100/", "ingest",
            '- {host: "::1", port: 8100, for: [ingest]}', id="six",
        ),
        pytest.param("http://2130706433/", "ingest", "- {host: 2130706433", id="a number"),
        pytest.param("http://127.1/", "ingest", "- {host: 127.1", id="a short address"),
    ],
)  # fmt: skip
def test_what_is_not_listed_is_denied_with_the_line_that_would_allow_it(
    url: str, purpose: str, cure: str
) -> None:
    def never(*arguments: Any, **more: Any) -> list[Any]:
        pytest.fail("a name that is not listed is not even looked up")

    with pytest.raises(EgressDeniedError, match="does not let") as denied:
        Guard(egress(VENDOR), purpose, never).check(url)
    assert denied.value.facts["lines"][0].startswith(cure)
    assert cure in denied.value.hint.splitlines()[1]


def test_the_line_of_a_denial_is_one_that_the_topology_takes() -> None:
    with pytest.raises(EgressDeniedError) as denied:
        Guard(egress(), "ingest").check("https://data.example.com/")
    assert denied.value.facts["lines"] == [line("data.example.com", 443, ["ingest"])]
    import yaml

    allowed = yaml.safe_load(f"allow:\n  {denied.value.facts['lines'][0]}")
    guard = Guard(Egress.model_validate(allowed), "ingest", leading("93.184.215.14"))
    assert guard.check("https://data.example.com/").addresses == ("93.184.215.14",)


def test_all_that_is_missing_is_said_at_once() -> None:
    guard = Guard(egress(VENDOR), "ingest")
    guard.require(("data.example.com", 443))
    with pytest.raises(EgressDeniedError) as denied:
        guard.require(("data.example.com", 443), ("a.example", 443), ("b.example", 443))
    assert [place["host"] for place in denied.value.facts["places"]] == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        pytest.param(["10.0.0.7"], "lan", id="into the office"),
        pytest.param(["127.0.0.1"], "loopback", id="back to this machine"),
        pytest.param(["169.254.169.254"], "never", id="to the cloud's metadata"),
        pytest.param(["93.184.215.14", "127.0.0.1"], "loopback", id="one good, one bad"),
    ],
)
def test_a_name_that_leads_elsewhere_is_denied(addresses: list[str], found: str) -> None:
    guard = Guard(egress(VENDOR), "ingest", leading(*addresses))
    with pytest.raises(EgressDeniedError, match="leads to") as denied:
        guard.check("https://data.example.com/")
    assert (denied.value.facts["wanted"], denied.value.facts["found"]) == ("public", found)
    assert ("lines" in denied.value.facts) is (found != "never")
    assert addresses[0] not in str(denied.value.body())


def test_a_place_in_the_private_network_must_be_called_that() -> None:
    guard = Guard(egress({**VENDOR, "address": "lan"}), "ingest", leading("10.0.0.7"))
    assert guard.check("https://data.example.com/").addresses == ("10.0.0.7",)
    guard = Guard(egress({**VENDOR, "address": "lan"}), "ingest", leading("93.184.215.14"))
    with pytest.raises(EgressDeniedError):
        guard.check("https://data.example.com/")


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "0.0.0.0"])
def test_metadata_addresses_cannot_be_allowed(address: str) -> None:
    guard = Guard(egress({"host": address, "port": 80, "for": ["ingest"]}), "ingest")
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(EgressDeniedError, match="must not be dialled"):
        guard.check(f"http://{host}/latest/meta-data")


@pytest.mark.parametrize(
    "url",
    [
        "https://user@data.example.com/",
        "https://data.example.com@evil.example/",
        "https://data.example.com\\@evil.example/",
        "https://data.example.com /",
        "https://d\u0430ta.example.com/",
        "ftp://data.example.com/",
        "file:///etc/passwd",
        "https://:443/",
        "https://data.example.com:99999/",
        "",
    ],
)
def test_an_odd_url_is_refused(url: str) -> None:
    with pytest.raises(BadInputError, match="not a URL that may be dialled"):
        Guard(egress(VENDOR), "ingest", leading("93.184.215.14")).check(url)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(0.2)
        yield server


def test_a_name_that_changes_its_mind_gains_nothing(listener: socket.socket) -> None:
    """The second look-up would lead to this machine; there is no second look-up."""
    port = listener.getsockname()[1]
    answers = iter([leading("127.0.0.1")("x", port), leading("10.0.0.1")("x", port)])
    looks = []

    def lookup(host: str, port: int, **more: Any) -> Any:
        looks.append(host)
        return next(answers)

    place = {"host": "vendor.test", "port": port, "for": ["ingest"], "address": "loopback"}
    guard = Guard(egress(place), "ingest", lookup)
    target = guard.check(f"http://vendor.test:{port}/")
    with closing(guard.connect(target, 1)) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    assert looks == ["vendor.test"]


def test_a_denied_place_sees_no_connection(listener: socket.socket) -> None:
    with pytest.raises(EgressDeniedError):
        Guard(egress(), "ingest").check(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    with pytest.raises(TimeoutError):
        listener.accept()
