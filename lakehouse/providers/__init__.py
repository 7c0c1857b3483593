"""Data providers: each fetches payloads as they came and says how their rows are bars."""

from __future__ import annotations

from lakehouse.providers.base import Provider
from topology.registry import Registry

PROVIDERS: Registry[type[Provider]] = Registry(
    "data provider",
    {
        "files": "lakehouse.providers.files:Files",
        "lean": "lakehouse.providers.lean:Lean",
        "sample": "lakehouse.providers.sample:Sample",
    },
)

WITH_PATH = frozenset({"files", "lean"})
"""Those that read a file or a folder; the others take no path."""
