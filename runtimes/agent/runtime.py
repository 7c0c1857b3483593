"""One agent run: limits, identity, memory, tools, the walk of its graph, and what it found."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import SecretStr

from ledger import budgets, llm_calls, specs, tool_calls, transcripts
from ledger.budgets import Amounts
from ledger.waiting import Wait
from runtimes.agent import memory
from runtimes.agent.book import RunBook
from runtimes.agent.crew import Crew
from runtimes.agent.doors import OpenDoors, open_doors
from runtimes.agent.identity import identity
from runtimes.agent.models import chosen, contaminated
from runtimes.agent.replaying import Replay
from runtimes.agent.toolbox import OWN, ApprovalNeeded, Doors, Toolbox
from runtimes.base import Outcome, ReplayDivergedError, Runtime, refuse_divergence
from runtimes.context import LOOK_S, RunContext
from runtimes.credentials import tokens
from runtimes.gateway.complete import Calls
from runtimes.gateway.words import BudgetExceededError
from runtimes.specs.agency import Limits
from runtimes.specs.agent import AgentSpec
from topology.canonical import sha256
from topology.credentials import CredentialRef
from topology.egress import Guard
from topology.errors import BadInputError

APPROVAL_S = 300
ACR = "urn:alphaswarm:acr:mfa"
T = TypeVar("T")


class AgentRuntime(Runtime):
    """Serves one attempt. An attempt walks from the start and is answered by the run's own rows."""

    kind: ClassVar[str] = "agent"

    def __init__(self, doors: OpenDoors = open_doors) -> None:
        self._doors = doors

    def work(self, context: RunContext) -> Outcome | Wait:
        """Walk the graph; return its answer, or the wait for a person's approval."""
        spec, replay = load(context), Replay.of(context.run)
        context.mutates = any(tool.effect != "read" for tool in spec.tools)
        pin(context, spec, replay)
        budgets.open_budget(
            context.workshop.pool,
            context.run.run_id,
            amounts(spec.limits),
            parent=context.run.inputs.get("parent"),
        )
        try:
            return asyncio.run(attended(context, _walked(context, spec, replay, self._doors)))
        except ApprovalNeeded as needed:
            return asked(needed)

    def salvage(self, context: RunContext) -> Outcome | None:
        """Return what was called by now, labelled partial."""
        return Outcome(statistics={**counted(context), "partial": True})


def load(context: RunContext) -> AgentSpec:
    """Return the locked spec of the run."""
    version = specs.get(context.workshop.pool, context.run.spec_sha256, kind="agent")
    return AgentSpec.model_validate(version.body)


def pin(context: RunContext, spec: AgentSpec, replay: Replay) -> None:
    """Write what this run reads and walks on, or compare it with what its first attempt wrote."""
    engine, found = identity(), dict(spec.data.snapshot_ids)
    whole = {
        "spec_sha256": context.run.spec_sha256,
        "inputs": replay.asked(context.run),
        "snapshot_ids": found,
        "seed": spec.seed,
        "engine": engine,
    }
    context.pin(snapshot_ids=found, engine=engine, run_sha=sha256(whole))


def amounts(limits: Limits) -> Amounts:
    """Return the limits that a budget holds."""
    return Amounts(
        llm_calls=limits.max_llm_calls,
        tool_calls=limits.max_tool_calls,
        prompt_tokens=limits.max_prompt_tokens,
        completion_tokens=limits.max_completion_tokens,
        cost_usd=limits.max_cost_usd,
    )


