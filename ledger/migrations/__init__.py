"""The ledger's tables as alembic revisions of plain SQL; run by the owner role.

`record` holds the revisions of the database ``ledger``, `lake` those of the catalog's database.
"""
