"""The other graphs: who speaks when, when a debate ends, and that all of them replay exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ledger import runs
from runtimes.agent.graphs.debate import agreement
from tests.kit.agents import BARS, AgentBench, Office
from tests.kit.models import Reply, called, said, scripted

VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["long", "flat"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}


def role(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "prompt": f"You are the {name}.", **keys}


def debate(**rules: Any) -> dict[str, Any]:
    return {
        "name": "debate",
        "graph": "debate",
        "roles": [
            role("bull", output_schema=VERDICT),
            role("bear", output_schema=VERDICT),
            role("judge"),
        ],
        "debate": {"roles": ["bull", "bear"], "judge": "judge", **rules},
        "output_schema": VERDICT,
        "limits": {"max_llm_calls": 20},
    }


def verdict(text: str) -> Reply:
    return said(json.dumps({"verdict": text}))


def by_role(**answers: Any) -> Any:
    """Answer by the prompt of the role that asks; a list is used up from its beginning."""

    def script(body: Mapping[str, Any]) -> Reply:
        name = body["messages"][0]["content"].split()[-1].strip(".")
        answer = answers[name]
        found: Reply = answer.pop(0) if isinstance(answer, list) else answer
        return found

    return script


def ran(
    agents: AgentBench, body: dict[str, Any], office: Office | None = None, **answers: Any
) -> tuple[runs.Run, list[str]]:
    """Return the run of a spec, and who was asked, in order of arrival."""
    with scripted(script=by_role(**answers)) as model:
        run = agents.perform(agents.submit(body, inputs={"symbol": "A"}), office, model)
        asked = [h.body["messages"][0]["content"].split()[-1].strip(".") for h in model.heard]
    return run, asked


def replayed(agents: AgentBench, body: dict[str, Any], run: runs.Run) -> runs.Run:
    again = agents.submit(
        body, inputs={"symbol": "A"}, replay={"run_id": run.run_id, "mode": "exact"}
    )
    return agents.perform(again)


def test_debaters_who_disagree_use_all_their_rounds(agents: AgentBench) -> None:
    run, asked = ran(
        agents,
        debate(max_rounds=3),
        bull=verdict("long"),
        bear=verdict("flat"),
        judge=verdict("flat"),
    )
    assert run.status == "succeeded", run.error
    assert (sorted(asked[:6]), asked[6]) == (["bear"] * 3 + ["bull"] * 3, "judge")
    assert (run.statistics or {})["answer"]["output"] == {"verdict": "flat"}
    again = replayed(agents, debate(max_rounds=3), run)
    assert (again.status, again.result_sha) == ("succeeded", run.result_sha)


def test_debaters_who_agree_go_to_the_judge_at_once(agents: AgentBench) -> None:
    run, asked = ran(
        agents,
        debate(max_rounds=3),
        bull=verdict("long"),
        bear=verdict("long"),
        judge=verdict("long"),
    )
    assert run.status == "succeeded", run.error
    assert (sorted(asked[:2]), asked[2:]) == (["bear", "bull"], ["judge"])


def test_a_debate_ends_before_a_round_that_does_not_fit_its_tokens(agents: AgentBench) -> None:
    """Each answer uses 15 tokens: two rounds are 60, a third would make 90."""
    run, asked = ran(
        agents,
        debate(max_rounds=5, token_budget=80),
        bull=verdict("long"),
        bear=verdict("flat"),
        judge=verdict("flat"),
    )
    assert run.status == "succeeded", run.error
    assert len(asked) == 5


def test_each_hears_what_was_said_in_the_rounds_before(agents: AgentBench) -> None:
    with scripted(
        script=by_role(bull=verdict("long"), bear=verdict("flat"), judge=verdict("flat"))
    ) as model:
        agents.perform(agents.submit(debate(max_rounds=2), inputs={"symbol": "A"}), None, model)
        told = [h.body["messages"][1]["content"] for h in model.heard]
    assert all("Said so far" not in text for text in told[:2])
    assert all(text.count("[round 1, ") == 2 for text in told[2:4])
    assert told[4].count("[round ") == 4


@pytest.mark.parametrize(
    ("said_by", "expected"),
    [
        ([("", {"verdict": "a"}), ("", {"verdict": "a"}), ("", {"verdict": "b"})], 2 / 3),
        ([("up it goes", None), ("up it goes", None)], 1.0),
        ([("up it goes", None), ("down it goes", None)], 0.5),
        ([("a b", None), ("a c", None), ("d", None)], (1 / 3 + 0 + 0) / 3),
    ],
)
def test_agreement_by_hand(said_by: list[tuple[str, Any]], expected: float) -> None:
    entries = [{"text": text, "output": output} for text, output in said_by]
    assert agreement(entries) == pytest.approx(expected)


def test_a_plan_is_carried_out_step_by_step_and_concluded(agents: AgentBench) -> None:
    office = Office({"data": [BARS]})
    body = {
        "name": "planner",
        "graph": "plan_execute",
        "roles": [role("planner"), role("executor", tools=["data.get_bars"])],
        "tools": [office.held("data", "get_bars")],
        "output_schema": VERDICT,
    }
    run, asked = ran(
        agents,
        body,
        office,
        planner=[said('{"steps": ["Get bars.", "Judge them."]}'), verdict("long")],
        executor=[called(("data_get_bars", {"symbol": "A"})), said("Bars are up."), said("Good.")],
    )
    assert run.status == "succeeded", run.error
    assert asked == ["planner", "executor", "executor", "executor", "planner"]
    assert (run.statistics or {})["answer"]["output"] == {"verdict": "long"}
    again = replayed(agents, body, run)
    assert (again.status, again.result_sha) == ("succeeded", run.result_sha)


def test_a_critic_sends_the_worker_back_until_it_will_do(agents: AgentBench) -> None:
    body = {
        "name": "refine",
        "graph": "evaluate",
        "roles": [role("worker"), role("critic")],
        "evaluate": {"max_rounds": 3, "accept": 0.8},
    }
    scores = [said(json.dumps({"score": s, "feedback": "More."})) for s in (0.2, 0.9)]
    run, asked = ran(agents, body, worker=[said("One."), said("Two.")], critic=scores)
    assert run.status == "succeeded", run.error
    assert asked == ["worker", "critic", "worker", "critic"]
    assert (run.statistics or {})["answer"]["text"] == "Two."
    again = replayed(agents, body, run)
    assert (again.status, again.result_sha) == ("succeeded", run.result_sha)


def test_memory_comes_back_only_as_far_as_it_was_known(agents: AgentBench) -> None:
    """A lesson of 2020 is not there in 2019, a lesson of 2018 is (TradingAgents forgets that)."""

    def body(day: str, name: str = "memorious") -> dict[str, Any]:
        return {
            "name": name,
            "roles": [role("analyst")],
            "memory": {"scope": "agent"},
            "data": {"mode": "as_of", "at": f"{day}T00:00:00Z"},
        }

    def prompt(day: str, answer: str, **who: str) -> str:
        with scripted(said(answer)) as model:
            run = agents.submit(body(day), inputs={}, **who)
            assert agents.perform(run, None, model).status == "succeeded"
            text: str = model.heard[0].body["messages"][0]["content"]
            return text

    prompt("2020-01-01", "Lesson of 2020.")
    prompt("2018-01-01", "Lesson of 2018.")
    found = prompt("2019-01-01", "Lesson of 2019.")
    assert "Lesson of 2018." in found
    assert "Lesson of 2020." not in found
    assert "Lesson" not in prompt("2021-01-01", "Mine.", by="somebody-else")


def test_a_contaminated_run_is_labelled_or_refused(agents: AgentBench) -> None:
    def body(**keys: Any) -> dict[str, Any]:
        model = {"provider": "openai_compatible", "model": "scripted", **keys.pop("model", {})}
        return {
            "name": "cutoff",
            "roles": [role("analyst")],
            "models": [model],
            "data": {"mode": "as_of", "at": "2019-03-01T00:00:00Z"},
            **keys,
        }

    def run(spec: dict[str, Any]) -> runs.Run:
        with scripted(said("Up.")) as model:
            return agents.perform(agents.submit(spec, inputs={}), None, model)

    assert (run(body()).statistics or {})["contaminated"] is True
    early = {"knowledge_cutoff": "2018-12-31T00:00:00Z"}
    assert (run(body(model=early)).statistics or {})["contaminated"] is False
    refused = run(body(guards={"contaminated": "refuse"}))
    assert (refused.error or {})["code"] == "model_contaminated"
