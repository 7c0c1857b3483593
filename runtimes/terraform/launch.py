"""`python launch.py PARENT PROGRAM [ARGUMENT...]`: become the program, and end when a worker does.

Standard library only. Files that the program makes are its user's alone, and when the worker's
thread that started it is gone Linux sends it SIGINT: it then stops by itself and writes its state.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
PRIVATE = 0o077


def main(parent: int, argv: list[str]) -> None:
    """Never return: the program takes this process over, or it ends with status 127."""
    os.umask(PRIVATE)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execv(argv[0], argv)  # noqa: S606  a list, no shell: nothing to quote
    except OSError:
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
