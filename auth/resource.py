"""Resource indicators (RFC 8707): which server a token is for, and which scopes that server has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from auth.tokens import canonical_resource
from auth.wire import Parameters, refusal

OFFLINE = "offline_access"


@dataclass(frozen=True, slots=True)
class Resource:
    """A declared MCP server: its audience, its scopes and the one that reading needs."""

    uri: str
    scopes: tuple[str, ...]
    read_scope: str


class Resources:
    """The declared resources, and an authlib grant extension that holds requests to them."""

    def __init__(self, declared: Iterable[Resource]) -> None:
        self._declared = {resource.uri: resource for resource in declared}

    def __call__(self, grant: Any) -> None:
        """Hook into the authorization endpoint."""
        grant.register_hook("after_validate_authorization_request_payload", self._resolve)

    def find(self, sent: Sequence[str]) -> Resource:
        """Return the one resource asked for, or raise ``invalid_target``.

        One trailing slash is tolerated (Claude Code appends it); the token carries the declared
        URI all the same.
        """
        if len(sent) == 0:
            raise refusal("invalid_target", "resource is required: the URL of one MCP server.")
        try:
            uris = {canonical_resource(text) for text in sent}
        except ValueError:
            raise refusal("invalid_target", "resource is not an absolute http(s) URI.") from None
        known = self._declared.get(uri := uris.pop()) or self._declared.get(uri.removesuffix("/"))
        if uris or known is None:
            raise refusal("invalid_target", "resource is not a server of this issuer.")
        return known

    def check_same(self, parameters: Parameters, granted: str) -> None:
        """Raise ``invalid_target`` where a token request names another resource than granted."""
        sent = parameters.datalist.get("resource", [])
        if sent and self.find(sent).uri != granted:
            raise refusal("invalid_target", "The grant is for another resource.")

    def _resolve(self, grant: Any, _: Any) -> None:
        request = grant.request
        resource = self.find(request.payload.datalist.get("resource", []))
        request.resource = resource.uri
        request.scope = scopes_for(resource, request.payload.scope)


def scopes_for(resource: Resource, asked: str | None) -> str:
    """Return the scopes to grant, sorted: those asked for, or the read scope where none is named.

    ``offline_access`` is accepted and dropped. A scope of another server raises ``invalid_scope``.
    """
    scopes = {scope for scope in (asked or "").split(" ") if scope} - {OFFLINE}
    if not scopes <= set(resource.scopes):
        raise refusal("invalid_scope", "This resource has no such scope.")
    return " ".join(sorted(scopes)) or resource.read_scope
