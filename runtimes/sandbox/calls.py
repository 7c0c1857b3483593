"""The system calls that are left to submitted source: to compute, to talk on its line, to end.

No file, socket, process, thread or right can be had by any of them: they work on memory, on the
clock and on descriptors that are open already. The numbers are those of the kernel's tables.
"""

from __future__ import annotations

import os

from lakehouse import landlock, seccomp

_ALLOWED = {
    "x86_64": (
        *(0, 1, 5, 8, 7, 271),  # read write fstat lseek poll ppoll
        *(9, 10, 11, 12, 25, 28),  # mmap mprotect munmap brk mremap madvise
        *(13, 14, 15, 131),  # rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
        *(202, 24, 35, 230, 219),  # futex sched_yield nanosleep clock_nanosleep restart_syscall
        *(39, 186, 102, 104, 107, 108, 63, 204),  # ids, uname, sched_getaffinity
        *(96, 98, 100, 201, 228, 229, 318),  # clocks, getrusage, getrandom
        *(60, 231),  # exit exit_group
    ),
    "aarch64": (
        *(63, 64, 80, 62, 73),
        *(222, 226, 215, 214, 216, 233),
        *(134, 135, 139, 132),
        *(98, 124, 101, 115, 128),
        *(172, 178, 174, 176, 175, 177, 160, 123),
        *(169, 165, 153, 113, 114, 278),
        *(93, 94),
    ),
}
FENCES = ("capabilities", "landlock", "files", "seccomp")
"""What must hold a cell, or nothing of anybody's runs in it."""


def bind() -> list[str]:
    """Close the file system and all system calls but those, for good; return what holds."""
    files = landlock.forbid_reading_but(())
    processor = os.uname().machine
    if processor not in _ALLOWED:
        return ["files"] * files
    filtered = seccomp.bind(seccomp.only(processor, _ALLOWED[processor]))
    return ["files"] * files + ["seccomp"] * filtered


def lacking() -> list[str]:
    """Return what this kernel lacks of what a cell needs, nothing where it can hold one."""
    held = {"Landlock": landlock.version() > 0, "seccomp": seccomp.known()}
    return [name for name, there in held.items() if not there]
