"""The real suite on a free port: real tools, real issuer, real stores, and a person to sign in.

No workers run: a submitted run stays queued until a test works it.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from auth import store as rows
from auth.accounts import Accounts
from auth.local import LocalRequest, sign_in_locally
from ledger.identity import IdentityStore
from servers import everything
from servers.identity.compose import Identity, ledger_sink, open_identity
from tests.kit.faces import served
from tests.kit.fixture_server import free_port
from tests.kit.identity import CHEAP, PASSWORD, USERNAME
from tools.registry import Office
from topology import services
from topology.clock import SystemClock
from topology.home import Home
from topology.services import Topology


@dataclass(frozen=True)
class Live:
    """A suite that answers at ``topology.base_url``."""

    topology: Topology
    office: Office
    identity: Identity

    def url(self, server: str) -> str:
        return self.topology.face(server).url

    def token(self, server: str, *scopes: str) -> str:
        """Return an access token of the owner of this process, as ``login --local`` gets it."""
        face = self.topology.face(server)
        owner = pwd.getpwuid(os.geteuid()).pw_name
        wanted = " ".join(scopes or (face.read_scope,))
        reply = sign_in_locally(self.identity.issuer, owner, LocalRequest(face.audience, wanted))
        assert reply.status == 200, reply.body
        return str(cast("dict[str, Any]", reply.body)["access_token"])


@pytest.fixture(scope="session")
def live(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serve the suite over the test home for the whole session.

    Its socket for local sign-ins lies in a home of its own, so that a test may start servers of
    the test home beside it.
    """
    clock = SystemClock()
    topology = services.load({}, port=free_port())
    moved = dataclasses.replace(office, topology=topology)
    store, sink = IdentityStore(office.pool, rows), ledger_sink(office.pool)
    identity = open_identity(topology, office.home, store, sink, clock, passwords=CHEAP)
    aside = Home(tmp_path_factory.mktemp("live"))
    aside.ensure()
    identity = dataclasses.replace(identity, home=aside)
    accounts = Accounts(store, sink, clock, CHEAP)
    accounts.ensure(USERNAME)  # a test of the ledger may have left one of this name
    accounts.set_password(USERNAME, PASSWORD)
    with served(everything.suite(moved, identity), topology):
        yield Live(topology, moved, identity)
