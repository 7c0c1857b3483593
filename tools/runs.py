"""Runs as a caller sees them: the handle, the whole record, pages of rows, waiting and cancelling.

Whoever may read a server may read its runs: a home belongs to one person, and its tokens are that
person's. Cancelling needs the server's work scope.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from ledger import runs
from ledger.progress.follow import follow
from tools.audited import audited
from tools.registry import Office, Report, tool
from tools.results import Link
from topology.clock import rfc3339
from topology.errors import BadInputError, MissingError
from topology.frames import Frame
from topology.ids import is_id
from topology.principal import Principal

LONGEST_WAIT_S = 50

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "halted", "cancelled"]
RunId = Annotated[str, Field(description="26 characters, from the run handle")]
WaitS = Annotated[
    float, Field(ge=0, le=LONGEST_WAIT_S, description="Wait up to this long for the run's end")
]
After = Annotated[str | None, Field(description="`next` of the page before")]
Limit = Annotated[int, Field(ge=1, le=200, description="Rows per page")]

DispatchKey = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=100,
        description="Repeating a submit with the same key returns the first run",
    ),
]

ENDED = frozenset({"succeeded", "failed", "halted", "cancelled"})


class RunHandle(BaseModel):
    """A submitted run; ask `get_run` for its progress."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    task_id: str
    status: str
    spec_hash: str
    result_uri: str


class Submitted(BaseModel):
    """A run handle; after a ``dry_run`` the spec and its hash only, and nothing was written."""

    model_config = ConfigDict(frozen=True)

    dry_run: bool
    spec_hash: str
    run_id: str | None = None
    task_id: str | None = None
    status: str | None = None
    result_uri: str | None = None
    spec: dict[str, Any] | None = None


class RunView(RunHandle):
    """Everything the ledger records of a run; `result_tables` name Iceberg tables."""

    kind: str
    name: str
    version: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    snapshot_ids: dict[str, str] | None
    inputs: dict[str, Any]
    engine: dict[str, Any] | None
    run_sha: str | None
    result_sha: str | None
    statistics: dict[str, Any] | None
    result_tables: dict[str, Any] | None
    error: dict[str, Any] | None

    def links(self) -> list[Link]:
        """Return the resource that holds the run, and the one that it made."""
        made = (self.statistics or {}).get("uri")
        result = [Link(str(made), "result", title="What the run made")] if made else []
        return [Link(self.result_uri, self.name, title="The run"), *result]


class RunRow(BaseModel):
    """One line of a list of runs."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    kind: str
    name: str
    version: int
    status: str
    created_at: str
    finished_at: str | None
    requested_by: str
    code: str | None


class RunPage(BaseModel):
    """Runs, newest first; `next` goes into `after`, null on the last page."""

    model_config = ConfigDict(frozen=True)

    runs: list[RunRow]
    next: str | None


def view(run: runs.Run) -> RunView:
    """Return the public record of a run."""
    return RunView(
        run_id=run.run_id,
        task_id=run.task_id,
        status=run.status,
        spec_hash=run.spec_sha256,
        result_uri=f"run://{run.run_id}",
        kind=run.kind,
        name=run.name,
        version=run.version,
        created_at=rfc3339(run.created_at),
        started_at=_moment(run.started_at),
        finished_at=_moment(run.finished_at),
        snapshot_ids=_plain(run.snapshot_ids),
        inputs=dict(run.inputs),
        engine=_plain(run.engine),
        run_sha=run.run_sha,
        result_sha=run.result_sha,
        statistics=_plain(run.statistics),
        result_tables=_plain(run.result_tables),
        error=_plain(run.error),
    )


def read(office: Office, run_id: str, *, kind: str | None) -> runs.Run:
    """Return a run of ``kind`` (None: of any); another kind's run is ``not_found`` here."""
    if not is_id(run_id):
        raise BadInputError(
            f"{run_id[:64]!r} is not a run id.",
            hint="A run id has 26 characters of a-z and 0-9; take it from a handle.",
            errors=[{"path": "run_id", "value": run_id[:64], "problem": "This is no run id."}],
        )
    try:
        return runs.get(office.pool, run_id, kind)
    except MissingError as error:
        error.hint = "Each server answers for its own runs; control's list_runs shows all of them."
        raise


async def get(
    office: Office, run_id: str, *, kind: str | None, wait_s: float, report: Report | None
) -> RunView:
    """Return a run, after waiting at most ``wait_s`` for its end; its frames go to ``report``."""
    run = await asyncio.to_thread(read, office, run_id, kind=kind)
    if run.status in ENDED or wait_s <= 0:
        return view(run)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await _watch(office, run.task_id, report)
    return view(await asyncio.to_thread(read, office, run_id, kind=kind))


