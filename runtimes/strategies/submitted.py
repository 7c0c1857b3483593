"""A strategy that a spec brings as source: what is known of it without running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from runtimes.sandbox.source import Scanned
from runtimes.strategies.base import StrategyParams
from runtimes.strategies.scripted import ScriptStrategy
from runtimes.words import at, unknown

LONGEST_TEXT = 1_000
MOST_PARTS = 1_000
Plain = bool | int | float | str


class SubmittedParams(StrategyParams):
    """Parameters of submitted source: plain values, and lists of them, by the class's own names."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _plain_values(self) -> SubmittedParams:
        for name, value in self.given.items():
            parts = value if isinstance(value, list) else [value]
            if len(parts) > MOST_PARTS or not all(map(_is_plain, parts)):
                problem = "A number, true or false, a text, or a list of such."
                raise at(name, None, PydanticCustomError("plain", "{text}", {"text": problem}))
        return self

    @property
    def given(self) -> Mapping[str, Any]:
        """Return the parameters by name."""
        return dict(self.model_extra or {})


def member(found: Scanned) -> ScriptStrategy:
    """Return the strategy of source as the family knows one; it is built in a cell, not here."""
    return ScriptStrategy(
        title="Submitted source.",
        params=SubmittedParams,
        warmup=lambda _: found.warmup,
        build=_elsewhere,
    )


def params_of(found: Scanned, given: Mapping[str, Any]) -> SubmittedParams:
    """Return checked parameters; one that the class does not take, or lacks, is refused by name."""
    params = SubmittedParams.model_validate(dict(given))
    for name in params.given:
        if found.accepts is not None and name not in found.accepts:
            raise at(name, None, unknown(f"parameter of {found.name}", name, list(found.accepts)))
    for name in found.needs:
        if name not in params.given:
            problem = f"{found.name} needs the parameter {name}."
            raise at(
                name, None, PydanticCustomError("missing_parameter", "{text}", {"text": problem})
            )
    return params


def _is_plain(value: Any) -> bool:
    return isinstance(value, Plain) and (not isinstance(value, str) or len(value) <= LONGEST_TEXT)


def _elsewhere(params: Any, view: Any) -> NoReturn:
    del params, view
    msg = "Submitted source is never built here: see runtimes.sandbox."
    raise TypeError(msg)
