"""External issuers: the claim map by hand, what is refused, and which token meets whose keys."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from auth.issuers import ClaimMap, ExternalVerifier, Trusted, issuer_named
from auth.keys import KeyRing
from auth.tokens import Claims, Families, TokenRefusedError, Verifier, mint
from tests.auth.test_tokens import ISSUER as OURS
from tests.auth.test_tokens import NOW, RESOURCE

CORP = "https://login.test/desk"
AUDIENCE = "api://alphaswarm-data"
OFFERED = frozenset({"data:read", "data:write"})
MAP = ClaimMap(
    "corp",
    CORP,
    types=frozenset({"at+jwt"}),
    names={"client_id": "azp", "scope": "groups", "jti": "uti", "acr": "acrs"},
    listed=True,
    scopes={"quants": ("data:read", "data:write"), "risk": ("control:halt",)},
    levels={"bronze": 1, "c1": 2, "phishing-proof": 3},
)
RSA = RSAKey.generate_key(2048, auto_kid=True)
EC = ECKey.generate_key("P-256", auto_kid=True)
KEYS: dict[str | None, RSAKey | ECKey] = {RSA.kid: RSA, EC.kid: EC}


def verifier(claim_map: ClaimMap = MAP) -> ExternalVerifier:
    def keys(kid: str, now: float) -> RSAKey | ECKey | None:
        del now
        return KEYS.get(kid)

    return ExternalVerifier(claim_map, keys=keys, audience=AUDIENCE, offered=OFFERED)


def good(**changes: Any) -> dict[str, Any]:
    """Return claims as the issuer writes them, with changes; None removes."""
    claims = {
        "iss": CORP, "sub": "grace", "aud": AUDIENCE, "azp": "desk", "uti": "7", "iat": NOW,
        "exp": NOW + 3600, "groups": ["quants", "lunch"], "acrs": ["c1"], "auth_time": NOW - 5,
        "email": "grace@login.test", **changes,
    }  # fmt: skip
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], key: RSAKey | ECKey = RSA, **header: Any) -> str:
    alg = "RS256" if isinstance(key, RSAKey) else "ES256"
    full = {"alg": alg, "typ": "at+jwt", "kid": key.kid, **header}
    kept = {name: value for name, value in full.items() if value is not None}
    return jwt.encode(kept, claims, key, algorithms=["RS256", "ES256"], default_type=None)


def refused(token: str, now: float = NOW, claim_map: ClaimMap = MAP) -> str:
    with pytest.raises(TokenRefusedError) as caught:
        verifier(claim_map).verify(token, now)
    return caught.value.reason


def test_a_token_is_read_in_our_words_and_its_people_are_marked() -> None:
    held = verifier().verify(signed(good()), NOW)
    assert (held.sub, held.client_id, held.jti) == ("corp:grace", "corp:desk", "corp:7")
    assert held.scope == "data:read data:write"
    assert (held.acr, held.auth_time) == ("urn:alphaswarm:acr:mfa", NOW - 5)
    assert (held.aud, held.act, held.task_id) == (AUDIENCE, None, "")


@pytest.mark.parametrize(
    ("said", "worth"),
    [
        pytest.param(["c1"], "urn:alphaswarm:acr:mfa", id="a list"),
        pytest.param("bronze", "urn:alphaswarm:acr:pwd", id="a text"),
        pytest.param(["bronze", "phishing-proof"], "urn:alphaswarm:acr:phr", id="the best counts"),
        pytest.param("urn:alphaswarm:acr:phr", "", id="our own word means nothing there"),
        pytest.param("C1", "", id="another case"),
        pytest.param([], "", id="none"),
        pytest.param(None, "", id="not said"),
    ],
)
def test_a_kind_of_sign_in_is_worth_what_the_map_says(said: Any, worth: str) -> None:
    assert verifier().verify(signed(good(acrs=said)), NOW).acr == worth


@pytest.mark.parametrize(
    ("changes", "claim_map", "scope"),
    [
        pytest.param({"groups": []}, MAP, "", id="in no group"),
        pytest.param({"groups": None}, MAP, "", id="groups are not said"),
        pytest.param({"groups": ["data:write"]}, MAP, "", id="a group with the name of a scope"),
        pytest.param({"groups": ["risk"]}, MAP, "", id="scopes of another server"),
        pytest.param(
            {"scp": "openid data:write control:halt"},
            replace(MAP, names={**MAP.names, "scope": "scp"}, listed=False, scopes={}),
            "data:write",
            id="our own words, of this server",
        ),
    ],
)
def test_scopes_are_those_that_the_map_and_the_server_know(
    changes: dict[str, Any], claim_map: ClaimMap, scope: str
) -> None:
    assert verifier(claim_map).verify(signed(good(**changes)), NOW).scope == scope


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"iss": CORP + "/"}, "issuer", id="issuer with a slash"),
        pytest.param({"iss": "https://evil.test"}, "issuer", id="another issuer"),
        pytest.param({"aud": RESOURCE}, "audience", id="another audience"),
        pytest.param({"aud": [AUDIENCE]}, "claims", id="a list of one"),
        pytest.param({"aud": None}, "claims", id="no audience"),
        pytest.param({"sub": None}, "claims", id="nobody"),
        pytest.param({"sub": 7}, "claims", id="a number"),
        pytest.param({"azp": None, "client_id": "desk"}, "claims", id="the client under our name"),
        pytest.param({"uti": ""}, "claims", id="no id"),
        pytest.param({"groups": "quants"}, "claims", id="a text where a list was promised"),
        pytest.param({"groups": [1]}, "claims", id="numbers"),
        pytest.param({"exp": None}, "claims", id="no end"),
        pytest.param({"exp": True}, "claims", id="a boolean"),
        pytest.param({"exp": NOW}, "expired", id="expired"),
        pytest.param({"iat": NOW + 31}, "not yet valid", id="issued tomorrow"),
        pytest.param({"nbf": NOW + 31}, "not yet valid", id="not before tomorrow"),
        pytest.param({"auth_time": NOW + 31}, "not yet valid", id="signed in tomorrow"),
        pytest.param({"auth_time": str(NOW)}, "claims", id="a time as text"),
        pytest.param({"cnf": {"jkt": "x"}}, "cnf", id="bound to a key that we cannot check"),
        pytest.param({"nonce": "n"}, "typ", id="an ID token"),
        pytest.param({"act": "robot"}, "claims", id="an actor that is none"),
    ],
)
def test_claims_that_are_refused(changes: dict[str, Any], reason: str) -> None:
    assert refused(signed(good(**changes))) == reason


def test_headers_that_are_refused() -> None:
    assert refused(signed(good(), EC)) == "signature"  # ES256 where RS256 is listed
    assert refused(signed(good(), typ="JWT")) == "typ"
    assert refused(signed(good(), typ=None)) == "typ"
    assert refused(signed(good(), kid="other")) == "kid"
    public = OctKey.import_key(base64.urlsafe_b64encode(RSA.as_pem(private=False)))
    header = {"alg": "HS256", "typ": "at+jwt", "kid": RSA.kid}
    assert refused(jwt.encode(header, good(), public, algorithms=["HS256"])) == "signature"
    _, body, _ = signed(good()).split(".")
    bare = base64.urlsafe_b64encode(json.dumps({**header, "alg": "none"}).encode()).decode()
    assert refused(f"{bare.rstrip('=')}.{body}.") == "signature"


def test_an_issuer_whose_tokens_are_typed_jwt_is_taken_at_its_word() -> None:
    loose = replace(MAP, types=frozenset({"JWT"}))
    assert verifier(loose).verify(signed(good(), typ="JWT"), NOW).sub == "corp:grace"
    assert refused(signed(good()), claim_map=loose) == "typ"
    assert refused(signed(good(at_hash="x"), typ="JWT"), claim_map=loose) == "typ"


def test_a_token_counts_for_five_minutes_however_long_it_says_that_it_lives() -> None:
    judge, token = verifier(), signed(good())
    assert judge.verify(token, NOW + 299).exp == NOW + 300
    assert judge.recall(token, NOW + 299.9) is not None
    assert judge.recall(token, NOW + 300) is None
    assert refused(token, NOW + 300) == "expired"
    brief = replace(MAP, lifetime_s=10)
    assert refused(token, NOW + 10, brief) == "expired"


@pytest.mark.parametrize(
    ("changes", "actor"),
    [
        pytest.param({}, None, id="a person"),
        pytest.param({"act": {"sub": "robot"}}, "corp:robot", id="somebody acts for her"),
        pytest.param({"act": {}}, "corp:unknown", id="somebody without a name"),
        pytest.param({"sub": "desk"}, "corp:desk", id="a client about itself"),
    ],
)
def test_a_machine_is_never_a_person(changes: dict[str, Any], actor: str | None) -> None:
    who = verifier().verify(signed(good(**changes)), NOW).principal()
    assert who.actor == actor


def test_a_job_of_ours_cannot_be_claimed_elsewhere() -> None:
    held = verifier().verify(signed(good(task_id="t" * 26, run_id="r" * 26, sid="f")), NOW)
    assert (held.task_id, held.run_id, held.sid) == ("", "", "corp:7")


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trusted, str]:
    """Return a server that takes our tokens and corp's, and a token of ours."""
    ring = KeyRing(tmp_path_factory.mktemp("keys"))
    ring.ensure(NOW - 100_000)
    own = Verifier(
        issuer=OURS, keys=ring.public, resource=RESOURCE, families=Families("family".__eq__)
    )
    claims = Claims(
        iss=OURS, sub="ada", aud=RESOURCE, client_id="cli", scope="data:read", iat=NOW, nbf=NOW,
        exp=NOW + 900, jti="1", sid="family",
    )  # fmt: skip
    return Trusted({OURS: own, CORP: verifier()}), mint(claims, ring.current(NOW))


