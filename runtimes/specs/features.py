"""FeaturesSpec: which expressions are computed on which bars, kept as a gold feature table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from lakehouse.features import members
from lakehouse.features.build import OURS, QLIB
from lakehouse.features.featureset import FeatureSet, compose
from lakehouse.features.operators import FIELDS
from lakehouse.features.sets import SETS
from runtimes.specs.backtest import Data
from runtimes.specs.data import DataSpec
from runtimes.specs.universe import AnyUniverse
from runtimes.words import SymbolText, at, unknown
from topology.errors import AlphaSwarmError

GROUP = r"^[a-z][a-z0-9_]{0,31}$"
Expressions = dict[str, Annotated[str, Field(min_length=1)]]


class FeaturesSpec(DataSpec):
    """One feature set over one universe, from its first day to its last, kept in a gold table.

    ``set`` names a set (of which ``include`` takes some); ``expressions`` and ``labels`` are
    NAME: EXPRESSION beside it. ``semantics`` null is Qlib's for a named set alone, else ours.
    ``rows`` says what a window counts: a symbol's own ``bars``, or all instants at which any
    symbol of the universe has one (``union``). ``groups`` gives grouping fields: symbol to label.
    """

    task: Literal["features"] = "features"
    universe: AnyUniverse
    data: Data
    as_of: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    set: str | None = None
    include: (
        Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1, max_length=1_000)]
        | None
    ) = None
    expressions: Expressions = Field(default_factory=dict)
    labels: Expressions = Field(default_factory=dict)
    semantics: Literal["qlib-0.9.7", "alphaswarm-1"] | None = Field(
        default=None, validate_default=True
    )
    rows: Literal["bars", "union"] = "bars"
    groups: dict[
        Annotated[str, Field(pattern=GROUP)],
        dict[SymbolText, Annotated[str, Field(min_length=1, max_length=64)]],
    ] = Field(default_factory=dict)

    @field_validator("set")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in SETS:
            raise unknown("feature set", name, SETS.names())
        return name

    @field_validator("include")
    @classmethod
    def _of_the_set(
        cls, include: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        name = info.data.get("set")
        if include is None or "set" not in info.data:
            return include
        if name is None:
            raise PydanticCustomError("include", "include takes names of a set; name the set.")
        known = members.expressions(name)
        for one in include:
            if one not in known:
                raise unknown(f"feature of {name}", one, list(known))
        return include

    @field_validator("semantics")
    @classmethod
    def _written_out(cls, semantics: str | None, info: ValidationInfo) -> str | None:
        given = info.data
        if semantics is not None:
            return semantics
        return QLIB if given.get("set") and not given.get("expressions") else OURS

    @field_validator("groups")
    @classmethod
    def _not_a_field(cls, groups: dict[str, Any]) -> dict[str, Any]:
        for name in groups:
            if name in FIELDS:
                raise PydanticCustomError(
                    "group", "${name} is a field of bars already.", {"name": name}
                )
        return groups

    @model_validator(mode="after")
    def _composes(self) -> Any:
        if self.set is None and not self.expressions and not self.labels:
            problem = PydanticCustomError("features", "Name a set, expressions or labels.")
            raise at("set", None, problem)
        try:
            self.features()
        except AlphaSwarmError as error:
            raise ValidationError.from_exception_data("features", _lines(error)) from error
        return self

    def features(self) -> FeatureSet:
        """Return the composed set: the named one, what is beside it, and the labels of both."""
        named = {} if self.set is None else members.expressions(self.set)
        chosen = {n: text for n, text in named.items() if not self.include or n in self.include}
        labels = {} if self.set is None else members.labels(self.set)
        return compose(
            {**chosen, **self.expressions},
            labels={**labels, **self.labels},
            semantics=self.semantics or OURS,
            fields=(*FIELDS, *self.groups),
        )


def _lines(error: AlphaSwarmError) -> list[InitErrorDetails]:
    """Return each fault of the expressions under its own key, with its code and nearest names."""
    faults = error.facts.get("errors") or [{"problem": f"{error.message} {error.hint}"}]
    return [
        InitErrorDetails(
            type=PydanticCustomError(
                fault.get("code", error.wire_code), "{text}", {**fault, "text": fault["problem"]}
            ),
            loc=tuple(fault["path"].split(".", 1)) if "path" in fault else (),
            input=fault.get("value"),
        )
        for fault in faults
    ]
