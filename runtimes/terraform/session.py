"""One attempt's hold on a stack: its folder, locked, the tree in it and the program at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from ledger.plans import LIVES_S
from runtimes.context import RunContext
from runtimes.specs.terraform import StackSpec
from runtimes.terraform import binary, formats
from runtimes.terraform.folder import Folder, PlanFiles
from runtimes.terraform.formats import Message, PlanShown, State
from runtimes.terraform.program import Ended, Program
from topology.canonical import sha256
from topology.credentials import CredentialRef
from topology.errors import RefusedError, did_you_mean, nearest
from topology.home import write_private
from topology.services import Topology

PURPOSE = "stacks"
"""What the registries of providers are listed for, under ``egress`` in the topology."""
_INIT = ("init", "-input=false", "-lockfile=readonly", "-no-color")
_PLAN = ("plan", "-input=false", "-json", "-detailed-exitcode", "-lock-timeout=10s")
_MODES = {"apply": (), "destroy": ("-destroy",), "refresh": ("-refresh-only",)}
KEPT_S = 2 * LIVES_S
"""When a plan that nobody applied is forgotten: nobody can approve it any more."""
CHANGED = 2
"""Exit status of ``plan -detailed-exitcode`` where something would change; 0 is nothing."""

_VERSIONS: dict[str, dict[str, Any]] = {}

Heard = Callable[[Message], object]


@dataclass(frozen=True, slots=True)
class Session:
    """The program in the folder of one stack, which nobody else uses meanwhile."""

    spec: StackSpec
    folder: Folder
    files: PlanFiles
    program: Program

    def state(self) -> State:
        """Return the state, wherever the module's backend keeps it; no value of it is kept."""
        return formats.state(self.program.demand("state", "pull", logged=False).output)

    def plan(self) -> PlanShown:
        """Plan into ``plan.bin`` and return it as JSON tells it, which ``plan.json`` keeps."""
        self.compare(f"-out={self.files.binary}")
        shown = self.program.demand("show", "-json", str(self.files.binary), logged=False)
        write_private(self.files.shown, shown.output.decode(errors="replace"))
        self.files.binary.chmod(0o600)
        return formats.plan(shown.output)

    def compare(self, *more: str, heard: Heard | None = None) -> bool:
        """Plan, and tell whether anything is not as the tree says."""
        mode = _MODES[self.spec.mode]
        variables = f"-var-file={self.folder.variables}"
        ended = self.program.run(*_PLAN, *mode, variables, *more, heard=heard)
        return self.program.accepted("plan", ended, (0, CHANGED)).status == CHANGED

    def apply(self, heard: Heard) -> Ended:
        """Apply ``plan.bin``; the caller judges how it ended."""
        plan = str(self.files.binary)
        return self.program.run("apply", "-input=false", "-json", plan, heard=heard)


@contextlib.contextmanager
def opened(context: RunContext, spec: StackSpec) -> Iterator[Session]:
    """Yield the session of a run; waits while another one, or what it left running, has the stack.

    The run is pinned to the program: another build of it in a later attempt is ``replay_diverged``.
    """
    workshop = context.workshop
    found = binary.find(workshop.topology.terraform.binary)
    secrets = resolved(workshop.topology, spec)
    folder = Folder.of(workshop.home, spec.name)
    files = folder.plan(context.run.run_id)
    files.open()

    def waiting(seconds: float) -> None:
        context.checkpoint()
        workshop.stopping.wait(seconds)

    with folder.held(waiting) as lock:
        folder.drop_secrets(before=workshop.clock.now().timestamp() - KEPT_S)
        folder.lay(spec.files, spec.vars)
        write_private(folder.root / binary.CONFIG, _configuration(workshop.topology))
        program = Program(
            binary=found.path,
            folder=folder.module,
            environ=binary.environment(folder.root, secrets),
            secrets=tuple(secrets.values()),
            checkpoint=context.checkpoint,
            limits=workshop.topology.limits.halt,
            lock=lock,
            log=files.log,
        )
        _pin(context, binary.facts(found, _version(program, found.sha256)))
        program.demand(*_INIT)
        yield Session(spec, folder, files, program)


def resolved(topology: Topology, spec: StackSpec) -> dict[str, SecretStr]:
    """Return the secrets that a stack names, by environment variable.

    Only those that ``terraform.credentials`` lists: a stack may not have the ledger's password.
    """
    allowed = topology.terraform.credentials
    for variable, name in spec.credentials.items():
        if name not in allowed:
            raise RefusedError(
                f"No stack may use a credential called {name!r}.",
                hint=did_you_mean(name, allowed)
                or "List it in topology.yaml under terraform.credentials.",
                path=f"credentials.{variable}",
                nearest=nearest(name, allowed),
            )
    return {
        variable: CredentialRef.parse(topology.credentials[name].source).resolve()
        for variable, name in spec.credentials.items()
    }


def _version(program: Program, sha256: str) -> dict[str, Any]:
    """Return what the program says of itself; the same bytes are asked once."""
    if sha256 not in _VERSIONS:
        answer = program.demand("version", "-json", logged=False).output
        _VERSIONS[sha256] = formats.version(answer)
    return _VERSIONS[sha256]


def _configuration(topology: Topology) -> str:
    hosts = tuple(a.host for a in topology.egress.allow if PURPOSE in a.purposes)
    return binary.configuration(hosts, topology.terraform.mirror)


def _pin(context: RunContext, engine: dict[str, str]) -> None:
    run = context.run
    asked: dict[str, Any] = {"spec_sha256": run.spec_sha256, "inputs": run.inputs, "seed": None}
    asked |= {"snapshot_ids": {}, "engine": engine}
    context.pin(snapshot_ids={}, engine=engine, run_sha=sha256(asked))
