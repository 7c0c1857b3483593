"""What an issuer is told at the start: addresses, resources, clients and lifetimes."""

from __future__ import annotations

from dataclasses import dataclass, field

from auth.clients import Client
from auth.resource import Resource
from auth.tokens import MAX_LIFETIME_S
from topology.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds of everything that is issued.

    Access token, code, refresh token (sliding), grant family (absolute), device code, exchanged
    token, token for a job.
    """

    access_s: int = MAX_LIFETIME_S
    code_s: int = 60
    refresh_s: int = 1_209_600
    absolute_s: int = 7_776_000
    device_s: int = 600
    exchanged_s: int = 120
    job_s: int = 120

    def __post_init__(self) -> None:
        if self.access_s > MAX_LIFETIME_S:
            raise BadInputError(
                f"limits.tokens.access_s is {self.access_s!r}; servers refuse tokens that live "
                f"longer than {MAX_LIFETIME_S} s.",
                hint=f"Set it to {MAX_LIFETIME_S} or less: refresh tokens keep people signed in.",
            )


@dataclass(frozen=True, slots=True)
class Registration:
    """Dynamic client registration: ``redirects`` are the URIs accepted besides loopback."""

    redirects: tuple[str, ...] = ()
    per_minute: int = 60


@dataclass(frozen=True, slots=True)
class Exchange:
    """A client that may exchange tokens for ``source`` for ones for each of ``targets`` (URIs)."""

    client_id: str
    source: str
    targets: tuple[str, ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requests:
    """How many requests, and how many refused ones, one address has at an endpoint per minute."""

    per_minute: int = 30_000
    failures: int = 300


@dataclass(frozen=True, slots=True)
class IssuerConfig:
    """An issuer; ``registration`` is None where clients cannot register themselves.

    ``local_client`` is the pre-registered client whose tokens the local socket issues,
    ``exchange`` who may act for a person where, ``fetching`` whether metadata documents of clients
    are read from the web.
    """

    issuer: str
    resources: tuple[Resource, ...]
    clients: tuple[Client, ...]
    local_client: str
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    registration: Registration | None = field(default_factory=Registration)
    exchange: tuple[Exchange, ...] = ()
    requests: Requests = field(default_factory=Requests)
    fetching: bool = False

    def exchangeable(self, client_id: str, source: str, target: str) -> tuple[str, ...]:
        """Return what a client may have at ``target`` for a token of ``source``, if any."""
        found: dict[str, None] = {}
        for rule in self.exchange:
            if (rule.client_id, rule.source) == (client_id, source) and target in rule.targets:
                found |= dict.fromkeys(rule.scopes)
        return tuple(found)

    def endpoint(self, name: str) -> str:
        """Return the URL of an endpoint below the issuer."""
        return f"{self.issuer}/{name}"
