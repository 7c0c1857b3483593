"""Revisions of the database ``lake``: the tables of the Iceberg SQL catalog."""
