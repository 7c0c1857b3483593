"""The block ``walk_forward``: choose parameters on some bars, judge the choice on others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from runtimes.part import Integer, Part
from runtimes.specs.sweep import OBJECTIVES, known_objective
from runtimes.words import at

Bars = Annotated[Integer, Field(ge=1, le=10_000_000)]
Gap = Annotated[Integer, Field(ge=0, le=10_000_000)]
WINDOWS = ("train", "test", "step")
BLOCKS = ("groups", "test_groups")
GROUPS = 24
"""Most groups of bars: combinations of them grow beyond use."""


class WalkForward(Part):
    """How the period is split; the parameters that are chosen from are those of ``sweep``.

    ``rolling`` and ``expanding`` windows have ``train``, ``test`` and ``step`` (``test`` where it
    is null) in ``unit``; ``kfold`` and ``cpcv`` cut the period into ``groups``, of which
    ``test_groups`` (1 for kfold) are held out at a time. ``purge`` is how far a bar's label
    reaches, ``embargo`` what else is left out after a test block; no window trains after its test,
    there both lie between train and test. ``retrain`` is after how many windows the choice is made
    again.
    """

    mode: Literal["rolling", "expanding", "kfold", "cpcv"] = "rolling"
    train: Bars | None = None
    test: Bars | None = None
    step: Bars | None = None
    unit: Literal["bars", "days"] = "bars"
    groups: Annotated[Integer, Field(ge=2, le=GROUPS)] | None = None
    test_groups: Annotated[Integer, Field(ge=1, lt=GROUPS)] | None = None
    purge: Gap = 0
    embargo: Gap = 0
    select: Annotated[str, Field(json_schema_extra={"enum": sorted(OBJECTIVES)})] = "sharpe"
    retrain: Annotated[Integer, Field(ge=1, le=10_000)] = 1

    @field_validator("select")
    @classmethod
    def _known(cls, select: str) -> str:
        return known_objective(select)

    @model_validator(mode="after")
    def _keys_of_the_mode(self) -> WalkForward:
        given = {name for name in (*WINDOWS, *BLOCKS) if getattr(self, name) is not None}
        if self.windowed:
            self._refuse(given, needed={"train", "test"}, foreign=set(BLOCKS))
            if self.step and self.test and self.step < self.test:
                raise _wrong("step", self.step, "Test windows would overlap: step is below test.")
        else:
            needed = set(BLOCKS) if self.mode == "cpcv" else {"groups"}
            self._refuse(given, needed=needed, foreign=set(WINDOWS))
            self._check_blocks()
        return self

    @property
    def windowed(self) -> bool:
        """Tell whether test windows follow their train windows in time."""
        return self.mode in ("rolling", "expanding")

    def _refuse(self, given: set[str], *, needed: set[str], foreign: set[str]) -> None:
        lacking, useless = sorted(needed - given), sorted(foreign & given)
        if lacking:
            raise _wrong(lacking[0], None, f"Mode {self.mode} needs this key.")
        if useless:
            value = getattr(self, useless[0])
            raise _wrong(useless[0], value, f"Mode {self.mode} does not use this key.")

    def _check_blocks(self) -> None:
        if self.unit != "bars":
            raise _wrong("unit", self.unit, f"Mode {self.mode} counts bars.")
        if self.retrain != 1:
            raise _wrong("retrain", self.retrain, f"Mode {self.mode} chooses for every split.")
        if self.mode == "kfold" and self.test_groups not in (None, 1):
            raise _wrong("test_groups", self.test_groups, "kfold holds out one group; use cpcv.")
        if (self.test_groups or 1) >= (self.groups or 0):
            raise _wrong("test_groups", self.test_groups, "At least one group is left to train on.")


def _wrong(key: str, value: Any, problem: str) -> ValidationError:
    return at(key, value, PydanticCustomError("walk_forward", "{text}", {"text": problem}))
