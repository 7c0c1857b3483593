"""Exported files: found by the run that made them, shown as metadata, given out in ranges.

Nothing that a caller says becomes part of a path: the id names a run of the ledger, and the run's
own record names the file.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from ledger import runs, specs
from tools import runs as seen
from tools.registry import Office, resource
from tools.results import Link
from topology.clock import rfc3339
from topology.errors import BadInputError, MissingError
from topology.principal import Principal

KIND, TASK = "data", "export"
MIME = "application/vnd.apache.parquet"
READ = Rule(scopes=("data:read",), actor="any")
MOST_BYTES = 1_048_576
"""Bytes of one range over MCP, where they travel as base64; HTTP has no such limit."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ExportExpiredError(MissingError):
    """The export's time is over and its file is gone; ``facts["expired_at"]`` says since when."""

    code = "export_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file that can be downloaded: where it lies here, and what is known of it."""

    export_id: str
    path: Path
    sha256: str
    bytes: int
    table: str
    snapshot_ids: dict[str, str]
    finished_at: dt.datetime
    expires_at: dt.datetime
    facts: dict[str, Any]

    @property
    def filename(self) -> str:
        """Return a name for the downloaded file: the table's own name and the run's last part."""
        return f"{self.table.partition('.')[2]}-{self.export_id[-8:]}.parquet"


class ExportView(BaseModel):
    """What an export holds, and where to get it until ``expires_at``."""

    model_config = ConfigDict(frozen=True)

    export_id: str
    table: str
    snapshot_ids: dict[str, str]
    columns: dict[str, str]
    rows: int
    bytes: int
    sha256: str
    created_at: str
    expires_at: str
    url: str
    content: str

    def links(self) -> list[Link]:
        """Return the resource with the file's bytes."""
        return [Link(self.content, "content", title="The bytes, in ranges", mime=MIME)]


def find(office: Office, export_id: str) -> Export:
    """Return a finished export of this server's runs.

    Raises ``not_found`` for what is no export or has no file yet, `ExportExpiredError` later.
    """
    run, table = _run(office, export_id)
    if run.status != "succeeded" or run.finished_at is None or not run.statistics:
        raise MissingError(
            f"The export {export_id} is {run.status}: it has no file.",
            hint="get_run with wait_s waits for its end and says why it failed.",
            status=run.status,
        )
    facts = run.statistics
    digest = str(facts.get("sha256"))
    if not _DIGEST.fullmatch(digest):
        raise _unknown(export_id)
    expires_at = run.finished_at + dt.timedelta(seconds=office.topology.limits.exports_s)
    path = office.home.artifacts / "exports" / f"{digest}.parquet"
    if office.clock.now() >= expires_at or not path.is_file():
        raise ExportExpiredError(
            f"The export {export_id} is not kept any more.",
            hint="Export the table again: the same rows give the same bytes.",
            expired_at=rfc3339(expires_at),
        )
    return Export(
        export_id=export_id,
        path=path,
        sha256=digest,
        bytes=int(facts["bytes"]),
        table=table,
        snapshot_ids=dict(run.snapshot_ids or {}),
        finished_at=run.finished_at,
        expires_at=expires_at,
        facts=facts,
    )


def url(office: Office, export_id: str) -> str:
    """Return where an export is downloaded by HTTP: below the server's own address."""
    return f"{office.topology.face(KIND).url}/exports/{export_id}"


@resource(server="data", uri="data://exports/{id}", auth=READ, title="An export")
def export(id: str, *, office: Office, caller: Principal) -> ExportView:  # noqa: A002
    """Return what an export holds: rows, columns, digest, expiry, and where to download it."""
    del caller
    found = find(office, id)
    return ExportView(
        export_id=id,
        table=found.table,
        snapshot_ids=found.snapshot_ids,
        columns=found.facts["columns"],
        rows=found.facts["rows"],
        bytes=found.bytes,
        sha256=found.sha256,
        created_at=rfc3339(found.finished_at),
        expires_at=rfc3339(found.expires_at),
        url=url(office, id),
        content=f"data://exports/{id}/content?offset=0&length={MOST_BYTES}",
    )


@resource(
    server="data",
    uri="data://exports/{id}/content{?offset,length}",
    auth=READ,
    title="The bytes of an export",
    mime=MIME,
)
def content(
    id: str,  # noqa: A002
    offset: int = 0,
    length: int = MOST_BYTES,
    *,
    office: Office,
    caller: Principal,
) -> bytes:
    """Return at most 1 MiB of an export's Parquet file, from a byte offset on."""
    del caller
    found = find(office, id)
    if not 0 <= offset <= found.bytes or not 0 < length <= MOST_BYTES:
        raise BadInputError(
            f"There are no {length} bytes at {offset} of {found.bytes}.",
            hint=f"Ask for 1 to {MOST_BYTES} bytes from an offset of 0 to {found.bytes}.",
            bytes=found.bytes,
            most=MOST_BYTES,
        )
    with found.path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _run(office: Office, export_id: str) -> tuple[runs.Run, str]:
    """Return the run of an export and the table that it exports."""
    run = seen.read(office, export_id, kind=KIND)
    body = specs.get(office.pool, run.spec_sha256, kind=KIND).body
    if body.get("task") != TASK:
        raise _unknown(export_id)
    return run, str(body["table"])


def _unknown(export_id: str) -> MissingError:
    return MissingError(
        f"The run {export_id} is no export.", hint="export_table makes one; its run id is the id."
    )
