"""The issuer of a topology: its configuration, routes, verifiers and local socket."""

from __future__ import annotations

import os
import pwd
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from starlette.routing import BaseRoute

from auth.accounts import Accounts
from auth.audit import Sink
from auth.config import Exchange, IssuerConfig, Lifetimes, Registration, Requests
from auth.core import Issuer
from auth.factors.passwords import Passwords
from auth.factors.seal import Seal
from auth.keys import KeyRing
from auth.resource import Resource
from auth.store import Family, Grant, Store
from auth.tokens import Families, Verifier
from ledger import audit
from ledger.pool import Pool
from servers.identity.app import IdentityApp
from servers.identity.clients import registered
from servers.identity.local import LocalLogin
from topology.clock import Clock
from topology.errors import BadInputError, LatchUnreadableError
from topology.fields import is_loopback
from topology.home import Home
from topology.latch import Latch
from topology.services import Topology

LOCAL_CLIENT = "alphaswarm-cli"
SOCKET = "login.sock"


@dataclass(frozen=True)
class Identity:
    """An open issuer; one per process, so that all verifiers share what is known of families."""

    issuer: Issuer
    families: Families
    home: Home

    def routes(self) -> list[BaseRoute]:
        """Return the issuer's routes for the root application."""
        return list(IdentityApp(self.issuer).routes())

    def verifier(self, audience: str) -> Verifier:
        """Return what checks tokens for one resource."""
        return Verifier(
            issuer=self.issuer.config.issuer,
            keys=self.issuer.keys.public,
            resource=audience,
            families=self.families,
        )

    def local_login(self) -> AbstractContextManager[None]:
        """Serve ``login.sock`` for the owner of this process, whose account is made if missing."""
        uid = os.geteuid()
        owner = pwd.getpwuid(uid).pw_name
        Accounts(self.issuer.store, self.issuer.audit, self.issuer.clock).ensure(owner)
        return LocalLogin(self.issuer, self.home.sockets / SOCKET, uid=uid, username=owner)


def open_identity(
    topology: Topology,
    home: Home,
    store: Store,
    audit_sink: Sink,
    clock: Clock,
    *,
    passwords: Passwords | None = None,
) -> Identity:
    """Open the embedded issuer; the first signing key is made where there is none."""
    keys = KeyRing(home.keys)
    keys.ensure(clock.now().timestamp())
    issuer = Issuer(
        config_of(topology, home),
        store=store,
        keys=keys,
        audit=audit_sink,
        clock=clock,
        passwords=passwords,
        seal=Seal.open(home.keys),
        stopped=partial(halted, topology, home),
    )
    return Identity(issuer, Families(store.family_alive), home)


def config_of(topology: Topology, home: Home) -> IssuerConfig:
    """Return what the topology says about its issuer.

    Clients register themselves only where every listening address is this machine's. A topology
    whose servers take nobody's tokens but those of external issuers raises `BadInputError`.
    """
    if topology.embedded is None:
        raise BadInputError(
            "This suite has no issuer of its own: its servers take the tokens of others.",
            hint="Name one of `kind: embedded` at a server, as `issuer` or in `trusts`.",
            issuers=sorted(topology.issuers),
        )
    tokens = topology.limits.tokens
    own = topology.issuer_url(topology.embedded)
    faces = [face for face in topology.faces.values() if own in face.issuers]
    resources = [Resource(f.audience, f.scopes, f.read_scope) for f in faces]
    resources += [Resource(r.audience, r.scopes, r.read_scope) for r in topology.resources.values()]
    local = all(is_loopback(host) for host in topology.listen.hosts)
    return IssuerConfig(
        issuer=own,
        resources=tuple(resources),
        clients=registered(topology, home),
        local_client=LOCAL_CLIENT,
        lifetimes=Lifetimes(
            access_s=tokens.access_s,
            code_s=tokens.code_s,
            refresh_s=tokens.refresh_s,
            absolute_s=tokens.absolute_s,
            device_s=tokens.device_s,
            exchanged_s=tokens.exchanged_s,
            job_s=tokens.job_s,
        ),
        exchange=tuple(
            Exchange(
                client_id=rule.client,
                source=topology.faces[rule.source].audience,
                targets=tuple(topology.audience(name) for name in rule.targets),
                scopes=rule.scopes,
            )
            for rule in topology.exchange
        ),
        requests=Requests(topology.limits.requests.per_minute, topology.limits.requests.failures),
        fetching=topology.egress.cimd,
        registration=Registration(topology.registration.redirects) if local else None,
    )


def halted(topology: Topology, home: Home, grant: Grant, family: Family) -> bool:
    """Tell whether what a grant is for is halted; a latch that cannot be read says yes."""
    kinds = [
        f"kind:{name}" for name, face in topology.faces.items() if face.audience == family.resource
    ]
    runs = [f"run:{grant.run_id}"] if grant.run_id else []
    try:
        with Latch.open(home.latch) as latch:
            return latch.pressed(["all", *kinds, *runs]) is not None
    except LatchUnreadableError:
        return True


def ledger_sink(pool: Pool) -> Sink:
    """Return a sink that appends to the audit chain of the ledger."""
    return partial(audit.append, pool)
