"""May this prompt go to that model? Asked anew for each call and for each fallback."""

from __future__ import annotations

from collections.abc import Mapping

from runtimes.gateway.words import LLMRequest
from topology.errors import EgressDeniedError, MissingError, UnknownNameError, did_you_mean, nearest
from topology.models import LABELS, Model, example

_WIDTH = {"loopback": 0, "lan": 1, "cloud": 2}


def resolve(models: Mapping[str, Model], alias: str) -> Model:
    """Return the model of an alias.

    Where the topology has no model at all the error holds the lines that name one.
    """
    if not models:
        raise MissingError(
            "No language model is configured.",
            hint=f"Write in topology.yaml, with your own model:\n{example()}",
            code="unknown_name",
        )
    if alias not in models:
        raise UnknownNameError(
            f"No model is called {alias[:64]!r}.",
            hint=did_you_mean(alias, models) or f"There are {', '.join(sorted(models))}.",
            nearest=nearest(alias, models),
        )
    return models[alias]


def require(alias: str, model: Model, request: LLMRequest, *, cloud_granted: bool) -> None:
    """Raise ``egress_denied`` where this request may not go to this model.

    The error names alias and origin, never a word of the prompt.
    """
    if LABELS.index(request.label) > LABELS.index(model.most):
        raise _denied(
            alias,
            model,
            f"Data labelled {request.label!r} may not go to the model {alias!r}.",
            f"It takes data up to {model.most!r}; use a model of this machine.",
        )
    if model.egress == "cloud" and not cloud_granted:
        raise _denied(
            alias,
            model,
            f"Nobody allowed this run to send prompts to the cloud model {alias!r}.",
            "Submit it again with a step-up, or use a model of this machine.",
        )


def require_no_wider(first: Model, fallback: str, model: Model) -> None:
    """Raise ``egress_denied`` where a fallback would lead further away than the first choice."""
    if _WIDTH[model.egress] > _WIDTH[first.egress]:
        raise _denied(
            fallback,
            model,
            f"The fallback {fallback!r} leads further away than the model that it stands for.",
            "A fallback is of the same class or a nearer one.",
        )


def _denied(alias: str, model: Model, message: str, hint: str) -> EgressDeniedError:
    return EgressDeniedError(message, hint=hint, alias=alias, origin=model.origin)
