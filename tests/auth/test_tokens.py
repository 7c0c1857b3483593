"""The verifier, against everything that is not a good token: hand-made, mutated, out of time."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey

from auth.keys import KeyRing
from auth.tokens import (
    MAX_BYTES,
    Claims,
    Families,
    TokenRefusedError,
    Verifier,
    canonical_resource,
)
from topology.errors import StoreUnreachableError

NOW = 1_800_000_000
ISSUER = "https://issuer.test/as"
RESOURCE = "https://issuer.test/data/mcp"


@dataclass
class Bench:
    """A verifier for one resource, the key it trusts, and a list of families that live."""

    ring: KeyRing
    alive: set[str] = field(default_factory=lambda: {"family"})
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.verifier = Verifier(
            issuer=ISSUER,
            keys=self.ring.public,
            resource=RESOURCE,
            families=Families(self._family_alive),
        )

    def _family_alive(self, sid: str) -> bool:
        self.asked.append(sid)
        return sid in self.alive

    @property
    def key(self) -> ECKey:
        return self.ring.current(NOW)

    def good(self, **changes: Any) -> dict[str, Any]:
        """Return good claims with changes; None removes."""
        claims = {
            "iss": ISSUER, "sub": "ada", "aud": RESOURCE, "client_id": "cli", "scope": "data:read",
            "iat": NOW, "nbf": NOW, "exp": NOW + 900, "jti": "1", "sid": "family",
            "acr": "urn:alphaswarm:acr:pwd", "auth_time": NOW - 5, "amr": ["pwd"], **changes,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any], key: ECKey | None = None, **header: Any) -> str:
        """Return a token; a header member that is None is left out."""
        full = {"alg": "ES256", "typ": "at+jwt", "kid": self.key.kid, **header}
        kept = {name: value for name, value in full.items() if value is not None}
        return jwt.encode(kept, claims, key or self.key, algorithms=["ES256"], default_type=None)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    ring = KeyRing(tmp_path_factory.mktemp("keys"))
    ring.ensure(NOW - 100_000)
    return ring


@pytest.fixture
def bench(ring: KeyRing) -> Bench:
    return Bench(ring)


def refused(bench: Bench, token: str, now: float = NOW) -> str:
    with pytest.raises(TokenRefusedError) as caught:
        bench.verifier.verify(token, now)
    return caught.value.reason


def test_a_good_token_becomes_a_principal_without_the_token(bench: Bench) -> None:
    token = bench.sign(bench.good())
    who = bench.verifier.verify(token, NOW).principal()
    assert (who.subject, who.client_id, who.scopes) == ("ada", "cli", frozenset({"data:read"}))
    assert (who.acr, who.auth_time, who.actor) == ("urn:alphaswarm:acr:pwd", NOW - 5, None)
    assert token not in repr(who)


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt"])
def test_both_spellings_of_the_type_are_accepted(bench: Bench, typ: str) -> None:
    assert bench.verifier.verify(bench.sign(bench.good(), typ=typ), NOW).sub == "ada"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"aud": "https://issuer.test/control/mcp"}, "audience", id="other server"),
        pytest.param({"aud": RESOURCE + "/"}, "audience", id="compared byte for byte"),
        pytest.param({"aud": [RESOURCE]}, "claims", id="a list, even of one"),
        pytest.param({"aud": [RESOURCE, "x"]}, "claims", id="two audiences"),
        pytest.param({"aud": None}, "claims", id="no audience"),
        pytest.param({"iss": "https://issuer.test/as/"}, "issuer", id="issuer with a slash"),
        pytest.param({"iss": "https://evil.test/as"}, "issuer", id="another issuer"),
        pytest.param({"exp": None}, "claims", id="no exp"),
        pytest.param({"exp": str(NOW + 900)}, "claims", id="exp is text"),
        pytest.param({"exp": True}, "claims", id="exp is a boolean"),
        pytest.param({"exp": NOW}, "expired", id="exp has no leeway"),
        pytest.param({"exp": NOW + 901}, "lifetime", id="lives too long"),
        pytest.param({"exp": float("inf")}, "claims", id="lives for ever"),
        pytest.param({"iat": None}, "claims", id="no iat"),
        pytest.param({"iat": True}, "claims", id="iat is a boolean"),
        pytest.param({"iat": NOW + 600, "exp": NOW + 900}, "not yet valid", id="iat + 600 s"),
        pytest.param({"nbf": NOW + 600}, "not yet valid", id="nbf + 600 s"),
        pytest.param({"nbf": NOW + 31}, "not yet valid", id="nbf + 31 s"),
        pytest.param({"auth_time": NOW + 31}, "not yet valid", id="signed in tomorrow"),
        pytest.param({"sub": ""}, "claims", id="empty subject"),
        pytest.param({"sub": 5}, "claims", id="subject is a number"),
        pytest.param({"client_id": None}, "claims", id="no client"),
        pytest.param({"jti": ""}, "claims", id="no jti"),
        pytest.param({"sid": None}, "claims", id="no family"),
        pytest.param({"scope": ["data:read"]}, "claims", id="scope is a list"),
        pytest.param({"scope": None}, "claims", id="no scope"),
        pytest.param({"act": "bot"}, "claims", id="act is no object"),
        pytest.param({"cnf": {"jkt": "x"}}, "cnf", id="bound to a key that was not shown"),
        pytest.param({"sid": "another"}, "revoked", id="its family is not alive"),
    ],
)
def test_claims_that_are_refused(bench: Bench, changes: dict[str, Any], reason: str) -> None:
    assert refused(bench, bench.sign(bench.good(**changes))) == reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param({"typ": None}, "typ", id="no type"),
        pytest.param({"typ": "JWT"}, "typ", id="an ID token"),
        pytest.param({"typ": "logout+jwt"}, "typ", id="a logout token"),
        pytest.param({"kid": None}, "kid", id="no kid"),
        pytest.param({"kid": "unknown"}, "kid", id="unknown kid"),
    ],
)
def test_headers_that_are_refused(bench: Bench, header: dict[str, Any], reason: str) -> None:
    assert refused(bench, bench.sign(bench.good(), **header)) == reason


def test_a_key_in_the_header_is_not_used(bench: Bench) -> None:
    mine = ECKey.generate_key("P-256")
    token = bench.sign(bench.good(), mine, jwk=mine.as_dict(private=False))
    assert refused(bench, token) == "signature"


def test_a_foreign_key_under_our_kid_is_refused(bench: Bench) -> None:
    assert refused(bench, bench.sign(bench.good(), ECKey.generate_key("P-256"))) == "signature"


def test_alg_none_is_refused(bench: Bench) -> None:
    header, payload, _ = bench.sign(bench.good()).split(".")
    bare = _encoded({**_decoded(header), "alg": "none"})
    for token in (f"{bare}.{payload}.", f"{bare}.{payload}", f"{header}.{payload}."):
        assert refused(bench, token) == "signature"


def test_a_signature_by_hmac_with_the_public_key_is_refused(bench: Bench) -> None:
    public = bench.key.as_pem(private=False)
    header = {"alg": "HS256", "typ": "at+jwt", "kid": bench.key.kid}
    payload = json.dumps(bench.good())
    key = OctKey.import_key(base64.urlsafe_b64encode(public))
    token = jws.serialize_compact(header, payload, key, algorithms=["HS256"])
    assert refused(bench, token) == "signature"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("abc", id="one part"),
        pytest.param("....", id="dots"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param("e30.e30.e30", id="empty objects"),
        pytest.param("x" * (MAX_BYTES + 1), id="over 8 KiB"),
        pytest.param("W10.W10.W10", id="arrays"),
    ],
)
def test_what_is_no_token_at_all_is_refused(bench: Bench, token: str) -> None:
    assert refused(bench, token) in {"signature", "size", "kid"}


def test_the_edges_of_time(bench: Bench) -> None:
    early = bench.sign(bench.good(iat=NOW + 30, nbf=NOW + 30, auth_time=NOW + 30, exp=NOW + 900))
    assert bench.verifier.verify(early, NOW).nbf == NOW + 30
    late = bench.sign(bench.good(exp=NOW + 1))
    assert bench.verifier.verify(late, NOW + 0.999).exp == NOW + 1
    assert refused(bench, late, NOW + 1) == "expired"


def test_a_remembered_token_expires_to_the_second(bench: Bench) -> None:
    token = bench.sign(bench.good(exp=NOW + 10))
    bench.verifier.verify(token, NOW)
    assert bench.verifier.verify(token, NOW + 9.9).jti == "1"
    assert refused(bench, token, NOW + 10) == "expired"


def test_revocation_is_seen_within_a_second(bench: Bench) -> None:
    token = bench.sign(bench.good())
    bench.verifier.verify(token, NOW)
    bench.alive.clear()
    assert bench.verifier.verify(token, NOW + 0.9).jti == "1"
    assert refused(bench, token, NOW + 1) == "revoked"


def test_the_store_is_asked_once_a_second_and_not_per_call(bench: Bench) -> None:
    token = bench.sign(bench.good())
    for tenth in range(30):
        bench.verifier.verify(token, NOW + tenth / 10)
    assert len(bench.asked) == 3


def test_recall_answers_only_what_needs_neither_store_nor_signature(bench: Bench) -> None:
    token = bench.sign(bench.good())
    assert bench.verifier.recall(token, NOW) is None
    bench.verifier.verify(token, NOW)
    recalled = bench.verifier.recall(token, NOW + 0.5)
    assert recalled is not None
    assert recalled.jti == "1"
    assert bench.verifier.recall(token, NOW + 1) is None  # the family must be read again
    assert bench.verifier.recall(token, NOW - 1) is None  # nor does a clock set back help
    bench.verifier.verify(token, NOW + 40)
    assert bench.verifier.recall(bench.sign(bench.good(jti="2")), NOW + 40) is None


def test_a_recalled_family_that_is_revoked_is_not_recalled(bench: Bench) -> None:
    token = bench.sign(bench.good())
    bench.verifier.verify(token, NOW)
    bench.alive.clear()
    assert refused(bench, token, NOW + 1) == "revoked"
    assert bench.verifier.recall(token, NOW + 1.5) is None


def test_a_store_that_does_not_answer_lets_nobody_in(ring: KeyRing) -> None:
    def down(_: str) -> bool:
        raise StoreUnreachableError("PostgreSQL does not answer.", store="postgres")

    verifier = Verifier(issuer=ISSUER, keys=ring.public, resource=RESOURCE, families=Families(down))
    with pytest.raises(StoreUnreachableError):
        verifier.verify(Bench(ring).sign(Bench(ring).good()), NOW)


def test_a_refusal_says_nothing_about_the_token(bench: Bench) -> None:
    token = bench.sign(bench.good(aud="https://issuer.test/control/mcp"))
    with pytest.raises(TokenRefusedError) as caught:
        bench.verifier.verify(token, NOW)
    body = json.dumps(caught.value.body())
    assert "control" not in body
    assert token not in body


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_no_mutated_token_is_accepted(ring: KeyRing, data: st.DataObject) -> None:
    bench = Bench(ring)
    token = bench.sign(bench.good())
    changed = data.draw(mutations(token))
    if changed != token:
        refused(bench, changed)


def test_every_single_character_of_a_token_counts(bench: Bench) -> None:
    token = bench.sign(bench.good())
    for place, char in enumerate(token):
        refused(bench, token[:place] + ("A" if char != "A" else "B") + token[place + 1 :])


@st.composite
def mutations(draw: st.DrawFn, token: str) -> str:
    """Return a token that is cut, stuffed, shuffled or has one character replaced."""
    place = draw(st.integers(0, len(token) - 1))
    piece = draw(st.text(max_size=4) | st.sampled_from([".", "=", "A", "..", "e30"]))
    kind = draw(st.sampled_from(["replace", "insert", "cut", "parts"]))
    if kind == "replace":
        return token[:place] + piece + token[place + 1 :]
    if kind == "insert":
        return token[:place] + piece + token[place:]
    if kind == "cut":
        return token[:place]
    return ".".join(draw(st.permutations(token.split("."))))


@given(
    name=st.sampled_from(sorted(Claims.model_fields)),
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    | st.lists(st.text(max_size=3), max_size=2) | st.dictionaries(st.text(max_size=3), st.none()),
)  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_no_odd_claim_passes_or_crashes(ring: KeyRing, name: str, value: Any) -> None:
    bench = Bench(ring)
    token = bench.sign({**bench.good(), name: value})
    try:
        claims = bench.verifier.verify(token, NOW)
    except TokenRefusedError:
        return
    assert claims.aud == RESOURCE
    assert claims.iss == ISSUER
    assert claims.exp > NOW >= max(claims.iat, claims.nbf) - 30
    assert claims.sid == "family"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param("https://h.test/data/mcp", "https://h.test/data/mcp", id="as it is"),
        pytest.param("HTTPS://H.Test/Data", "https://h.test/Data", id="scheme and host lower"),
        pytest.param("http://h.test:80/a", "http://h.test/a", id="default port of http"),
        pytest.param("https://h.test:443/a", "https://h.test/a", id="default port of https"),
        pytest.param("http://h.test:8000/a", "http://h.test:8000/a", id="another port stays"),
        pytest.param("https://h.test/", "https://h.test", id="bare slash"),
        pytest.param("https://h.test/a/", "https://h.test/a/", id="a path's slash stays"),
        pytest.param("http://[::1]:8000/a", "http://[::1]:8000/a", id="IPv6"),
        pytest.param("https://h.test/a/../b", "https://h.test/a/../b", id="dots stay"),
    ],
)
def test_canonical_resource(sent: str, expected: str) -> None:
    assert canonical_resource(sent) == expected
    assert canonical_resource(expected) == expected


@pytest.mark.parametrize(
    "sent",
    ["", "/data/mcp", "data", "https://", "https://h.test/a#x", "https://h.test/a#",
     "https://h.test/a?b", "https://u@h.test/a", "ftp://h.test/a", "http://[::1", "http://h:x/",
     "https://h.test/\u00e9", "https://h.test/a b", "javascript:alert(1)"],
)  # fmt: skip
def test_what_is_no_resource(sent: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        canonical_resource(sent)


def _decoded(part: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return body


def _encoded(body: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()