async def attended(context: RunContext, work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns, checking in each 50 ms; a stop cancels what is in flight."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            await asyncio.to_thread(context.checkpoint)
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()


async def _walked(
    context: RunContext, spec: AgentSpec, replay: Replay, open_them: OpenDoors
) -> Outcome:
    as_of = moment(spec, context.run.inputs)
    doubt = contaminated(spec, as_of)
    async with _manned(context, spec, replay, as_of, open_them) as crew:
        try:
            async with asyncio.timeout(spec.limits.max_wall_s):
                said = await _graph(spec)(crew)
        except TimeoutError as error:
            raise BudgetExceededError(
                f"The run has taken its {spec.limits.max_wall_s:g} seconds.",
                hint="Raise limits.max_wall_s in the spec: a new version.",
                quantity="wall_s",
            ) from error
        answer = {"text": said.text, "output": said.output}
        context.checkpoint()
        if replay.way == "live":
            known = as_of or context.workshop.clock.now()
            memory.keep(context.workshop.pool, spec, context.run, said.text, known_at=known)
        live = {"live_llm_calls": _book(crew).live, "live_tool_calls": crew.toolbox.live}
        return _outcome(
            context, replay, answer, {"contaminated": doubt, "steps": crew.steps, **live}
        )


@contextlib.asynccontextmanager
async def _manned(
    context: RunContext,
    spec: AgentSpec,
    replay: Replay,
    as_of: dt.datetime | None,
    open_them: OpenDoors,
) -> AsyncIterator[Crew]:
    """Open what a walk needs, close it after it."""
    workshop = context.workshop
    book = RunBook(workshop.pool, context.claim, cassette=replay.source, until=replay.until)
    calls = Calls(
        models=chosen(spec, workshop.topology.models, offline=replay.offline),
        guard=Guard(workshop.topology.egress, "models"),
        secret=_secret(context),
        progress=context,
        book=book,
        cloud_granted=bool(context.run.inputs.get("cloud")),
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(calls.close)
        doors: Doors | None = None
        if not replay.offline:
            servers = [tool.server for tool in spec.tools]
            opened = open_them(workshop.topology, tokens(workshop, context.run), servers)
            doors = await stack.enter_async_context(opened)
        toolbox = Toolbox(
            pool=workshop.pool,
            claim=context.claim,
            progress=context,
            doors=doors,
            as_of=as_of,
            cassette=replay.tools_from,
            until=replay.until,
            strict=replay.offline,
        )
        await toolbox.hold(spec.tools)
        recalled = await toolbox.own(
            "memory",
            "recall",
            lambda: memory.recalled(workshop.pool, spec, context.run, as_of),
        )
        yield Crew(
            spec=spec,
            inputs=context.run.inputs.get("inputs", {}),
            calls=calls,
            toolbox=toolbox,
            mode=replay.mode,
            remembered=memory.lines(recalled),
        )


def moment(spec: AgentSpec, inputs: Mapping[str, Any]) -> dt.datetime | None:
    """Return the run's as-of: the spec's, in a walk-forward the one that the run was given."""
    if spec.data.mode == "live":
        return None
    if spec.data.mode == "as_of":
        return spec.data.at
    given = str(inputs.get("as_of", ""))
    try:
        found = dt.datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadInputError(
            "A walk-forward run needs the input as_of, a time with its zone.",
            hint="The workflow gives each of its runs one; or set data.mode: as_of.",
            path="as_of",
        )
    return found.astimezone(dt.UTC)


def asked(needed: ApprovalNeeded) -> Wait:
    """Return the wait for a person's decision about one call."""
    intent = needed.intent
    about = {
        **needed.at.body(),
        "server": intent.server,
        "tool": intent.tool,
        "args": intent.args,
        "args_sha256": intent.args_sha256,
        "acr": ACR,
        "max_age": APPROVAL_S,
    }
    message = f"A person must decide about {intent.server}.{intent.tool}."
    return Wait("approval.required", message, about, {"waiting": about})


def counted(context: RunContext) -> dict[str, Any]:
    """Return what the run's own rows add up to."""
    pool, run_id = context.workshop.pool, context.run.run_id
    asked_models = list(llm_calls.answered(pool, run_id))
    return {
        "llm_calls": len(asked_models),
        "tool_calls": sum(
            not call.intent.at.node.startswith(OWN) for call in tool_calls.done(pool, run_id)
        ),
        "prompt_tokens": sum(call.used.prompt_tokens for call in asked_models),
        "completion_tokens": sum(call.used.completion_tokens for call in asked_models),
        "cost_usd": str(sum((call.used.cost_usd for call in asked_models), start=0)),
        "transcript_sha256": transcripts.digest(pool, run_id),
        "chain": transcripts.verify(pool, run_id).settled,
    }


def _outcome(
    context: RunContext, replay: Replay, answer: Mapping[str, Any], facts: Mapping[str, Any]
) -> Outcome:
    """Return the end of a walk; an exact replay that found something else has diverged."""
    statistics = {**counted(context), **facts, "answer": dict(answer)}
    result_sha = sha256({"transcript": statistics["transcript_sha256"], "answer": dict(answer)})
    if replay.way == "exact" and replay.source is not None:
        statistics["replay_of"] = replay.source
        earlier = transcripts.digest(context.workshop.pool, replay.source)
        if earlier != statistics["transcript_sha256"]:
            raise ReplayDivergedError(
                "The replay did not walk all of the record.",
                hint="The code of the graph has changed; replay `what_if` from an earlier step.",
                earlier=earlier,
                found=statistics["transcript_sha256"],
            )
    refuse_divergence(context, result_sha)
    return Outcome(statistics=statistics, result_sha=result_sha, message="The agent answered.")


def _graph(spec: AgentSpec) -> Any:
    from runtimes.agent.graphs import GRAPHS

    return GRAPHS.load(spec.graph)


def _book(crew: Crew) -> RunBook:
    assert isinstance(crew.calls.book, RunBook)  # noqa: S101  _manned made it
    return crew.calls.book


def _secret(context: RunContext) -> Any:
    credentials = context.workshop.topology.credentials

    def resolve(name: str) -> SecretStr:
        return CredentialRef.parse(credentials[name].source).resolve()

    return resolve
