"""Specs of kind data: one model per task, chosen by ``task``; without one it is an ingest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from runtimes.specs.base import Spec
from runtimes.words import unknown
from topology.registry import Registry

TASKS: Registry[type[Spec]] = Registry(
    "data task",
    {
        "ingest": "runtimes.specs.ingest:IngestSpec",
        "features": "runtimes.specs.features:FeaturesSpec",
        "export": "runtimes.specs.export:ExportSpec",
        "maintain": "runtimes.specs.maintain:MaintainSpec",
        "probe": "runtimes.specs.probe:ProbeSpec",
    },
)


class DataSpec(Spec):
    """What every spec of kind data has: its task."""

    kind: Literal["data"] = "data"
    task: str

    @classmethod
    def chosen(cls, data: Mapping[str, Any]) -> type[Spec]:
        """Return the model of the task that ``data`` names."""
        task = data.get("task", "ingest")
        if not isinstance(task, str) or task not in TASKS:
            problem = unknown("data task", task, TASKS.names())
            line = InitErrorDetails(type=problem, loc=("task",), input=task)
            raise ValidationError.from_exception_data("data", [line])
        return TASKS.load(task)
