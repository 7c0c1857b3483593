"""A run's record as text: an order that holds, and nothing that hides something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from clients.cli.record import ORDER, as_text

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "statistics.md"


def run(**changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("run_sha", "result_sha", "finished_at", "statistics", "result_tables", "error")
    )
    return {
        **empty,
        "run_id": "0" * 26,
        "status": "queued",
        "kind": "backtest",
        "name": "x",
        "version": 2,
        "spec_hash": "ab",
        "created_at": "2026-01-02T03:04:05Z",
        **changes,
    }


def test_a_run_that_waits_has_no_empty_lines() -> None:
    assert as_text(run()).splitlines() == [
        f"run        {'0' * 26}",
        "status     queued",
        "spec       backtest/x version 2",
        "spec_hash  ab",
        "created    2026-01-02T03:04:05Z",
    ]


def test_statistics_tables_and_warnings_stand_side_by_side() -> None:
    statistics = {
        "fills": 465,
        "zeta": 1.23456789,
        "sharpe": None,
        "bars": 3017,
        "partial": False,
        "warnings": [{"code": "late_listing", "message": "Symbols have no bar.", "first": {}}],
    }
    tables = {"fills": "gold.fills", "equity": "gold.run_x"}
    lines = as_text(run(statistics=statistics, result_tables=tables)).splitlines()[5:]
    assert [re.split(r" {2,}", line) for line in lines] == [
        ["bars", "3017"],
        ["fills", "465"],
        ["partial", "no"],
        ["zeta", "1.23457"],
        ["table equity", "gold.run_x"],
        ["table fills", "gold.fills"],
        ["warning", "late_listing: Symbols have no bar."],
    ]


def test_a_failed_run_says_why_and_what_to_do() -> None:
    text = as_text(run(status="failed", error={"message": "No bars.", "hint": "Ingest some."}))
    assert text.splitlines()[-2:] == ["error      No bars.", "hint       Ingest some."]


def test_the_order_is_the_one_of_the_docs() -> None:
    rows = [line.split("|")[1] for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    documented = [name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)]
    assert [name for name in dict.fromkeys(documented) if name in ORDER] == list(ORDER)
