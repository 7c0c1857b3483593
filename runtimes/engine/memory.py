"""What a process keeps of the memory that it frees: fresh pages cost more than the arithmetic."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Names of `mallopt` in glibc's malloc.h."""
KEPT = {TRIM_THRESHOLD: 512 * 2**20, TOP_PAD: 16 * 2**20, MMAP_THRESHOLD: 32 * 2**20}
"""Bytes. Arrays below 32 MB, the most that glibc lets one set, come from memory used before; what
lies free at its end goes back to the system only beyond 512 MB."""


def keep() -> bool:
    """Let this process keep what it frees, and tell whether its C library can.

    By default each column of a result is mapped anew and given back, a fault for every 4 kB: a
    million bars then cost twice their time. For workers, which do the like again and again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, size) for name, size in KEPT.items())
