"""Workloads as resources of ``control``: how one is now, and what it wrote, with secrets hidden."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from runtimes.specs.workload import WorkloadSpec
from runtimes.workload.base import Provider
from runtimes.workload.runtime import provider_of, secrets_of, spec_of
from tools import runs as seen
from tools.registry import Office, resource
from topology.errors import AlphaSwarmError
from topology.principal import Principal
from topology.redact import HIDDEN, redact

READ = Rule(scopes=("control:read",), actor="any")
LINES = 2_000
SHORT = 4
"""A secret of fewer characters would blot out half of every log."""


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


class WorkloadView(Frozen):
    """A workload as its provider sees it now; ``phase`` absent: it was never started."""

    run_id: str
    name: str
    provider: str
    phase: str
    well: bool | None
    restarts: int
    exit_code: int | None


class WorkloadLog(Frozen):
    """The last lines that a workload wrote, the oldest first."""

    run_id: str
    lines: list[str]


@resource(
    server="control", uri="control://workloads/{run_id}", auth=READ, title="How a workload is"
)
def workload(run_id: str, *, office: Office, caller: Principal) -> WorkloadView:
    """Return how a workload is now, as its provider says."""
    del caller
    spec, provider = _of(office, run_id)
    status = provider.status(run_id)
    return WorkloadView(
        run_id=run_id,
        name=spec.name,
        provider=spec.provider,
        phase=status.phase,
        well=status.well,
        restarts=status.restarts,
        exit_code=status.exit_code,
    )


@resource(
    server="control", uri="control://workloads/{run_id}/log", auth=READ, title="A workload's log"
)
def workload_log(run_id: str, *, office: Office, caller: Principal) -> WorkloadLog:
    """Return the end of what a workload wrote, at most 2,000 lines; what looks secret is hidden."""
    del caller
    spec, provider = _of(office, run_id)
    lines = provider.logs(run_id, lines=LINES)
    return WorkloadLog(run_id=run_id, lines=hidden(lines, _secrets(office, spec)))


def hidden(lines: Iterable[str], secrets: Iterable[str]) -> list[str]:
    """Return lines without these secrets, and without what looks like another one."""
    known = [secret for secret in secrets if len(secret) >= SHORT]
    found = []
    for line in lines:
        for secret in known:
            line = line.replace(secret, HIDDEN)  # noqa: PLW2901  one secret after the other
        found.append(redact(line))
    return found


def _of(office: Office, run_id: str) -> tuple[WorkloadSpec, Provider]:
    run = seen.read(office, run_id, kind="workload")
    spec = spec_of(office.pool, run.spec_sha256)
    return spec, provider_of(spec, office.topology, office.home)


def _secrets(office: Office, spec: WorkloadSpec) -> list[str]:
    try:
        found = secrets_of(spec, office.topology)
    except AlphaSwarmError:
        return []  # a secret that is gone can be hidden no more
    return [secret.get_secret_value() for secret in found.values()]
