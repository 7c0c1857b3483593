"""Revisions of the database ``ledger``."""
