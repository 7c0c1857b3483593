"""The search for secrets over the whole run (tests/kit/redaction.py) finds what it looks for."""

from __future__ import annotations

import json
import logging
import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from auth.factors.totp import Enrolment
from auth.signin import SignedIn
from clients.tokens import Grant
from ledger.pool import Pool, transaction
from servers.bearer import VerifiedToken
from tests.kit.identity import CHEAP
from tests.kit.redaction import Collector, listen
from topology.errors import BadInputError
from topology.home import Home
from topology.principal import ANONYMOUS

SECRET = "not-a-secret-of-anybody"


@pytest.fixture
def collector() -> Collector:
    """Return a collector of its own: what is planted here must not fail the run."""
    return Collector()


@pytest.fixture
def own(tmp_path: Path) -> Home:
    """Return a home with nothing in it."""
    home = Home(tmp_path / "home")
    home.ensure()
    return home


def found(collector: Collector) -> set[str]:
    return set(collector.problems().splitlines())


def test_whatever_this_process_issues_is_known_by_kind(collector: Collector) -> None:
    with pytest.MonkeyPatch.context() as patch:
        listen(collector, patch)
        code, name = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        CHEAP.make("a sentence that nobody guesses")
        key = ECKey.generate_key("P-256", auto_kid=True)
        token = jwt.encode({"alg": "ES256"}, {"sub": "x"}, key)
    assert collector.known.keys() >= {code.encode(), token.rpartition(".")[2].encode()}
    assert name.encode() not in collector.known, "an id is no secret"
    collector.search(f"?code={code}&x=1".encode(), "a log")
    collector.search(b"they typed: a sentence that nobody guesses!", "a page")
    collector.search(f"asw_rt_{code}".encode(), "a row")
    collector.search(token.encode(), "a frame")
    collector.search(f"{name} {code[:20]} {code[::-1]}".encode(), "elsewhere")
    kinds = {line.rpartition(" in ")[2] for line in found(collector)}
    assert kinds == {"a log", "a page", "a row", "a frame"}
    assert code not in collector.problems()


def test_what_a_home_keeps_private_is_looked_for_in_all_its_other_files(
    collector: Collector, own: Home
) -> None:
    (own.secrets / "app.pgpass").write_text("*:*:*:alphaswarm_app:Zq8fK2mN4pR6sT8vX0yB2dF4\n")
    token = {"access_token": "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJlLW9mLWEtdG9rZW4"}
    (own.secrets / "token-data.json").write_text(json.dumps({"grants": [token]}))
    (own.logs / "servers.log").write_text("connect password=Zq8fK2mN4pR6sT8vX0yB2dF4 ok")
    (own.run / "note.json").write_text(json.dumps({"t": token["access_token"]}))
    (own.logs / "quiet.log").write_text("alphaswarm_app is only a name")
    collector.files(own.root.parent)
    assert found(collector) == {
        "content of app.pgpass in home/logs/servers.log",
        "access_token of token-data.json in home/run/note.json",
    }
    for file in (own.logs / "servers.log", own.run / "note.json"):
        file.unlink()  # else the search of the run finds them too


def test_rows_errors_and_log_records_are_searched(collector: Collector, pool: Pool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        listen(collector, patch)
        secret = urlsafe_b64encode(os.urandom(32)).decode()  # known to nobody else
        collector.note(secret, "planted")
        with pytest.raises(BadInputError):
            raise BadInputError("No.", hint="Never.", value=secret)
        logging.getLogger("tests").warning("said %s", secret)
    collector.spoken()
    with transaction(pool) as connection:
        connection.execute(
            "INSERT INTO identity_users (username, created_at) VALUES (%s, 0)", (secret,)
        )
    collector.rows(pool)
    with transaction(pool) as connection:
        connection.execute("DELETE FROM identity_users WHERE username = %s", (secret,))
    assert found(collector) >= {
        "planted in error object",
        "planted in log record",
        "planted in table identity_users",
    }


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(SignedIn(SECRET, "/as/device"), id="the cookie of a new session"),
        pytest.param(Enrolment(SECRET, "otpauth://"), id="the seed of an app's codes"),
        pytest.param(
            Grant("data", "https://x", "https://i", "data:read", SECRET, 1.0, SECRET),
            id="what a sign-in gave",
        ),
        pytest.param(
            VerifiedToken(token=SECRET, client_id="c", scopes=[], principal=ANONYMOUS),
            id="a token that was let in",
        ),
    ],
)
def test_nothing_shows_the_secret_that_it_holds(holder: object) -> None:
    """A trace, a debugger and a careless log line all print what `repr` says."""
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)
