"""Worker credentials: what a run may do at servers for its person, and the tokens for it.

Submitting a run with a `Delegation` grants that in the run's own transaction; the worker exchanges
each grant for short tokens (RFC 8693) that name person, worker (``act``), spec, task and run. They
end with the run, and none is renewed while it is halted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from auth.audit import GRANT
from auth.grants.jobs import GRANT_TYPE, job_facts, job_grant
from auth.policy import holds
from auth.store import Grant
from ledger import audit, grants
from ledger.pool import Connection
from ledger.runs import Run
from runtimes.context import Workshop
from topology.errors import AlphaSwarmError, FaultError, RefusedError
from topology.principal import Principal
from topology.services import Topology

WORKER = "alphaswarm-worker"
"""The client that workers are; the issuer makes its key pair in the home."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """What a run asks for: ``wanted`` are scopes by server, ``source`` the server that enqueues."""

    topology: Topology
    source: str
    wanted: Mapping[str, tuple[str, ...]]

    def grant(self, connection: Connection, caller: Principal, job: Grant, *, now: int) -> None:
        """Let the worker act for ``caller`` in one job, within the transaction that submits it.

        At the source that is what the caller's token holds, elsewhere what the topology's
        ``exchange`` allows the worker, only reading where the caller only reads; of both what is
        wanted, without step-up scopes. A server where nothing is left raises
        ``insufficient_scope``. At the source it is for this task alone; elsewhere the run works
        with whatever it makes there.
        """
        for server, scopes in self.wanted.items():
            found = job_grant(
                caller,
                audience=self.topology.face(server).audience,
                scopes=scopes,
                allowed=self._allowed(caller, server),
                worker=WORKER,
                grant=job if server == self.source else replace(job, task_id=""),
                now=now,
            )
            grants.add(connection, *found)
            audit.write(
                connection,
                actor=caller.subject,
                action=GRANT,
                target=found[1].resource,
                decision="done",
                facts=job_facts(*found),
            )

    def _allowed(self, caller: Principal, server: str) -> tuple[str, ...]:
        """Return what policy and server let this caller pass on."""
        declared = self.topology.face(server).scopes
        if server == self.source:
            return tuple(scope for scope in declared if holds(caller.scopes, scope))
        rules = [
            rule
            for rule in self.topology.exchange
            if (rule.client, rule.source) == (WORKER, self.source) and server in rule.targets
        ]
        reads = all(scope.endswith(":read") for scope in caller.scopes)
        return tuple(
            scope
            for scope in declared
            if any(holds(rule.scopes, scope) for rule in rules)
            and (not reads or scope.endswith(":read"))
        )


@dataclass(frozen=True, slots=True)
class _Held:
    token: str = field(repr=False)
    renew_at: float
    ends_at: float


class Tokens:
    """The access tokens of one run, made by `tokens`; may be called from any thread."""

    def __init__(self, workshop: Workshop, run: Run) -> None:
        self._workshop = workshop
        self._run = run
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def for_server(self, name: str) -> str:
        """Return a token for the server ``name``, a new one once half of its life is over.

        ``partial(tokens.for_server, name)`` is what `clients.session.calls.open_session` takes. An
        issuer that does not answer is waited for as long as the old token lives; then that raises,
        as does a grant that is over, revoked or halted (``access_denied``) or never was.
        """
        now = self._workshop.clock.now().timestamp()
        with self._lock:
            held = self._held.get(name)
            if held is None or now >= held.renew_at:
                held = self._held[name] = self._renewed(name, held, now)
            return held.token

    def _renewed(self, name: str, held: _Held | None, now: float) -> _Held:
        try:
            return self._exchanged(name, now)
        except FaultError:
            if held is None or now >= held.ends_at:
                raise
            return held

    def _exchanged(self, name: str, now: float) -> _Held:
        from auth.clients import TOKEN_EXCHANGE
        from auth.machine_keys import proof
        from clients.tokens import token_request

        workshop = self._workshop
        face, issuer = workshop.topology.face(name), workshop.topology.issuer_url()
        sid = grants.of_run(workshop.pool, self._run.run_id).get(face.audience)
        if sid is None:
            _refuse(name, self._run.run_id)
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": sid,
            "subject_token_type": GRANT_TYPE,
            "resource": face.audience,
            **proof(workshop.home, WORKER, issuer=issuer, now=int(now)),
        }
        try:
            body = token_request(issuer, form)
        except AlphaSwarmError as error:
            if isinstance(error, FaultError):
                raise
            _refuse(name, self._run.run_id, error)
        lifetime = float(body["expires_in"])
        return _Held(str(body["access_token"]), now + lifetime / 2, now + lifetime)


def tokens(workshop: Workshop, run: Run) -> Tokens:
    """Return the tokens of a run that this worker holds."""
    return Tokens(workshop, run)


def _refuse(server: str, run_id: str, cause: AlphaSwarmError | None = None) -> NoReturn:
    raise RefusedError(
        f"The run may not act at {server!r}{' any more' if cause else ''}.",
        hint="Its spec names servers and scopes, `exchange` of the topology allows them; a run "
        "that is halted, cancelled or over has none.",
        server=server,
        run_id=run_id,
    ) from cause
