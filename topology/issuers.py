"""Whose tokens servers take: our own issuer, or an OpenID provider that somebody else runs.

An external issuer is described, never programmed for: where its keys are, what its tokens call
things, and what its kinds of sign-in are worth to us.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from topology.fields import Name, Scope, Section, ServerPath, WebUrl, web_url

_WORD = r"^[!#-\[\]-~]{1,256}$"


def _issuer_url(text: str) -> str:
    web_url(text.removesuffix("/"))
    return text


def _by_server(value: Any) -> Any:
    return {} if value == "resource" else value


IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
"""An issuer identifier; some end with a slash, and it is compared letter by letter."""
Word = Annotated[str, Field(pattern=_WORD)]
"""Visible ASCII without quotes and backslashes: it may stand in a challenge."""
Actor = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}(:[!#-\[\]-~]{1,256})?$")]
"""A client that acts for people: one of ours, or ``ISSUER:CLIENT`` of an external issuer."""
Audiences = Annotated[
    dict[Name, Word],
    BeforeValidator(_by_server),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "resource"},
                {"type": "object", "additionalProperties": {"type": "string", "pattern": _WORD}},
            ]
        }
    ),
]


class EmbeddedIssuer(Section):
    """Our own authorization server, at ``base_url`` + ``path``."""

    kind: Literal["embedded"]
    path: ServerPath
    algs: tuple[Literal["ES256"], ...] = Field(default=("ES256",), min_length=1)


class ClaimNames(Section):
    """What an issuer's tokens call each thing that we need to know."""

    sub: Word = "sub"
    client_id: Word = "client_id"
    scope: Word = "scope"
    jti: Word = "jti"
    acr: Word = "acr"
    auth_time: Word = "auth_time"


class SignIns(Section):
    """What an issuer's kinds of sign-in are worth: 1 a password, 2 a second factor, 3 a passkey.

    A kind that is not listed is worth nothing. ``max_age`` (seconds) is the same for every issuer.
    """

    acr: dict[Word, Literal[1, 2, 3]] = Field(min_length=1)
    max_age: Literal[300] = 300


class ExternalIssuer(Section):
    """An OpenID provider: its keys are found by discovery, its tokens read by a claim map.

    ``audience`` is ``resource`` (``aud`` is the server's URL), or what ``aud`` is by server.
    ``scopes`` says which scopes each value of the scope claim (a role, a group) stands for; where
    it is empty the values are our scopes. A token is taken for ``lifetime_s`` after it was issued:
    nobody tells us that it was revoked.
    """

    kind: Literal["oidc"]
    issuer: IssuerUrl
    algs: tuple[Literal["ES256", "RS256"], ...] = Field(default=("RS256",), min_length=1)
    typ: tuple[Literal["at+jwt", "application/at+jwt", "JWT"], ...] = Field(
        default=("at+jwt", "application/at+jwt"), min_length=1
    )
    audience: Audiences = Field(default_factory=dict)
    claims: ClaimNames = ClaimNames()
    scope_form: Literal["text", "list"] = "text"
    scopes: dict[Word, tuple[Scope, ...]] = Field(default_factory=dict)
    step_up: SignIns | None = None
    lifetime_s: Annotated[int, Field(ge=10, le=900)] = 300


Issuer = Annotated[EmbeddedIssuer | ExternalIssuer, Field(discriminator="kind")]


class Resource(Section):
    """A server of another suite that our issuer makes tokens for: its audience and its scopes."""

    audience: WebUrl
    scopes: tuple[Scope, ...] = Field(min_length=1)

    @property
    def read_scope(self) -> str:
        """The scope that reading there needs: the server's name stands before each of them."""
        return f"{self.scopes[0].partition(':')[0]}:read"
