"""Requests and tokens that nobody would send, by a seed: any failure can be had again.

Plain `random` instead of hypothesis: ten thousand of them must cost seconds, and nothing shrinks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.kit.identity import CHALLENGE, CLIENT, REDIRECT, VERIFIER

ODD = [
    '"', "\\", "\u00e9", "\u202e", "\x00", "%", "%ff", "http://[::1", "//", "null", "1" * 400,
    "a b", "[]", "{}", "-1", "javascript:x", "none", "plain", "code", "token", "", " ", "\r\nX: y",
    "9" * 40, "1e999", "NaN", "true", "'; DROP TABLE identity_users; --", "../../etc/passwd",
    "\ud7ff", "\uffff", "a" * 9000, "=", "&", "+", "none login", "S256",
    "\u00ed\u00a0\u0080", "eyJhbGciOiJub25lIn0.e30.",
]  # fmt: skip
"""Values that have broken a parser somewhere."""
PARAMETERS = [
    "response_type", "client_id", "redirect_uri", "resource", "scope", "state", "code_challenge",
    "code_challenge_method", "prompt", "max_age", "acr_values", "response_mode", "grant_type",
    "code", "code_verifier", "refresh_token", "token", "token_type_hint", "client_secret",
    "username", "password", "csrf", "next", "decision", "device_code", "user_code", "spec",
    "subject_token", "subject_token_type", "client_assertion", "client_assertion_type",
    "authorization_details", "user", "otp", "credential", "name", "actor_token",
]  # fmt: skip
GOOD = [CLIENT, REDIRECT, CHALLENGE, VERIFIER, "http://localhost:8000/data/mcp", "data:read",
        "control:resume", "authorization_code", "refresh_token", "allow", "deny",
        "/as/authorize?client_id=x", "/as/device?user_code=BBBBBBBB", "client_credentials",
        "urn:ietf:params:oauth:grant-type:device_code", "BBBB-BBBB", "eyJhbGciOiJFUzI1NiJ9.e30.AA",
        "urn:ietf:params:oauth:grant-type:token-exchange", "5" * 64,
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "urn:ietf:params:oauth:token-type:access_token", "urn:alphaswarm:token-type:grant",
        "https://claude.ai/oauth/claude-code-client-metadata"]  # fmt: skip
TYPES = [
    b"application/x-www-form-urlencoded", b"application/json", b"text/plain", b"", b";", b"\xe9",
    b"application/x-www-form-urlencoded; charset=utf-16", b"multipart/form-data; boundary=x",
]  # fmt: skip
METHODS = ["GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "\u00e9"]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, as the server's protocol layer hands it over."""

    method: str
    path: str
    query: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": self.query,
            "headers": list(self.headers),
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 8000),
            "scheme": "http",
        }


