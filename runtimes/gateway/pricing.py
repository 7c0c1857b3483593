"""Tokens and money of a call, before it (the most it can use) and after it (what it used)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeGuard

from runtimes.gateway.words import Usage
from topology.models import Model

CHARACTERS_PER_TOKEN = 4
_MILLION = Decimal(1_000_000)


def estimate(text: str | bytes) -> int:
    """Return about how many tokens a text has: four characters each, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def cost(model: Model, usage: Usage) -> Decimal:
    """Return US dollars; a model without a price runs on a machine that is already paid for."""
    if model.price is None:
        return Decimal(0)
    return (
        model.price.prompt * usage.prompt + model.price.completion * usage.completion
    ) / _MILLION


def used(response: Mapping[str, Any], *, asked: bytes, answered: str) -> Usage:
    """Return the tokens that the server counted, else an estimate that says so."""
    counted = response.get("usage")
    if isinstance(counted, Mapping):
        prompt, completion = counted.get("prompt_tokens"), counted.get("completion_tokens")
        if _is_count(prompt) and _is_count(completion):
            return Usage(prompt, completion)
    return Usage(estimate(asked), estimate(answered), estimated=True)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