def test_each_token_meets_the_keys_of_its_own_issuer(trusted: tuple[Trusted, str]) -> None:
    server, ours = trusted
    theirs = signed(good())
    held = [server.verify(token, NOW) for token in (ours, theirs)]
    assert [one.sub for one in held] == ["ada", "corp:grace"]
    assert [server.recall(token, NOW) for token in (ours, theirs)] == held
    assert [server.alive(one, NOW + 300) for one in held] == [True, False]
    for token in (
        signed(good(iss=OURS, sub="ada", aud=RESOURCE)),
        signed(good(iss="https://x.test")),
        "",
    ):
        with pytest.raises(TokenRefusedError):
            server.verify(token, NOW)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["iss", "aud"]), inner, max_size=2)
            ),
        ).map(json.dumps),
    )
)
def test_whatever_stands_in_a_body_names_an_issuer_or_none(text: str) -> None:
    body = base64.urlsafe_b64encode(text.encode()).decode()
    assert isinstance(issuer_named(f"e30.{body}.x"), str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(sorted(good())), value=JSON)
def test_no_odd_claim_crashes_the_map_or_makes_anybody_ours(name: str, value: Any) -> None:
    try:
        held = MAP.claims({**good(), name: value}, OFFERED)
    except TokenRefusedError:
        return
    assert held.sub.startswith("corp:")
    assert held.client_id.startswith("corp:")
    assert set(held.scope.split()) <= OFFERED
