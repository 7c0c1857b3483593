"""Whether the ledger is there and up to date, for ``/readyz`` and ``doctor``."""

from __future__ import annotations

from ledger.pool import Pool, transaction
from topology.errors import FaultError

REVISION = "r0011"
"""The revision that this code was written for; a test compares it with the newest one."""


def check(pool: Pool) -> None:
    """Return if the ledger answers and stands at `REVISION`.

    Raises `StoreUnreachableError` when it does not answer and `FaultError` when it is older or
    newer than this code.
    """
    with transaction(pool, wait_s=1.0) as connection:
        row = connection.execute(
            "SELECT to_regclass('public.alembic_version') IS NOT NULL AS there"
        ).fetchone()
        found = None
        if row and row["there"]:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    at = found["version_num"] if found else "nothing"
    if at != REVISION:
        raise FaultError(
            f"The ledger stands at {at}, this version needs {REVISION}.",
            hint="Run `alphaswarm up`: it migrates the ledger.",
            found=at,
            needed=REVISION,
        )
