"""AgentSpec: a graph, its roles and prompts, its models, the tools it holds, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from runtimes.part import Finite, Integer, Part
from runtimes.specs.agency import (
    AsOf,
    HeldTool,
    Limits,
    ModelChoice,
    NodeName,
    Seconds,
)
from runtimes.specs.base import Spec
from runtimes.words import at, unknown
from topology.models import Label

Graph = Literal["react", "plan_execute", "debate", "evaluate"]
NEEDS: Mapping[Graph, tuple[str, ...]] = {
    "react": (),
    "plan_execute": ("planner", "executor"),
    "debate": (),
    "evaluate": ("worker", "critic"),
}
"""Roles that a graph needs by name; ``react`` takes its first, ``debate`` names its own."""


def _local(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """Refuse what is no schema, and references that lead outside it: they would be a way out."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema({} if schema is None else schema)
    except SchemaError as error:
        problem = "This is no JSON Schema (2020-12): {what}"
        raise PydanticCustomError("schema", problem, {"what": error.message[:200]}) from error
    for reference in _references(schema):
        if not reference.startswith("#"):
            problem = "A schema refers to its own parts only: {value}"
            raise PydanticCustomError("reference", problem, {"value": reference[:80]})
    return schema


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [v for k, v in schema.items() if k in {"$ref", "$dynamicRef"} and isinstance(v, str)]
        return own + [found for value in schema.values() for found in _references(value)]
    if isinstance(schema, list | tuple):
        return [found for value in schema for found in _references(value)]
    return []


Schema = Annotated[dict[str, Any] | None, AfterValidator(_local)]


class Role(Part):
    """One voice: its prompt, its model, and the tools (``server.name``) that it may call.

    ``prompt`` may hold ``{inputs.NAME}`` for the run's inputs and nothing else in braces.
    """

    name: NodeName
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)]
    model: str = "local"
    tools: Annotated[tuple[str, ...], Strict(strict=False), Field(max_length=32)] = ()
    output_schema: Schema = None


class Debate(Part):
    """Who argues, who judges, and when it ends.

    It stops after ``max_rounds``, when the answers of a round agree to ``stop_on_agreement``, or
    when the next round does not fit into ``token_budget``.
    """

    roles: Annotated[tuple[NodeName, ...], Strict(strict=False), Field(min_length=2, max_length=8)]
    judge: NodeName
    max_rounds: Annotated[Integer, Field(ge=1, le=10)] = 2
    stop_on_agreement: Annotated[Finite, Field(gt=0, le=1)] = 0.9
    token_budget: Annotated[Integer, Field(ge=1, le=10_000_000)] = 20_000


class Evaluate(Part):
    """How often the critic may send the worker back, and the score in [0, 1] that satisfies him."""

    max_rounds: Annotated[Integer, Field(ge=1, le=10)] = 3
    accept: Annotated[Finite, Field(ge=0, le=1)] = 0.8


class Memory(Part):
    """What a run remembers of earlier ones: of this run's, agent's or workflow's own.

    With ``as_of_filter`` only what was known at the run's as-of, less its embargo, comes back.
    """

    scope: Literal["none", "run", "agent", "workflow"] = "none"
    max_items: Annotated[Integer, Field(ge=1, le=100)] = 8
    as_of_filter: bool = True
    reflection_after_s: Seconds | None = None


class Guards(Part):
    """What is done where the model may have read about the period: a label, or a refusal."""

    contaminated: Literal["label", "refuse"] = "label"


class AgentSpec(Spec):
    """An agent. Its text holds everything that can change what it does.

    Endpoints, secrets and inputs are not in it. ``data_label`` is the most confidential data that
    it may meet, and decides which models may hear of it.
    """

    kind: Literal["agent"] = "agent"
    graph: Graph = "react"
    roles: Annotated[tuple[Role, ...], Strict(strict=False), Field(min_length=1, max_length=16)]
    models: Annotated[
        tuple[ModelChoice, ...], Strict(strict=False), Field(min_length=1, max_length=8)
    ] = (ModelChoice(),)
    tools: Annotated[tuple[HeldTool, ...], Strict(strict=False), Field(max_length=64)] = ()
    debate: Debate | None = None
    evaluate: Evaluate = Evaluate()
    memory: Memory = Memory()
    data: AsOf = AsOf()
    data_label: Label = "proprietary"
    limits: Limits = Limits()
    inputs_schema: Schema = None
    output_schema: Schema = None
    guards: Guards = Guards()
    publish: bool = False
    seed: Annotated[Integer, Field(ge=0, le=2**53 - 1)] = 7
    runtime_major: Literal[1] = 1

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Self:
        _once("roles", [role.name for role in self.roles])
        _once("models", [model.alias for model in self.models])
        _once("tools", [tool.full for tool in self.tools])
        aliases, held = [m.alias for m in self.models], [t.full for t in self.tools]
        for index, model in enumerate(self.models):
            for name in model.fallbacks:
                if name not in aliases:
                    problem = unknown("model of this spec", name, aliases)
                    raise at(f"models[{index}]", name, problem)
        for index, role in enumerate(self.roles):
            here = f"roles[{index}]"
            if role.model not in aliases:
                raise at(here, role.model, unknown("model of this spec", role.model, aliases))
            for name in role.tools:
                if name not in held:
                    raise at(here, name, unknown("tool of this spec", name, held))
        return self

    @model_validator(mode="after")
    def _has_the_roles_of_its_graph(self) -> Self:
        names = [role.name for role in self.roles]
        wanted = list(NEEDS[self.graph])
        if self.graph == "debate":
            if self.debate is None:
                problem = "The graph debate needs it: roles and judge."
                raise at("debate", None, PydanticCustomError("missing", problem))
            wanted += [*self.debate.roles, self.debate.judge]
        for name in wanted:
            if name not in names:
                raise at("roles", name, unknown("role of this spec", name, names))
        return self

    def role(self, name: str) -> Role:
        """Return a role by name."""
        return next(role for role in self.roles if role.name == name)

    def model(self, alias: str) -> ModelChoice:
        """Return a model by alias."""
        return next(model for model in self.models if model.alias == alias)

    @property
    def locked(self) -> bool:
        """Tell whether everything is pinned that locking pins: tools and models."""
        tools = all(t.schema_sha256 and t.scopes is not None and t.effect for t in self.tools)
        return tools and all(m.provider and m.model for m in self.models)


def _once(key: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            problem = PydanticCustomError("twice", "{name} stands here twice.", {"name": name})
            raise at(key, name, problem)
