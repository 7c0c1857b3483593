"""Errors as the wire brings them, raised again as the errors of `topology.errors`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from topology.errors import AlphaSwarmError, FaultError, RefusedError

UNREACHABLE = "unreachable"
SIGN_IN = "sign_in_required"
_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


def from_body(body: object) -> AlphaSwarmError:
    """Return the error that an error object ``{code, message, hint, facts}`` stands for.

    A code that no class of ours has keeps its text, on the root of the tree; what is no error
    object at all becomes ``internal``.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("code"), str):
        return FaultError(
            "The server's answer is not one of AlphaSwarm's.",
            hint="Run `alphaswarm doctor`: another program may be listening on this port.",
        )
    code = str(body["code"])
    facts = body.get("facts")
    error = _CLASSES.get(code, AlphaSwarmError)(
        str(body.get("message") or code), hint=str(body.get("hint") or ""), code=code
    )
    error.facts = dict(facts) if isinstance(facts, Mapping) else {}
    return error


def unreachable(what: str, problem: str = "") -> FaultError:
    """Return the error for ``what`` (a subject with its verb's number, singular) not answering."""
    return FaultError(
        f"{what} does not answer{f': {problem}' if problem else ''}.",
        hint="Start the suite with `alphaswarm up`, or look with `alphaswarm doctor`.",
        code=UNREACHABLE,
    )


def sign_in(server: str, why: str = "You are not signed in to") -> RefusedError:
    """Return the error that a sign-in cures."""
    return RefusedError(
        f"{why} the server {server!r}.",
        hint="Sign in with `alphaswarm login` (browser) or `alphaswarm login --local`.",
        code=SIGN_IN,
        server=server,
    )


def abroad(server: str, issuer: str) -> RefusedError:
    """Return the error of a sign-in that is not ours to make: people of ``server`` go elsewhere."""
    return RefusedError(
        f"People sign in to the server {server!r} at {issuer}, not at an issuer of this suite.",
        hint="MCP clients find that issuer by themselves. For this command the server must take "
        "tokens of ours: `issuer: local` and `trusts` in the topology.",
        code=SIGN_IN,
        server=server,
        issuer=issuer,
    )


def refusal(status: int, challenge: str, body: object, *, server: str) -> AlphaSwarmError:
    """Return the error for an HTTP 401 or 403 from a server.

    ``challenge`` is its ``WWW-Authenticate``. The error object of the body wins; the challenge
    says what kind of sign-in is missing (RFC 6750, RFC 9470).
    """
    said = dict(_PARAMETER.findall(challenge))
    problem = said.get("error", "")
    facts = {key: said[key] for key in ("scope", "acr_values", "max_age") if key in said}
    if isinstance(body, Mapping) and "code" in body:
        error = from_body(body)
        error.facts = {**facts, **error.facts}
        return error
    if problem == "insufficient_user_authentication":
        return RefusedError(
            f"The server {server!r} asks for a fresh password sign-in.",
            hint="Sign in again with `alphaswarm login`.",
            code="step_up_required",
            **facts,
        )
    if status == 403 and problem == "insufficient_scope":
        return RefusedError(
            f"Your sign-in at {server!r} does not cover this.",
            hint="Sign in again with `alphaswarm login`.",
            code="insufficient_scope",
            **facts,
        )
    if status == 403:
        return RefusedError(f"The server {server!r} refuses this to you.", server=server)
    return sign_in(server, "Your sign-in has ended at")


def _tree(root: type[AlphaSwarmError]) -> Iterator[type[AlphaSwarmError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


_CLASSES: dict[str, type[AlphaSwarmError]] = {}
for _class in _tree(AlphaSwarmError):
    # Only the words of topology: what another floor adds is not loaded in every process.
    if _class.__module__ == AlphaSwarmError.__module__:
        _CLASSES.setdefault(_class.code, _class)
