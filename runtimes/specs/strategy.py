"""The key ``strategy`` of a backtest: a member of the family by name, or source of one's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from runtimes.part import Grown
from runtimes.sandbox.source import SourceError, scan
from runtimes.specs.base import NAME
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import StrategyParams
from runtimes.strategies.plugins import Member, PluginError
from runtimes.strategies.submitted import SubmittedParams, member, params_of
from runtimes.words import unknown

SUBMITTED = "submitted"
"""How source is called that has no name of its own."""
_WRONG = object()


def _source(code: str) -> str:
    try:
        scan(code)
    except SourceError as error:
        context: dict[str, Any] = {"text": str(error)}
        if error.line:
            context["position"] = {"line": error.line, "column": error.column}
        raise PydanticCustomError("source", "{text}", context) from error
    return code


class StrategyChoice(Grown):
    """A strategy of the registry by name, with its parameters, every default written out.

    With ``code`` it is source of the caller's own, and ``name`` is how he calls it.
    """

    later: ClassVar[frozenset[str]] = frozenset({"code"})

    code: Annotated[str, AfterValidator(_source)] | None = None
    name: str
    params: SerializeAsAny[StrategyParams] = Field(default_factory=dict, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("code") is not None and "name" not in data:
            return {**data, "name": SUBMITTED}
        return data

    @field_validator("name")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        if info.data.get("code", _WRONG) is not None:
            return _own_name(name)
        if name in STRATEGIES:
            return name
        clash = STRATEGIES.clashes.get(name)
        if clash is not None:
            raise PydanticCustomError("plugin_refused", "{text}", {"text": clash})
        raise unknown("strategy", name, STRATEGIES.names())

    @field_validator("params", mode="before")
    @classmethod
    def _of_the_strategy(cls, params: Any, info: ValidationInfo) -> Any:
        name, code = info.data.get("name"), info.data.get("code", _WRONG)
        if name is None or code is _WRONG:
            return StrategyParams()
        if code is not None:
            given = params.given if isinstance(params, SubmittedParams) else params or {}
            return params_of(scan(code), given)
        try:
            model = STRATEGIES.load(name).params
        except PluginError as error:
            raise PydanticCustomError(error.code, "{text}", {"text": error.message}) from error
        return model.model_validate({} if params is None else params)

    @property
    def member(self) -> Member:
        """Return the strategy: a member of the family, or what is known of the source."""
        return STRATEGIES.load(self.name) if self.code is None else member(scan(self.code))


def _own_name(name: str) -> str:
    """Return the name of a strategy that comes as source; a member's is taken."""
    if not re.fullmatch(NAME, name):
        raise PydanticCustomError("name", "Call it by 2 to 64 of a-z, 0-9, '.', '_' and '-'.")
    if name in STRATEGIES:
        raise PydanticCustomError(
            "name", "{name} is a strategy of the registry: call your own otherwise.", {"name": name}
        )
    return name
