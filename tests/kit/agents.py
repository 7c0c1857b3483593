"""Agent runs in this very thread: a scripted model, an office of tools, real rows."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ledger import outbox, runs, specs
from ledger.pool import transaction
from runtimes.agent.runtime import AgentRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.specs.agent import AgentSpec
from runtimes.specs.base import parse
from runtimes.specs.held import effect_of, schema_sha256
from tests.kit.models import ScriptedModel, allowing, described
from tests.kit.work import frames_of
from topology.clock import SystemClock
from topology.frames import Frame
from topology.ids import new_id

Tool = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def wire(
    name: str, *, reads: bool = True, destroys: bool = False, **properties: Any
) -> dict[str, Any]:
    """Return a tool as a server lists it; ``properties`` are its arguments, all required."""
    return {
        "name": name,
        "description": f"The tool {name}.",
        "inputSchema": {
            "type": "object",
            "properties": properties,
            "required": [key for key in properties if key not in {"as_of", "dispatch_key"}],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": reads, "destructiveHint": destroys},
    }


TEXT = {"type": "string"}
BARS = wire("get_bars", symbol=TEXT, as_of={"type": ["string", "null"]})
NOTE = wire("note", reads=False, text=TEXT, dispatch_key={"type": ["string", "null"]})
POST = wire("post", reads=False, text=TEXT)
DROP = wire("drop", reads=False, destroys=True, table=TEXT)


@dataclass
class Called:
    """One call as the office heard it."""

    server: str
    tool: str
    arguments: Mapping[str, Any]
    key: str


@dataclass
class Office:
    """Stands for the servers that a run may call: what they list, and what each tool does."""

    listed: Mapping[str, Sequence[Mapping[str, Any]]]
    does: Mapping[str, Tool] = field(default_factory=dict)
    heard: list[Called] = field(default_factory=list)
    lists: int = 0

    async def tools(self, server: str) -> Sequence[Mapping[str, Any]]:
        self.lists += 1
        return self.listed[server]

    async def call(
        self, server: str, tool: str, arguments: Mapping[str, Any], *, key: str, timeout_s: float
    ) -> Mapping[str, Any]:
        self.heard.append(Called(server, tool, dict(arguments), key))
        does = self.does.get(tool)
        return does(arguments) if does else {"ok": True, "given": dict(arguments)}

    def __call__(self, topology: Any, tokens: Any, servers: Sequence[str]) -> Any:
        """Open the doors: satisfies `runtimes.agent.doors.OpenDoors`."""
        return self._open()

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[Office]:
        yield self

    def held(self, server: str, name: str, **keys: Any) -> dict[str, Any]:
        """Return the spec's entry of a tool, pinned as locking does it."""
        one = next(w for w in self.listed[server] if w["name"] == name)
        pinned = {"schema_sha256": schema_sha256(one), "effect": effect_of(one), "scopes": []}
        return {"server": server, "name": name, **pinned, **keys}


@dataclass(frozen=True)
class AgentBench:
    """Submits agent runs and performs them in this very thread."""

    workshop: Workshop

    def submit(self, body: Mapping[str, Any], **inputs: Any) -> runs.Run:
        """Return a queued run of a spec as it stands; ``inputs`` as dispatch writes them."""
        pinned = {"provider": "openai_compatible", "model": "scripted"}
        spec = parse("agent", {"kind": "agent", "models": [pinned], **body})
        assert isinstance(spec, AgentSpec)
        now = SystemClock().now()
        with transaction(self.workshop.pool) as connection:
            version = specs.lock(connection, "agent", spec.body(), by="tester")
            run = runs.insert(
                connection,
                "agent",
                run_id=new_id(now),
                task_id=new_id(now),
                spec_sha256=version.sha256,
                requested_by=inputs.pop("by", "tester"),
                inputs=inputs,
            )
            outbox.put(
                connection, queue="interactive", actor="agent", run_id=run.run_id, kind="agent"
            )
        return run

    def perform(
        self, run: runs.Run, office: Office | None = None, model: ScriptedModel | None = None
    ) -> runs.Run:
        """Perform a run and return its row afterwards."""
        office = office or Office({})
        perform(self.at(model), "agent", run.run_id, lambda: AgentRuntime(office))
        return runs.get(self.workshop.pool, run.run_id)

    def at(self, model: ScriptedModel | None) -> Workshop:
        """Return the workshop of a suite whose topology names ``model`` as ``local``, or none."""
        models = {} if model is None else {"local": described(model.url)}
        changed = {"models": models, "egress": allowing(*models.values())}
        topology = self.workshop.topology.model_copy(update=changed)
        return dataclasses.replace(self.workshop, topology=topology)

    def frames(self, run: runs.Run) -> list[Frame]:
        return frames_of(self.workshop.pool, run.task_id)


@pytest.fixture
def agents(workshop: Workshop) -> AgentBench:
    """Return a bench for agents over the test home."""
    return AgentBench(workshop)
