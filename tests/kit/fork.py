"""A fork server of our own: its processes have imported what they need, but not pytest."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

import pytest


def forkserver_of(*modules: str) -> Iterator[ForkServerContext]:
    """Yield a maker of processes in which ``modules`` are loaded already.

    One that is running keeps what it was told to import first, so it is stopped before and after.
    """
    server: Any = forkserver._forkserver
    context = multiprocessing.get_context("forkserver")
    server._stop()
    context.set_forkserver_preload(list(modules))
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(sys.modules["__main__"], "__file__", raising=False)
        yield context
    server._stop()
