"""The models of a spec: behind each alias what was pinned, and what it may have read before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from runtimes.gateway import policy
from runtimes.specs.agency import ModelChoice
from runtimes.specs.agent import AgentSpec
from topology.errors import BadInputError, FaultError
from topology.models import OPENAI_COMPATIBLE, Model


class ModelDriftError(FaultError):
    """Behind an alias stands another model than the one that the spec was locked with."""

    code = "model_drift"


class ContaminatedError(BadInputError):
    """The model may have read about the period that it is asked about."""

    code = "model_contaminated"


def chosen(spec: AgentSpec, models: Mapping[str, Model], *, offline: bool) -> dict[str, Model]:
    """Return the topology's model for each alias of the spec; another one than pinned raises.

    ``offline`` asks nobody: the pinned words alone make the keys of the record.
    """
    if offline:
        return {choice.alias: _pinned(choice) for choice in spec.models}
    found = {choice.alias: policy.resolve(models, choice.alias) for choice in spec.models}
    for choice in spec.models:
        model = found[choice.alias]
        wanted = (choice.provider, choice.model, choice.weights_sha256)
        has = (model.provider, model.model, model.weights_sha256)
        if any(w is not None and w != h for w, h in zip(wanted, has, strict=True)):
            raise ModelDriftError(
                f"Behind the alias {choice.alias!r} stands another model than the spec's.",
                hint="Point the alias back, or lock the spec again: a new version.",
                alias=choice.alias,
                locked=choice.model,
                found=model.model,
            )
    return found


def contaminated(spec: AgentSpec, as_of: dt.datetime | None) -> bool:
    """Tell whether a model of the spec may have read of what came after ``as_of``.

    A cutoff that nobody knows counts as later. ``guards.contaminated: refuse`` raises instead.
    """
    if as_of is None or not spec.data.require_model_cutoff_before:
        return False
    late = [
        choice.alias
        for choice in spec.models
        if choice.knowledge_cutoff is None or choice.knowledge_cutoff > as_of
    ]
    if late and spec.guards.contaminated == "refuse":
        raise ContaminatedError(
            f"The model {late[0]!r} may have read about the time after the run's as-of.",
            hint="Use one with an earlier knowledge_cutoff, or guards.contaminated: label.",
            models=late,
        )
    return bool(late)


def _pinned(choice: ModelChoice) -> Model:
    return Model.model_construct(  # without an address: nobody dials a model that is replayed
        provider=choice.provider or OPENAI_COMPATIBLE,
        base_url="",
        model=choice.model or "unknown",
        weights_sha256=choice.weights_sha256,
    )
