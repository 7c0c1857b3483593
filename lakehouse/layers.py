"""Table names: ``alphaswarm_<layer>_<domain>.<table>``, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from lakehouse.errors import LayerMismatchError

Layer = Literal["bronze", "silver", "gold"]
LAYERS: tuple[str, ...] = get_args(Layer)
_NAME = re.compile(r"alphaswarm_([a-z]+)_([a-z][a-z0-9]*)\.([a-z][a-z0-9_]{0,127})")


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's layer, domain and own name; ``str()`` gives the whole again."""

    layer: Layer
    domain: str
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Split a table's name; anything else raises ``layer_mismatch``."""
        match = _NAME.fullmatch(text)
        if match is None or match[1] not in LAYERS:
            raise LayerMismatchError(
                f"{text[:128]!r} is not the name of a table.",
                hint="Write alphaswarm_<layer>_<domain>.<table>, layer one of bronze, silver, "
                "gold, for example alphaswarm_silver_market.bars_1d.",
                value=text[:128],
            )
        return cls(cast("Layer", match[1]), match[2], match[3])

    @classmethod
    def is_one(cls, text: str) -> bool:
        """Tell whether ``text`` could name a table."""
        match = _NAME.fullmatch(text)
        return match is not None and match[1] in LAYERS

    @property
    def namespace(self) -> str:
        """Return the Iceberg namespace."""
        return f"alphaswarm_{self.layer}_{self.domain}"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


def check(layer: str, table: str) -> TableName:
    """Return the parsed name of ``table`` if it lies in ``layer``, else raise."""
    name = TableName.parse(table)
    if name.layer != layer:
        raise LayerMismatchError(
            f"{table!r} is a {name.layer} table, not a {layer[:32]} one.",
            hint=f"Append it as layer {name.layer!r}, or choose another namespace.",
            table=table,
            layer=layer[:32],
        )
    return name
