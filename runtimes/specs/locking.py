"""What locking writes into an AgentSpec: each tool and each model as it is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.specs.agency import EFFECTS, HeldTool, ModelChoice
from runtimes.specs.agent import AgentSpec
from runtimes.specs.held import effect_of, schema_sha256
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.models import Model

Listed = Mapping[str, Sequence[Mapping[str, Any]]]
"""Tools by server, in their wire form; ``scopes`` beside it are those that a call needs."""


def locked(spec: AgentSpec, *, models: Mapping[str, Model], listed: Listed) -> AgentSpec:
    """Return the spec with nothing left open: its hash then names what will be used.

    What the spec pins itself must be so already: a tool that has changed and an effect that is
    weaker than the server's are refused, as are unknown tools and models.
    """
    body = spec.body()
    body["tools"] = [_tool(tool, listed) for tool in spec.tools]
    body["models"] = [_model(choice, models) for choice in spec.models]
    return AgentSpec.model_validate(body)


def _tool(tool: HeldTool, listed: Listed) -> dict[str, Any]:
    if tool.server not in listed:
        raise _unknown("server", tool.server, list(listed))
    names = [str(one["name"]) for one in listed[tool.server]]
    if tool.name not in names:
        raise _unknown(f"tool of {tool.server}", tool.name, names)
    wire = listed[tool.server][names.index(tool.name)]
    found, effect = schema_sha256(wire), effect_of(wire)
    if tool.schema_sha256 not in (None, found):
        raise BadInputError(
            f"The tool {tool.full!r} is not the one that the spec names.",
            hint="Look at the difference, then leave schema_sha256 out: locking writes it.",
            code="tool_drift",
            tool=tool.full,
            locked=tool.schema_sha256,
            found=found,
        )
    if tool.effect is not None and EFFECTS.index(tool.effect) < EFFECTS.index(effect):
        raise BadInputError(
            f"The tool {tool.full!r} may do more than {tool.effect!r}.",
            hint=f"Write effect: {effect}, or leave it out.",
            path="tools",
            value=tool.effect,
        )
    body = tool.model_dump(mode="json")
    scopes = tool.scopes if tool.scopes is not None else tuple(wire.get("scopes", ()))
    return {
        **body,
        "schema_sha256": found,
        "effect": tool.effect or effect,
        "scopes": sorted(set(scopes)),
        "approval": "always" if effect == "destructive" else tool.approval or "never",
    }


def _model(choice: ModelChoice, models: Mapping[str, Model]) -> dict[str, Any]:
    from runtimes.gateway.policy import resolve

    model = resolve(models, choice.alias)
    pinned = {
        "provider": choice.provider or model.provider,
        "model": choice.model or model.model,
        "weights_sha256": choice.weights_sha256 or model.weights_sha256,
    }
    return {**choice.model_dump(mode="json"), **pinned}


def _unknown(family: str, name: str, known: list[str]) -> UnknownNameError:
    return UnknownNameError(
        f"No {family} is called {name[:64]!r}.",
        hint=did_you_mean(name, known) or f"There are {', '.join(sorted(known)[:20])}.",
        nearest=nearest(name, known),
    )
