"""Who is calling: the facts of a verified token, without the token."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller of one server.

    ``actor`` names the agent or worker that acts for ``subject`` (RFC 8693 ``act``), or is None for
    a person. ``auth_time`` is in seconds since the epoch, 0 when unknown. ``bound`` is the hash of
    the one action that the token is for, empty where it is for none. ``task_id`` and ``run_id``
    name the only job that a worker's token is for.
    """

    subject: str
    client_id: str
    scopes: frozenset[str] = field(default_factory=frozenset)
    actor: str | None = None
    acr: str = ""
    auth_time: int = 0
    jti: str = ""
    sid: str = ""
    bound: str = ""
    task_id: str = ""
    run_id: str = ""

    def facts(self) -> dict[str, str | int]:
        """Return what the audit ledger records of the caller."""
        return {
            "client_id": self.client_id,
            "jti": self.jti,
            "sid": self.sid,
            "acr": self.acr,
            "auth_time": self.auth_time,
        }


ANONYMOUS = Principal(subject="anonymous", client_id="none")
SYSTEM = Principal(subject="system", client_id="system")