async def _watch(office: Office, task_id: str, report: Report | None) -> None:
    gauge = Gauge()
    async with contextlib.aclosing(follow(office.pool, office.bus, task_id, after=0)) as frames:
        async for frame in frames:
            if frame is None:
                continue
            if report is not None:
                await report(*gauge.read(frame))
            if frame.terminal:
                return


class Gauge:
    """Frames as MCP progress, which must grow with every report.

    A frame that counts sets the value to its ``current``; one that does not moves it by a
    thousandth, so that its message arrives and the bar stays where it is.
    """

    NUDGE = 0.001

    def __init__(self) -> None:
        self._value = 0.0
        self._total: float | None = None

    def read(self, frame: Frame) -> tuple[float, float | None, str]:
        """Return value, total (None while unknown) and message of one frame."""
        extras = frame.extras
        current, total = extras.get("current"), extras.get("total")
        reached = 0.0
        if isinstance(current, int | float) and isinstance(total, int | float):
            reached, self._total = float(current), float(total)
        self._value = max(reached, self._value + self.NUDGE)
        return self._value, self._total, f"{frame.stage}: {frame.message}"


def offer_get(
    *, server: str, kind: str | None, auth: Rule, what: str, view: type[RunView] = RunView
) -> Callable[..., Awaitable[Any]]:
    """Offer ``get_run`` of a server's runs; ``view`` is the model that they are shown as."""

    async def get_run(
        run_id: RunId,
        wait_s: WaitS = 0,
        *,
        office: Office,
        caller: Principal,
        report: Report | None = None,
    ) -> RunView:
        del caller
        found = await get(office, run_id, kind=kind, wait_s=wait_s, report=report)
        return found if view is RunView else view(**found.model_dump())

    get_run.__doc__ = f"Return a {what}, after waiting up to wait_s for its end; reports progress."
    get_run.__annotations__["return"] = view
    return tool(server=server, auth=auth, title=f"Get a {what}", read_only=True)(get_run)


def offer_cancel(*, server: str, kind: str | None, auth: Rule, what: str) -> Callable[..., RunView]:
    """Offer ``cancel_run`` of a server's runs."""

    def cancel_run(run_id: RunId, *, office: Office, caller: Principal) -> RunView:
        return cancel(office, caller, run_id, kind=kind)

    cancel_run.__doc__ = (
        f"Ask for the end of a {what}; a queued one ends at once, an ended one stays as it is."
    )
    return tool(
        server=server,
        auth=auth,
        title=f"Cancel a {what}",
        read_only=False,
        destructive=True,
        idempotent=True,
    )(cancel_run)


def page(
    office: Office,
    *,
    kind: str | None,
    status: str | None,
    name: str | None,
    after: str | None,
    limit: int,
) -> RunPage:
    """Return a page of runs, newest first."""
    if after is not None and not is_id(after):
        raise BadInputError(
            f"{after[:64]!r} is no cursor.",
            hint="Pass `next` of the page before, or leave `after` out.",
            errors=[{"path": "after", "value": after[:64], "problem": "This is no cursor."}],
        )
    found = runs.listing(
        office.pool, kind=kind, status=status, name=name, after=after, limit=limit + 1
    )
    return RunPage(
        runs=[_row(run) for run in found[:limit]],
        next=found[limit - 1].run_id if len(found) > limit else None,
    )


def cancel(office: Office, caller: Principal, run_id: str, *, kind: str | None) -> RunView:
    """Ask for the end of a run: a queued one ends at once, a running one within seconds.

    A run that has ended stays as it is.
    """
    run = read(office, run_id, kind=kind)
    if run.status in ENDED:
        return view(run)
    with audited(office, caller, action="cancel_run", target=f"run:{run_id}", args={}):
        return view(runs.cancel(office.pool, run_id, by=caller.subject, bus=office.bus))


def _row(run: runs.Run) -> RunRow:
    return RunRow(
        run_id=run.run_id,
        kind=run.kind,
        name=run.name,
        version=run.version,
        status=run.status,
        created_at=rfc3339(run.created_at),
        finished_at=_moment(run.finished_at),
        requested_by=run.requested_by,
        code=(run.error or {}).get("code"),
    )


def _moment(moment: dt.datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _plain(mapping: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if mapping is None else dict(mapping)
