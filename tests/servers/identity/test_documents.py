"""Clients whose id is the address of a document (design list 37): pinned ones, and read ones."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastmcp.server.auth import ssrf

from auth.documents import DocumentRefusedError, is_document_id, pinned, read
from servers.identity.documents import fetched
from tests.kit.identity import Scene
from topology.clock import SystemClock

REDIRECT = "http://127.0.0.1:41000/callback"


def document(address: str, **changes: Any) -> dict[str, Any]:
    return {
        "client_id": address,
        "client_name": "<b>Editor</b>",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        **changes,
    }


@pytest.mark.parametrize(
    ("client_id", "good"),
    [
        ("https://editor.test/client.json", True),
        ("https://editor.test:8443/a/b", True),
        ("http://editor.test/client.json", False),
        ("https://editor.test", False),
        ("https://editor.test/", False),
        ("https://editor.test/a/../b", False),
        ("https://me@editor.test/a", False),
        ("https://editor.test/a?b=c", False),
        ("https://editor.test/a#b", False),
        ("https://EDITOR.test/a", False),
        ("https://editor.test/" + "a" * 512, False),
    ],
)
def test_what_can_be_the_address_of_a_document(client_id: str, good: bool) -> None:
    assert is_document_id(client_id) is good


ID = "https://editor.test/client.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "https://editor.test/other.json"},
        {"redirect_uris": ["https://evil.test/cb"]},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": []},
        {"redirect_uris": [1]},
        {"client_secret": "x"},
        {"jwks_uri": "https://editor.test/keys"},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"grant_types": ["client_credentials"]},
        {"client_name": {"a": 1}},
        {"client_name": "a" * 6000},
    ],
)
def test_a_document_that_is_no_public_clients_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentRefusedError):
        read(ID, json.dumps(document(ID, **changes)).encode())


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 5000])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentRefusedError):
        read(ID, raw)


def test_pinned_documents_are_what_they_say_and_work_without_the_web() -> None:
    client = pinned()["https://claude.ai/oauth/claude-code-client-metadata"]
    assert client.check_redirect_uri("http://localhost:8080/callback")
    assert not client.check_redirect_uri("http://localhost:8080/other")
    assert "claude.ai" in client.name


async def test_a_pinned_client_signs_in(scene: Scene) -> None:
    client = "https://opencode.ai/oauth/opencode/client.json"
    tokens = await scene.tokens(client_id=client, redirect_uri="http://127.0.0.1:5000/callback")
    assert tokens["refresh_token"]


@dataclass
class Site:
    """An https server of this machine, and what it answers at each path."""

    port: int
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://editor.test:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    """Answers from the site."""

    def __init__(self, site: Site, *rest: Any) -> None:
        self.site = site
        super().__init__(*rest)

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        status, headers, body = self.site.pages.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for ``editor.test`` that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "editor.test")])
    now = SystemClock().now()
    names = [x509.DNSName("editor.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    cert, key = certificate(tmp_path)
    found = Site(0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, found))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def trusting(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Let the library reach this machine by the name of the site, and trust its certificate."""

    async def here(*_: object) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(ssrf, "resolve_hostname", here)
    monkeypatch.setattr(ssrf, "is_ip_allowed", lambda address: address == "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return site


def reading(scene: Scene) -> None:
    issuer = scene.identity.issuer
    issuer.config = replace(issuer.config, fetching=True)


async def test_a_client_is_read_once_and_signs_in(scene: Scene, trusting: Site) -> None:
    reading(scene)
    client = trusting.url("/client.json")
    trusting.pages["/client.json"] = (200, {}, json.dumps(document(client)).encode())
    await scene.sign_in()
    page = await scene.authorize(client_id=client, redirect_uri=REDIRECT)
    assert page.status_code == 200
    assert "&lt;b&gt;Editor" in page.text, "a name is text, whatever it holds"
    assert f"editor.test:{trusting.port}" in page.text
    tokens = await scene.tokens(client_id=client, redirect_uri=REDIRECT)
    assert tokens["refresh_token"]
    assert trusting.asked == ["/client.json"], "remembered from then on"
    metadata = await scene.browser.get("/.well-known/oauth-authorization-server/as")
    assert metadata.json()["client_id_metadata_document_supported"] is True


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((302, {"Location": "/client.json"}, b""), id="a redirect"),
        pytest.param((404, {}, b""), id="nothing there"),
        pytest.param((200, {}, b"{" + b" " * 6000 + b"}"), id="too long"),
        pytest.param((200, {}, json.dumps(document(ID)).encode()), id="of another client"),
    ],
)
async def test_a_refused_document_is_no_client_and_is_not_asked_for_again(
    scene: Scene, trusting: Site, answer: tuple[int, dict[str, str], bytes]
) -> None:
    reading(scene)
    client = trusting.url("/odd.json")
    trusting.pages["/odd.json"] = answer
    trusting.pages["/client.json"] = (200, {}, json.dumps(document(client)).encode())
    for _ in range(2):
        page = await scene.authorize(client_id=client, redirect_uri=REDIRECT)
        assert page.status_code == 400
    assert trusting.asked == ["/odd.json"]
    scene.clock.advance(60)
    await scene.authorize(client_id=client, redirect_uri=REDIRECT)
    assert trusting.asked == ["/odd.json", "/odd.json"]


async def test_addresses_of_this_machine_and_of_private_nets_are_never_asked(site: Site) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"):
        with pytest.raises((ssrf.SSRFError, ssrf.SSRFFetchError)):
            await fetched(f"https://{host}:{site.port}/client.json")
    assert site.asked == []


async def test_nothing_is_read_where_the_topology_does_not_say_so(
    scene: Scene, trusting: Site
) -> None:
    client = trusting.url("/client.json")
    page = await scene.authorize(client_id=client, redirect_uri=REDIRECT)
    assert (page.status_code, trusting.asked) == (400, [])
