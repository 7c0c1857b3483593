"""Memory that a worker frees is used again: no new pages for the next run."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import resource
import numpy as np
from runtimes.engine import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        columns = [np.ones(1_000_000) for _ in range(3)]
        del columns
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before, kept = faults(), memory.keep()
faults()
print(kept, before, faults())
"""


def test_columns_are_made_of_pages_that_are_there() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    kept, before, after = done.stdout.split()
    if kept == "True":  # glibc: others decide for themselves
        assert int(after) < int(before) / 10
