"""Hide what only the extras install: a process that starts with this folder on its path lacks it.

The names stand in ALPHASWARM_TEST_HIDDEN; `tests.kit.base.hidden` finds them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HIDDEN = frozenset(os.environ.get("ALPHASWARM_TEST_HIDDEN", "").split(","))


class Hiding(MetaPathFinder):
    """Finds nothing that is hidden, and says so before anybody else is asked."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise for a hidden module; leave every other one to the finders behind."""
        if fullname.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


sys.meta_path.insert(0, Hiding())
