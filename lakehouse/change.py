"""A change of a table that looks at its metadata without copying all of it at every look.

pyiceberg 0.12's transaction copies the whole metadata, all snapshots included, about twenty times
per append: with a hundred snapshots that is most of what an append costs.
"""

from __future__ import annotations

from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableUpdate


class Change(Transaction):
    """A transaction whose metadata is made once for each set of staged updates.

    What it returns is shared, and must not be changed.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._seen: tuple[TableMetadata, tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """Return the table's metadata with the staged updates."""
        base, updates = self._table.metadata, self._updates
        if not updates:
            return base
        if self._seen is None or self._seen[0] is not base or self._seen[1] is not updates:
            self._seen = (base, updates, super().table_metadata)
        return self._seen[2]
