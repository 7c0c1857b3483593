"""ReAct (Yao et al. 2023): think, act, read, until there is nothing left to call.

One effect per node: a question to the model, or one call of a tool.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from ledger.calls import At
from runtimes.agent.crew import Crew, Message, refuse_nonsense, spoken
from runtimes.gateway import schema as schemas
from runtimes.gateway.words import Place
from runtimes.specs.agent import Role

ANSWER = "Give your final answer now, as one JSON value that fits the schema, and nothing else."


@dataclass(frozen=True, slots=True)
class Said:
    """A role's answer: its text, and the JSON value where a schema was wanted."""

    text: str
    output: Any = None

    def body(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"text": self.text, "output": self.output}


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks in a loop, under which node path, and what its answer must fit."""

    crew: Crew
    role: Role
    path: str
    schema: Mapping[str, Any] | None


class Loop(TypedDict, total=False):
    """The conversation; every list only grows, so that parallel writes need no order of arrival."""

    messages: Annotated[list[Message], operator.add]
    asked: Annotated[list[dict[str, Any]], operator.add]
    done: Annotated[int, operator.add]
    wrong: Annotated[list[int], operator.add]
    step: int
    said: dict[str, Any]


class Call(TypedDict):
    """One call for one node."""

    call: dict[str, Any]
    step: int
    index: int


async def think(state: Loop, runtime: Runtime[Voice]) -> Loop:
    """Ask the model what to do next."""
    voice = runtime.context
    refuse_nonsense(state.get("wrong", []))
    step = state.get("step", 0)
    response = await voice.crew.ask(
        voice.role, Place(voice.path, step), state["messages"], tools=True
    )
    message = spoken(response)
    calls = message.get("tool_calls", [])
    found: Loop = {"messages": [message], "asked": list(calls), "step": step + 1}
    if not calls:
        found["said"] = Said(response.content).body()
    return found


async def act(state: Call, runtime: Runtime[Voice]) -> Loop:
    """Make one call."""
    voice = runtime.context
    at = At(voice.path, state["step"], state["index"])
    message, wrong = await voice.crew.act(voice.role, at, state["call"])
    return {"messages": [message], "done": 1, "wrong": [int(wrong)]}


async def gather(state: Loop) -> Loop:
    """Wait for all calls of a batch: what comes next depends on all of them."""
    del state
    return {}


async def answer(state: Loop, runtime: Runtime[Voice]) -> Loop:
    """Ask for the answer in the wanted form, where it was not given in it."""
    voice, step = runtime.context, state.get("step", 0)
    messages = [*state["messages"], {"role": "user", "content": ANSWER}]
    response = await voice.crew.ask(
        voice.role, Place(voice.path, step), messages, schema=voice.schema
    )
    return {"said": Said(response.content, response.output).body(), "step": step + 1}


def _next(state: Loop, runtime: Runtime[Voice]) -> list[Send] | str:
    """Return the next calls, at most ``max_parallel_tools`` at once, or where to go without any."""
    asked, done = state.get("asked", []), state.get("done", 0)
    if done < len(asked):
        width = runtime.context.crew.spec.limits.max_parallel_tools
        first = len(asked) - len(state["messages"][_last(state)]["tool_calls"])
        batch = range(done, min(done + width, len(asked)))
        step = state.get("step", 1) - 1
        return [Send("act", {"call": asked[i], "step": step, "index": i - first}) for i in batch]
    if "said" not in state:
        return "think"
    return "answer" if _unfit(state, runtime.context) else END


def _last(state: Loop) -> int:
    """Return the index of the last message that asked for calls."""
    messages = state["messages"]
    return max(i for i, message in enumerate(messages) if message.get("tool_calls"))


def _unfit(state: Loop, voice: Voice) -> bool:
    if voice.schema is None or state["said"]["output"] is not None:
        return False
    return fitted(state["said"]["text"], voice.schema) is None


def fitted(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the JSON value of an answer that fits ``schema``; None where there is none."""
    try:
        value = schemas.parsed(text)
    except ValueError:
        return None
    return value if schemas.problem(schema, value) is None else None


def _build() -> Any:
    graph = StateGraph(Loop, context_schema=Voice)
    graph.add_node("think", think)
    graph.add_node("act", act, input_schema=Call)
    graph.add_node("gather", gather)
    graph.add_node("answer", answer)
    graph.add_edge(START, "think")
    graph.add_edge("act", "gather")
    for node in ("think", "gather"):
        graph.add_conditional_edges(node, _next, ["think", "act", "answer", END])
    graph.add_edge("answer", END)
    return graph.compile()


async def converse(voice: Voice, messages: Sequence[Message]) -> Said:
    """Return what a role says in the end."""
    limit = 4 * voice.crew.spec.limits.max_steps + 4 * voice.crew.spec.limits.max_tool_calls
    config = {"recursion_limit": max(limit, 8)}
    found = await _build().ainvoke({"messages": list(messages)}, config, context=voice)
    said = Said(**found["said"])
    if voice.schema is not None and said.output is None:
        said = Said(said.text, fitted(said.text, voice.schema))
    return said


async def walk(crew: Crew) -> Said:
    """Let the spec's first role do the work."""
    role = crew.spec.roles[0]
    schema = role.output_schema or crew.spec.output_schema
    return await converse(Voice(crew, role, role.name, schema), crew.opening(role))
