"""Data providers: each fetches a payload as it came and says how its rows are bars."""

from __future__ import annotations

from lakehouse.providers.base import Provider
from topology.registry import Registry

PROVIDERS: Registry[type[Provider]] = Registry(
    "data provider",
    {
        "files": "lakehouse.providers.files:Files",
        "sample": "lakehouse.providers.sample:Sample",
    },
)
