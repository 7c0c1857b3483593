"""Plan and execute (Wang et al. 2023): a planner names steps, an executor takes each, one ends."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from runtimes.agent.crew import Crew
from runtimes.agent.graphs.react import Said, Voice, converse
from runtimes.gateway.words import Place
from topology.canonical import canonical

MOST = 8
PLAN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST,
            "items": {"type": "string", "minLength": 1, "maxLength": 2000},
        }
    },
    "required": ["steps"],
    "additionalProperties": False,
}
_PLAN = "Inputs: {inputs}\n\nName the steps to take, at most {most}, each a sentence."
_STEP = "Inputs: {inputs}\n\nDone so far:\n{done}\n\nNow: {step}"
_END = "Inputs: {inputs}\n\nDone:\n{done}\n\nConclude."


class Work(TypedDict, total=False):
    """The plan, and what came of each step."""

    steps: list[str]
    found: Annotated[list[str], operator.add]
    said: dict[str, Any]


async def plan(state: Work, runtime: Runtime[Crew]) -> Work:
    """Ask the planner for the steps."""
    del state
    crew = runtime.context
    role = crew.spec.role("planner")
    task = _PLAN.format(inputs=_inputs(crew), most=MOST)
    response = await crew.ask(role, Place("plan", 0), crew.opening(role, task), schema=PLAN)
    return {"steps": response.output["steps"]}


async def execute(state: Work, runtime: Runtime[Crew]) -> Work:
    """Let the executor take the next step."""
    crew, number = runtime.context, len(state.get("found", []))
    role = crew.spec.role("executor")
    step = state["steps"][number]
    task = _STEP.format(inputs=_inputs(crew), done=_done(state), step=step)
    said = await converse(Voice(crew, role, f"step{number}", None), crew.opening(role, task))
    return {"found": [said.text]}


async def conclude(state: Work, runtime: Runtime[Crew]) -> Work:
    """Ask the planner for the answer."""
    crew = runtime.context
    role = crew.spec.role("planner")
    schema = role.output_schema or crew.spec.output_schema
    task = _END.format(inputs=_inputs(crew), done=_done(state))
    response = await crew.ask(role, Place("conclude", 0), crew.opening(role, task), schema=schema)
    return {"said": Said(response.content, response.output).body()}


def _next(state: Work) -> str:
    return "execute" if len(state.get("found", [])) < len(state["steps"]) else "conclude"


def _done(state: Work) -> str:
    lines = [f"{s} -> {f}" for s, f in zip(state["steps"], state.get("found", []), strict=False)]
    return "\n".join(lines) or "nothing"


def _inputs(crew: Crew) -> str:
    return canonical(dict(crew.inputs)).decode()


def _build() -> Any:
    graph = StateGraph(Work, context_schema=Crew)
    graph.add_node("plan", plan)
    graph.add_node("execute", execute)
    graph.add_node("conclude", conclude)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "execute")
    graph.add_conditional_edges("execute", _next, ["execute", "conclude"])
    graph.add_edge("conclude", END)
    return graph.compile()


async def walk(crew: Crew) -> Said:
    """Return the planner's conclusion."""
    found = await _build().ainvoke({}, {"recursion_limit": MOST + 8}, context=crew)
    return Said(**found["said"])
