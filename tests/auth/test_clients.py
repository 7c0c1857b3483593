"""When a redirect URI is the client's: byte for byte, but for the port of this machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.clients import is_loopback_redirect, loopback_callbacks, redirect_matches


@pytest.mark.parametrize(
    ("registered", "sent", "expected"),
    [
        pytest.param("https://a.test/cb", "https://a.test/cb", True, id="the same"),
        pytest.param("https://a.test/cb", "https://a.test:443/cb", False, id="spelt otherwise"),
        pytest.param("https://a.test:1/cb", "https://a.test:2/cb", False, id="another port"),
        pytest.param("cursor://x/cb", "cursor://x/cb", True, id="a private scheme"),
        pytest.param("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", True, id="loopback port"),
        pytest.param("http://127.0.0.1/cb", "http://127.0.0.1:2/cb", True, id="port added"),
        pytest.param("http://[::1]:1/cb", "http://[::1]:2/cb", True, id="IPv6"),
        pytest.param("http://[::1]:1/cb", "http://127.0.0.1:1/cb", False, id="other address"),
        pytest.param("http://localhost/cb", "http://127.0.0.1/cb", False, id="other word"),
        pytest.param("http://localhost/cb", "http://LOCALHOST/cb", False, id="other case"),
        pytest.param("http://localhost/cb", "http://localhost/cb/", False, id="slash"),
        pytest.param("http://localhost/cb", "http://localhost/cb?a", False, id="query"),
        pytest.param("http://localhost/cb", "http://localhost/cb#a", False, id="fragment"),
        pytest.param("http://localhost/cb", "http://localhost:0/cb", False, id="port 0"),
        pytest.param("http://localhost/cb", "http://localhost:65536/cb", False, id="port 65536"),
        pytest.param("http://localhost/cb", "http://localhost:080/cb", False, id="octal port"),
        pytest.param("http://localhost/cb", "http://localhost:1\n/cb", False, id="line break"),
        pytest.param("http://localhost", "http://localhost:8/", False, id="no path is no slash"),
    ],
)
def test_a_redirect(registered: str, sent: str, expected: bool) -> None:
    assert redirect_matches(registered, sent) is expected


@given(
    host=st.sampled_from(["127.0.0.1", "[::1]", "localhost"]),
    port=st.integers(1, 65_535),
    path=st.text("abc/.-_%~", max_size=9).map(lambda text: "/" + text),
)
def test_any_port_of_this_machine_matches_and_no_other_path(
    host: str, port: int, path: str
) -> None:
    registered = f"http://{host}{path}"
    assert redirect_matches(registered, f"http://{host}:{port}{path}")
    assert not redirect_matches(registered, f"http://{host}:{port}{path}x")


@given(st.text(max_size=40))
def test_no_text_before_the_path_makes_another_host_ours(text: str) -> None:
    for uri in (f"http://127.0.0.1{text}.evil.test/", f"http://localhost:{text}@evil.test/"):
        if is_loopback_redirect(uri):
            assert text.startswith(("/", "?", ":"))
            assert "@" not in uri.removeprefix("http://").partition("/")[0].partition("?")[0]


def test_the_word_loopback_means_three_hosts_and_one_path() -> None:
    assert loopback_callbacks() == (
        "http://127.0.0.1/callback",
        "http://[::1]/callback",
        "http://localhost/callback",
    )
