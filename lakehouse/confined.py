"""What a warm process gives up for good, and the loop in which it forks a child per request.

The parent has one thread, runs only our code and holds nothing of anybody's; what a child learns
or breaks ends with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from lakehouse import landlock

NICE = 5
"""A bomb has every right to what nobody else needs, and servers come first."""
FENCES = ("capabilities", "landlock", "seccomp")
"""What the kernel holds a child by, besides limits and permissions; see `lay_down_rights`."""
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG = 1


def attend(control_fd: int, live: Callable[[int], NoReturn]) -> int:
    """Fork a child for each line that comes over the socket; end with the socket's other end.

    A child gets the descriptor of its line, never comes back, and dies with this process.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=control_fd) as control:
        while True:
            message, lines, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return 0
            if os.fork() == 0:
                control.close()
                _die_with_the_parent()
                live(lines[0])
            os.close(lines[0])


def lay_down_rights() -> list[str]:
    """Give up all rights that no child needs, for good; return the fences that hold.

    Without CAP_DAC_OVERRIDE a file of mode 0444 cannot be written even as uid 0; Landlock lets
    nothing be written at all. A kernel without it leaves limits, modes and capabilities.
    """
    os.nice(NICE)
    fences = []
    if sys.platform == "linux":
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")  # if memory runs out, nobody is missed less
        _drop_capabilities()
        fences.append("capabilities")
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return fences + ["landlock"] * landlock.forbid_changes()


def limit(which: int, wanted: int) -> None:
    """Set a limit of this process, for good; one that is lower already stays."""
    hard = resource.getrlimit(which)[1]
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (value, value))


def _die_with_the_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")
