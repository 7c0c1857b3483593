"""ProbeSpec: a run that does nothing but wait, so that a halt can be measured on it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtimes.specs.data import DataSpec


class ProbeSpec(DataSpec):
    """Wait for ``seconds``, checking in each 10 ms; changes nothing."""

    task: Literal["probe"] = "probe"
    seconds: Annotated[float, Field(gt=0, le=60)] = 30.0