@dataclass
class Requests:
    """Random requests for ``paths``; parameters that mean something are as likely as odd ones."""

    paths: Sequence[str]
    good: Callable[[], dict[str, str]]
    """A whole good request, of which a random part is replaced."""
    random: random.Random = field(default_factory=random.Random)

    def __iter__(self) -> Iterator[Sent]:
        while True:
            yield self._one()

    def _one(self) -> Sent:
        pick = self.random.choice
        pairs = self._pairs()
        text = "&".join(
            f"{quote(name, safe='%')}={quote(value, safe='%')}" for name, value in pairs
        )
        raw = text.encode("utf-8", "surrogatepass")
        body = pick([raw, raw, raw, self._json(), self.random.randbytes(self.random.randrange(99))])
        kind = pick([TYPES[0], TYPES[0], TYPES[0], *TYPES])
        query = pick([b"", b"", raw, self.random.randbytes(20)])
        headers = [(b"host", b"localhost:8000"), (b"content-type", kind)]
        headers += self._extra()
        return Sent(pick(METHODS), pick(self.paths), query, body, tuple(headers))

    def _pairs(self) -> list[tuple[str, str]]:
        pairs = list(self.good().items()) if self.random.random() < 0.5 else []
        for _ in range(self.random.randrange(6)):
            pairs.append((self._name(), self._value()))
        self.random.shuffle(pairs)
        return pairs

    def _name(self) -> str:
        return self.random.choice([*PARAMETERS, *ODD[:6]])

    def _value(self) -> str:
        if self.random.random() < 0.2:
            count = self.random.randrange(20)
            return "".join(
                chr(
                    self.random.choice(
                        [self.random.randrange(1, 128), self.random.randrange(0x80, 0xD800)]
                    )
                )
                for _ in range(count)
            )
        return self.random.choice([*GOOD, *ODD])

    def _json(self) -> bytes:
        made = {self._name(): self._nested(3) for _ in range(self.random.randrange(5))}
        return json.dumps(made).encode("utf-8", "surrogatepass")

    def _nested(self, depth: int) -> Any:
        leaves: list[Any] = [None, True, -1, 1e308, float("nan"), self._value(), self._value()]
        if depth and self.random.random() < 0.4:
            inner = [self._nested(depth - 1) for _ in range(self.random.randrange(3))]
            return self.random.choice([inner, {self._value(): one for one in inner}])
        return self.random.choice(leaves)

    def _extra(self) -> list[tuple[bytes, bytes]]:
        value = self._value().encode("utf-8", "surrogatepass").replace(b"\r\n", b"")
        found = [(b"cookie", value), (b"authorization", b"Basic " + value), (b"origin", value)]
        found += [(b"cookie", b"a=" + value), (b"authorization", value)]
        return self.random.sample(found, self.random.randrange(3))


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@dataclass
class Tokens:
    """Mutations of good tokens; ``public`` is the PEM of the issuer's key.

    None of them is a good token again: what would be the same text is made anew.
    """

    good: Sequence[str]
    public: bytes
    random: random.Random = field(default_factory=random.Random)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the name of a mutation and its token."""
        kinds = [
            self.flipped, self.cut, self.doubled, self.mixed, self.claimed, self.headed,
            self.symmetric, self.unsigned, self.padded, self.loose, self.noise,
        ]  # fmt: skip
        while True:
            kind = self.random.choice(kinds)
            token = kind(self.random.choice(self.good))
            if token not in self.good:
                yield kind.__name__, token

    def flipped(self, token: str) -> str:
        """Change one character."""
        at = self.random.randrange(len(token))
        other = self.random.choice(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~"
        )
        return token[:at] + other + token[at + 1 :]

    def cut(self, token: str) -> str:
        """Leave out a stretch."""
        begin = self.random.randrange(len(token))
        return token[:begin] + token[begin + self.random.randrange(1, 40) :]

    def doubled(self, token: str) -> str:
        """Repeat a part."""
        parts = token.split(".")
        parts.insert(self.random.randrange(4), self.random.choice(parts))
        return ".".join(parts)

    def mixed(self, token: str) -> str:
        """Join parts of several tokens."""
        return ".".join(self.random.choice(self.good).split(".")[i] for i in range(3))

    def claimed(self, token: str) -> str:
        """Change a claim and keep the signature."""
        head, body, signature = token.split(".")
        claims = json.loads(decoded(body))
        name = self.random.choice([*claims, "act", "cnf", "task_id", "extra"])
        claims[name] = self.random.choice(
            [None, "", "ada", 1, -1, 2**70, True, [], {}, ["x"], "control:halt"]
        )
        return f"{head}.{encoded(json.dumps(claims).encode())}.{signature}"

    def headed(self, token: str) -> str:
        """Change the header and keep the signature."""
        head, body, signature = token.split(".")
        header = json.loads(decoded(head))
        header[
            self.random.choice(["alg", "typ", "kid", "jku", "jwk", "x5c", "crit", "b64", "zip"])
        ] = self.random.choice(
            [None, "", "none", "HS256", "RS256", "JWT", "http://evil.test", [], {}, ["exp"], False]
        )
        return f"{encoded(json.dumps(header).encode())}.{body}.{signature}"

    def symmetric(self, token: str) -> str:
        """Sign with the public key as if it were a secret."""
        head, body, _ = token.split(".")
        header = {**json.loads(decoded(head)), "alg": "HS256"}
        signed = f"{encoded(json.dumps(header).encode())}.{body}"
        return f"{signed}.{encoded(hmac.digest(self.public, signed.encode(), hashlib.sha256))}"

    def unsigned(self, token: str) -> str:
        """Say that no signature is needed."""
        head, body, signature = token.split(".")
        header = {
            **json.loads(decoded(head)),
            "alg": self.random.choice(["none", "None", "NONE", ""]),
        }
        return (
            f"{encoded(json.dumps(header).encode())}.{body}.{self.random.choice(['', signature])}"
        )

    def padded(self, token: str) -> str:
        """Add characters that a lenient decoder skips."""
        at = self.random.randrange(len(token) + 1)
        return (
            token[:at]
            + self.random.choice(["=", "==", "!", "%20", "~", "\u00e9", "*"])
            + token[at:]
        )

    def loose(self, token: str) -> str:
        """Set bits that a signature's last character has to spare."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return token[:-1] + alphabet[alphabet.index(token[-1]) ^ self.random.randrange(1, 16)]

    def noise(self, token: str) -> str:
        """Return no token at all."""
        size = self.random.choice([0, 1, 3, 40, 9000])
        return "".join(chr(self.random.randrange(33, 256)) for _ in range(size)) or "."
