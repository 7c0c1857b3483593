"""The section ``terraform``: credentials that exist, and what cannot come back once destroyed."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from topology.stacks import STORES, Terraform, findings


def test_a_credential_that_the_map_does_not_describe_is_named() -> None:
    section = Terraform(credentials=("lab_token", "lab_tokn"))
    assert list(findings(section, ["lab_token"])) == [
        (("terraform", "credentials", 1), "no such credential. Did you mean 'lab_token'?")
    ]


@pytest.mark.parametrize(
    ("kind", "is_store"),
    [
        ("aws_s3_bucket", True),
        ("aws_db_instance", True),
        ("aws_rds_cluster", True),
        ("aws_dynamodb_table", True),
        ("aws_ebs_volume", True),
        ("aws_kms_key", True),
        ("aws_secretsmanager_secret", True),
        ("google_storage_bucket", True),
        ("google_sql_database_instance", True),
        ("google_bigquery_dataset", True),
        ("azurerm_storage_account", True),
        ("azurerm_mssql_database", True),
        ("azurerm_managed_disk", True),
        ("kubernetes_persistent_volume_claim", True),
        ("docker_volume", True),
        ("aws_instance", False),
        ("aws_iam_role", False),
        ("kubernetes_deployment", False),
        ("terraform_data", False),
    ],
)
def test_what_nothing_brings_back_is_a_store(kind: str, is_store: bool) -> None:
    assert any(fnmatchcase(kind, pattern) for pattern in STORES) is is_store
