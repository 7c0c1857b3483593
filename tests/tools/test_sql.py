"""``query_sql`` behind the tool: what becomes of a caller who sees a data file change."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from lakehouse import catalog, sandbox
from lakehouse.errors import DataChangedError
from ledger import audit
from runtimes.context import Workshop
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import sql
from tools.registry import Office
from topology.errors import FaultError

TABLE = "alphaswarm_silver_touched.bars_1d"


async def test_a_data_file_that_changes_is_audited_and_closes_query_sql(
    office: Office, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(workshop, TABLE, walks(["AAA.TEST"], bars=2))
    monkeypatch.setattr(sandbox, "_closed", threading.Event())
    (task,) = catalog.load(office.lake, TABLE).scan().plan_files()
    slow = f"SELECT count(*) FROM {TABLE}, range(10000000) b, range(10000000) c"
    call = asyncio.create_task(sql.answer(office, ANNA, slow, max_rows=1, as_of=None))
    await asyncio.sleep(0.5)
    os.utime(Path(task.file.file_path.removeprefix("file://")))

    with pytest.raises(DataChangedError) as changed:
        await call

    (entry, *_) = audit.tail(office.pool, limit=1, newest_first=True)
    assert (entry.actor, entry.action, entry.decision) == ("anna", "query_sql", "failed")
    assert (entry.facts["code"], entry.facts["files"]) == ("data_changed", 1)
    assert entry.args_sha256 == changed.value.facts["sql_sha256"]
    assert ".parquet" not in str(changed.value.body())
    with pytest.raises(FaultError, match="closed"):
        await sql.answer(office, ANNA, "SELECT 1", max_rows=1, as_of=None)


async def test_a_wide_answer_is_cut_to_a_conversations_size(office: Office) -> None:
    found = await sql.answer(
        office, ANNA, "SELECT repeat('x', 1000) FROM range(1000)", max_rows=1000, as_of=None
    )
    assert found.truncated
    assert 0 < found.row_count < 1000
