"""What may never reach a log."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topology.redact import HIDDEN, RedactingFilter, install, looks_secret, redact, redacted

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"got {JWT}!", f"got {HIDDEN}!", id="token"),
        pytest.param(
            "authorization: Bearer abc.def-1", f"authorization: Bearer {HIDDEN}", id="header"
        ),
        pytest.param("BEARER abc", f"BEARER {HIDDEN}", id="any case"),
        pytest.param("Basic dXNlcjpwdw==", f"Basic {HIDDEN}", id="basic"),
        pytest.param("asw_rt_a-b_c1 gone", f"{HIDDEN} gone", id="refresh token"),
        pytest.param("asw_cs_x", HIDDEN, id="client secret"),
        pytest.param(
            "postgresql://u:pw@h/db", f"postgresql://{HIDDEN}@h/db", id="URL with password"
        ),
        pytest.param("redis://:pw@h", f"redis://{HIDDEN}@h", id="URL without user"),
        pytest.param(
            "postgresql://alphaswarm_app@/ledger", f"postgresql://{HIDDEN}@/ledger", id="user"
        ),
        pytest.param("password=hunter2&a=1", f"password={HIDDEN}&a=1", id="form"),
        pytest.param('{"client_secret": "x y"}', f'{{"client_secret": "{HIDDEN} y"}}', id="JSON"),
        pytest.param("refresh_token: abc", f"refresh_token: {HIDDEN}", id="field"),
        pytest.param("code_verifier=abc", f"code_verifier={HIDDEN}", id="PKCE"),
        pytest.param("momentum-top3 done in 3 s", "momentum-top3 done in 3 s", id="plain"),
        pytest.param("http://localhost:8000/data/mcp", "http://localhost:8000/data/mcp", id="URL"),
        pytest.param("tokens: 15", "tokens: 15", id="a count of tokens"),
        pytest.param("wrong password", "wrong password", id="the word alone"),
    ],
)
def test_secrets_are_hidden_and_the_rest_stays(text: str, expected: str) -> None:
    assert redact(text) == expected


@settings(deadline=None)
@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_token_never_survives_whatever_stands_around_it(before: str, after: str) -> None:
    assert "eyJzdWIi" not in redact(f"{before} {JWT} {after}")


def test_json_values_are_redacted_inside() -> None:
    value = {"a": [f"Bearer {JWT}", 5, None], "b": {"c": "asw_rt_1"}}
    assert redacted(value) == {"a": [f"Bearer {HIDDEN}", 5, None], "b": {"c": HIDDEN}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(JWT, True, id="token"),
        pytest.param("asw_cs_1", True, id="ours"),
        pytest.param("sk-abc", True, id="an API key"),
        pytest.param("-----BEGIN PRIVATE KEY-----", True, id="a key"),
        pytest.param("q7Jf0zXkP2mVb9TtWc5yLhR8", True, id="random"),
        pytest.param("alphaswarm_silver_market", False, id="a name"),
        pytest.param("/var/lib/alphaswarm/home2", False, id="a path"),
        pytest.param("https://login.example/t/abc123", False, id="a URL"),
        pytest.param("data:read", False, id="a scope"),
        pytest.param("1" * 40, False, id="digits"),
    ],
)
def test_literals_that_look_secret(text: str, expected: bool) -> None:
    assert looks_secret(text) is expected


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("tests.redact")
    logger.addHandler(handler)
    logger.propagate = False
    before = logging.getLogger("authlib").level
    install("tests.redact")
    yield logger, stream
    logger.removeHandler(handler)
    logging.getLogger("authlib").setLevel(before)


def test_messages_arguments_and_traces_of_children_too_are_redacted(
    logged: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = logged
    logger.warning("issued %s to %s", JWT, "anna")
    try:
        int(f"password={JWT[::-1]}")
    except ValueError:
        logging.getLogger("tests.redact.child").exception("failed for %(who)s", {"who": "anna"})
    logger.warning("two %s %s", "only one")  # noqa: PLE1206  a mistake must not raise
    text = stream.getvalue()
    assert "issued [hidden] to anna" in text
    assert "failed for anna" in text
    assert "Traceback" in text
    assert JWT[::-1] not in text
    assert "eyJ" not in text


def test_installing_twice_filters_once_and_keeps_authlib_quiet(
    logged: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, _ = logged
    install("tests.redact")
    filters = [f for f in logger.handlers[0].filters if isinstance(f, RedactingFilter)]
    assert len(filters) == 1
    assert logging.getLogger("authlib").level == logging.INFO
