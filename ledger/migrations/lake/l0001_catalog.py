"""The two tables of pyiceberg's SQL catalog: the writer commits, the reader reads."""

from __future__ import annotations

from ledger.migrations.sql import run

revision = "l0001"
down_revision = None

TABLES = """
CREATE TABLE iceberg_tables (
    catalog_name varchar(255) NOT NULL,
    table_namespace varchar(255) NOT NULL,
    table_name varchar(255) NOT NULL,
    metadata_location varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type varchar(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE iceberg_namespace_properties (
    catalog_name varchar(255) NOT NULL,
    namespace varchar(255) NOT NULL,
    property_key varchar(255) NOT NULL,
    property_value varchar(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
)
"""

GRANTS = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO alphaswarm_writer, alphaswarm_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON iceberg_tables, iceberg_namespace_properties
    TO alphaswarm_writer;
GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO alphaswarm_reader
"""


def upgrade() -> None:
    """Create the catalog's tables and say who may commit."""
    run(TABLES, GRANTS)
