"""Data providers: each fetches payloads as they came and says how their rows are bars."""

from __future__ import annotations

from lakehouse.providers.base import Provider
from topology.registry import Registry

PROVIDERS: Registry[type[Provider]] = Registry(
    "data provider",
    {
        "ccxt": "lakehouse.providers.ccxt_source:Ccxt",
        "files": "lakehouse.providers.files:Files",
        "http": "lakehouse.providers.http_source:Http",
        "lean": "lakehouse.providers.lean:Lean",
        "sample": "lakehouse.providers.sample:Sample",
        "yfinance": "lakehouse.providers.yfinance_source:YFinance",
    },
)

WITH_PATH = frozenset({"files", "lean"})
"""Those that read a file or a folder; the others take no path."""

REMOTE = frozenset({"ccxt", "http", "yfinance"})
"""Those that ask another machine, by an endpoint of the topology; the others take none."""
