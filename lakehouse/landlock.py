"""Landlock (Linux 5.13 and later): what a process and its children may do with files at all.

Rules are added to, never taken back, and hold for root as for anybody. Where the kernel lacks
Landlock, `bind` says so and nothing happens. Source: Linux, Documentation/userspace-api/landlock.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
READ = EXECUTE | READ_FILE | READ_DIR
_CHANGES = {1: WRITE_FILE | 0b1_1111_1111 << 4, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights by the version that brought them: write, remove, make; refer; truncate; device ioctl."""
_TCP = 0b11
"""Bind and connect, from version 4."""
_SCOPED = 0b11
"""Abstract sockets and signals to others, from version 6."""
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_ASKED = 1
_BENEATH = 1
_NO_NEW_PRIVS = 38


def version() -> int:
    """Return the version of Landlock that this kernel has, 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_ASKED)))


def forbid_changes() -> bool:
    """Let this thread and its children change no file, reach no TCP port, signal nobody outside.

    Returns whether that holds: False where there is no Landlock.
    """
    abi = version()
    rights = sum(bits for since, bits in _CHANGES.items() if since <= abi)
    return _bind(abi, rights, net=_TCP * (abi >= 4), scoped=_SCOPED * (abi >= 6), files=())


def forbid_reading_but(files: Sequence[str]) -> bool:
    """Let this thread and its children open no file but these, to read; False as above."""
    return _bind(version(), READ, net=0, scoped=0, files=files)


def _bind(abi: int, rights: int, *, net: int, scoped: int, files: Sequence[str]) -> bool:
    if not abi:
        return False
    libc = _libc()
    attributes = struct.pack("QQQ", rights, net, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _checked(libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for file in files:
            _allow(libc, ruleset, file)
        _checked(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, file: str) -> None:
    place = os.open(file, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", READ_FILE, place)
        _checked(libc.syscall(_ADD, ruleset, _BENEATH, rule, 0))
    finally:
        os.close(place)


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "Landlock refuses")
    return answer


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
