"""What Terraform may use and may not destroy: the section ``terraform`` of the map."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field

from topology.errors import did_you_mean
from topology.fields import AbsolutePath, Name, Section
from topology.marks import Path

Pattern = Annotated[str, Field(pattern=r"^[a-z0-9_*?]{1,100}$")]

STORES: tuple[Pattern, ...] = (
    *("*_bucket", "*_database", "*_database_*", "*_db_*", "*_sql_*", "*_volume", "*_disk"),
    *("*_dynamodb_table*", "*_rds_*", "*_efs_file_system", "*_storage_account*", "*_bigtable_*"),
    *("*_bigquery_*", "*_redis_*", "*_elasticache_*", "*_opensearch_domain", "*_kms_*key*"),
    *("*_persistent_volume*", "*_snapshot", "*_backup_vault", "*_secret*", "*_cosmosdb_*"),
)
"""Types of resources whose loss nothing brings back, as patterns."""


class Terraform(Section):
    """Which program plans and applies stacks, and what it is given.

    ``binary`` null: ``tofu``, then ``terraform``, from PATH. ``mirror`` is a folder of providers;
    registries are places of ``egress`` that are allowed for ``stacks``. Stacks may use the
    ``credentials`` that are listed here and no others. Destroying a resource of a type that
    ``stores`` matches takes two approvals.
    """

    binary: AbsolutePath | None = None
    mirror: AbsolutePath | None = None
    credentials: tuple[Name, ...] = ()
    stores: tuple[Pattern, ...] = STORES


def findings(section: Terraform, credentials: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield each credential that the map does not describe."""
    for place, name in enumerate(section.credentials):
        if name not in credentials:
            hint = did_you_mean(name, credentials)
            yield ("terraform", "credentials", place), f"no such credential. {hint}".rstrip()
