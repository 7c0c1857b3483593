"""The wire under TLS: the certificate must be of the name, whatever address is dialled."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lakehouse.providers.patience import UnusableError
from lakehouse.providers.wire import Wire
from tests.kit.vendor import Reply, Vendor
from topology.egress import Guard
from topology.sections import Egress

NAME, OTHER = "vendor.test", "another.test"
DAY = dt.timedelta(days=1)


def certified(folder: Path, *, until: dt.timedelta = DAY) -> Path:
    """Write a certificate of `NAME`, signed by itself, with its key; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.fromtimestamp(folder.stat().st_mtime, dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    place = folder / "vendor.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    place.write_bytes(private + made.public_bytes(pem))
    return place


def serving(pem: Path) -> Vendor:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return Vendor(lambda asked: Reply(b"hello"), tls=context)


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor whose certificate this machine trusts."""
    pem = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serving(pem) as listening:
        yield listening


def wire(port: int, timeout_s: float = 2) -> Wire:
    """Return a wire that may reach both names at ``port``; each leads to this machine."""
    places = [
        {"host": name, "port": port, "for": ["ingest"], "address": "loopback"}
        for name in (NAME, OTHER)
    ]

    def lookup(host: str, port: int, **more: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    guard = Guard(Egress.model_validate({"allow": places}), "ingest", lookup)
    return Wire(guard, timeout_s=timeout_s, most_bytes=1 << 20)


def test_a_certificate_of_the_name_is_accepted(vendor: Vendor) -> None:
    answer = wire(vendor.port).get(f"https://{NAME}:{vendor.port}/x?a=1", {"X-One": "1"})
    assert (answer.status, answer.body) == (200, b"hello")
    asked = vendor.seen[0]
    assert (asked.path, asked.query, asked.headers["x-one"]) == ("/x", {"a": "1"}, "1")
    assert asked.headers["host"] == f"{NAME}:{vendor.port}"


def test_a_certificate_of_another_name_ends_before_anything_is_sent(vendor: Vendor) -> None:
    with pytest.raises(UnusableError, match="certificate") as told:
        wire(vendor.port).get(f"https://{OTHER}:{vendor.port}/", {}, secret={"X-Key": "secret"})
    assert (told.value.reason, told.value.again) == ("tls", False)
    assert vendor.seen == []


def test_a_certificate_that_nobody_signed_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with serving(certified(tmp_path)) as listening, pytest.raises(UnusableError) as told:
        wire(listening.port).get(f"https://{NAME}:{listening.port}/", {})
    assert told.value.reason == "tls"


def test_a_slow_drip_ends_under_tls_too(vendor: Vendor) -> None:
    vendor.handler = lambda asked: Reply(b"x" * 100, drip_s=0.05)
    with pytest.raises(UnusableError, match=r"longer than 0\.4 s"):
        wire(vendor.port, timeout_s=0.4).get(f"https://{NAME}:{vendor.port}/", {})


def test_https_does_not_become_http(vendor: Vendor) -> None:
    with Vendor() as plain:
        vendor.handler = lambda asked: Reply(b"", 302, {"Location": plain.url})
        with pytest.raises(UnusableError, match="from https to http"):
            wire(vendor.port).get(f"https://{NAME}:{vendor.port}/", {})
        assert plain.dialled == 0


def test_a_listener_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UnusableError, match="longer than") as told:
            wire(port, timeout_s=0.2).get(f"https://{NAME}:{port}/", {})
    assert told.value.again
