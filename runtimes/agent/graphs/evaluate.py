"""Evaluate (Self-Refine, Madaan et al. 2023): a worker answers, a critic scores, until it does."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from runtimes.agent.crew import Crew
from runtimes.agent.graphs.react import Said, Voice, converse
from runtimes.gateway.words import Place
from topology.canonical import canonical

SCORE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "feedback": {"type": "string", "maxLength": 4000},
    },
    "required": ["score", "feedback"],
    "additionalProperties": False,
}
_WORK = "Inputs: {inputs}"
_AGAIN = (
    "Inputs: {inputs}\n\nYour last answer:\n{answer}\n\nThe critic says: {feedback}\n\nDo better."
)
_CRITIC = "Inputs: {inputs}\n\nThe answer:\n{answer}\n\nScore it from 0 to 1 and say what is wrong."


class Draft(TypedDict, total=False):
    """The answer so far, and what the critic said of it."""

    round: int
    said: dict[str, Any]
    score: float
    feedback: str


async def work(state: Draft, runtime: Runtime[Crew]) -> Draft:
    """Let the worker answer, or answer better."""
    crew, number = runtime.context, state.get("round", 0)
    role = crew.spec.role("worker")
    schema = role.output_schema or crew.spec.output_schema
    form = _AGAIN if number else _WORK
    task = form.format(
        inputs=_inputs(crew),
        answer=state.get("said", {}).get("text", ""),
        feedback=state.get("feedback", ""),
    )
    voice = Voice(crew, role, f"work{number}", schema)
    said = await converse(voice, crew.opening(role, task))
    return {"said": said.body(), "round": number + 1}


async def criticise(state: Draft, runtime: Runtime[Crew]) -> Draft:
    """Let the critic score the answer."""
    crew = runtime.context
    role = crew.spec.role("critic")
    task = _CRITIC.format(inputs=_inputs(crew), answer=state["said"]["text"])
    place = Place("critic", state["round"])
    response = await crew.ask(role, place, crew.opening(role, task), schema=SCORE)
    return {"score": response.output["score"], "feedback": response.output["feedback"]}


def _next(state: Draft, runtime: Runtime[Crew]) -> str:
    rules = runtime.context.spec.evaluate
    good = state["score"] >= rules.accept
    return END if good or state["round"] >= rules.max_rounds else "work"


def _inputs(crew: Crew) -> str:
    return canonical(dict(crew.inputs)).decode()


def _build() -> Any:
    graph = StateGraph(Draft, context_schema=Crew)
    graph.add_node("work", work)
    graph.add_node("criticise", criticise)
    graph.add_edge(START, "work")
    graph.add_edge("work", "criticise")
    graph.add_conditional_edges("criticise", _next, ["work", END])
    return graph.compile()


async def walk(crew: Crew) -> Said:
    """Return the worker's last answer."""
    limit = 4 * crew.spec.evaluate.max_rounds + 8
    found = await _build().ainvoke({}, {"recursion_limit": limit}, context=crew)
    return Said(**found["said"])
