"""Keep pandas out of our processes: pyarrow would import it, unused, only because it is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)
        return None


def without_pandas() -> None:
    """Let pyarrow look for pandas once, in vain; it remembers. Costs 1 s and 40 MB otherwise.

    Others may import pandas afterwards as ever; where it is loaded already, nothing changes.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        bool(pa.lib._pandas_api.have_pandas)  # the Python side looks, and remembers
        pa.scalar(0)  # so does the C++ side
    finally:
        sys.meta_path.remove(finder)
