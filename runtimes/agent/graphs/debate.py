"""Debate: several roles argue in rounds, a judge decides (Du et al. 2023; TradingAgents' shape)."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from runtimes.agent.crew import Crew
from runtimes.agent.graphs.react import Said, Voice, converse, fitted
from topology.canonical import canonical
from topology.errors import FaultError

VERDICT = "verdict"
"""Where an answer's JSON has it, agreement is told by this key alone."""


class Floor(TypedDict, total=False):
    """What was said, in whatever order it came; readers sort it."""

    said: Annotated[list[dict[str, Any]], operator.add]
    round: int
    spent: int
    verdict: dict[str, Any]


class Turn(TypedDict):
    """One role's turn in one round, with what was said before it."""

    role: str
    round: int
    said: list[dict[str, Any]]


async def open_round(state: Floor, runtime: Runtime[Crew]) -> Floor:
    """Begin the next round; note what has been used by now."""
    return {"round": state.get("round", 0) + 1, "spent": runtime.context.tokens}


async def speak(state: Turn, runtime: Runtime[Crew]) -> Floor:
    """Let one role answer the others."""
    crew = runtime.context
    role = crew.spec.role(state["role"])
    voice = Voice(crew, role, f"round{state['round']}/{role.name}", role.output_schema)
    found = await converse(voice, crew.opening(role, _asked(crew, state["said"])))
    entry = {"round": state["round"], "role": role.name, **found.body()}
    return {"said": [entry]}


async def weigh(state: Floor) -> Floor:
    """Wait for all turns of a round: what comes next depends on all of them."""
    del state
    return {}


async def judge(state: Floor, runtime: Runtime[Crew]) -> Floor:
    """Let the judge decide on all that was said."""
    crew = runtime.context
    role = crew.spec.role(_debate(crew).judge)
    schema = role.output_schema or crew.spec.output_schema
    voice = Voice(crew, role, f"judge/{role.name}", schema)
    found = await converse(voice, crew.opening(role, _asked(crew, _sorted(crew, state["said"]))))
    return {"verdict": found.body()}


def _turns(state: Floor, runtime: Runtime[Crew]) -> list[Send]:
    crew = runtime.context
    said = _sorted(crew, state.get("said", []))
    return [
        Send("speak", {"role": name, "round": state["round"], "said": said})
        for name in _debate(crew).roles
    ]


def _goes_on(state: Floor, runtime: Runtime[Crew]) -> str:
    """Return where to go after a round: on, or to the judge."""
    crew, debate = runtime.context, _debate(runtime.context)
    last = [entry for entry in state["said"] if entry["round"] == state["round"]]
    used = crew.tokens - state["spent"]
    over = crew.tokens + used > debate.token_budget
    agreed = agreement(last) >= debate.stop_on_agreement
    return "judge" if agreed or over or state["round"] >= debate.max_rounds else "open_round"


def agreement(said: Sequence[Mapping[str, Any]]) -> float:
    """Return how far answers agree, in [0, 1].

    Where each holds a ``verdict``: the share of the commonest one. Else the mean Jaccard index of
    their sets of words (Jaccard 1901) over all pairs.
    """
    outputs = [entry["output"] for entry in said]
    if all(isinstance(o, Mapping) and VERDICT in o for o in outputs):
        counts = Counter(canonical(o[VERDICT]) for o in outputs)
        return max(counts.values()) / len(outputs)
    words = [set(str(entry["text"]).lower().split()) for entry in said]
    pairs = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in combinations(words, 2)]
    return sum(pairs) / len(pairs) if pairs else 1.0


def _asked(crew: Crew, said: Sequence[Mapping[str, Any]]) -> str:
    asked = f"Inputs: {canonical(dict(crew.inputs)).decode()}"
    if not said:
        return asked
    lines = [f"[round {e['round']}, {e['role']}] {e['text']}" for e in said]
    return f"{asked}\n\nSaid so far:\n" + "\n".join(lines)


def _sorted(crew: Crew, said: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    order = list(_debate(crew).roles)
    return sorted(said, key=lambda entry: (entry["round"], order.index(entry["role"])))


def _debate(crew: Crew) -> Any:
    if crew.spec.debate is None:
        raise FaultError("A debate has no rules.")
    return crew.spec.debate


def _build() -> Any:
    graph = StateGraph(Floor, context_schema=Crew)
    graph.add_node("open_round", open_round)
    graph.add_node("speak", speak, input_schema=Turn)
    graph.add_node("weigh", weigh)
    graph.add_node("judge", judge)
    graph.add_edge(START, "open_round")
    graph.add_conditional_edges("open_round", _turns, ["speak"])
    graph.add_edge("speak", "weigh")
    graph.add_conditional_edges("weigh", _goes_on, ["open_round", "judge"])
    graph.add_edge("judge", END)
    return graph.compile()


async def walk(crew: Crew) -> Said:
    """Return the judge's verdict."""
    limit = 4 * _debate(crew).max_rounds + 8
    found = await _build().ainvoke({}, {"recursion_limit": limit}, context=crew)
    said = Said(**found["verdict"])
    schema = crew.spec.role(_debate(crew).judge).output_schema or crew.spec.output_schema
    if schema is not None and said.output is None:
        said = Said(said.text, fitted(said.text, schema))
    return said
