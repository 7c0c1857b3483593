"""A filter of system calls (seccomp): a query computes and reads, so it needs few of them.

It starts no process, opens nothing to write, reaches no network and changes no right. What is
forbidden answers "not permitted". Elsewhere than on Linux, or on another processor than x86-64
and ARM64, `bind` returns False. Sources: Linux, Documentation/userspace-api/seccomp_filter; the
numbers are those of the kernel's tables.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable

_X86, _ARM = "x86_64", "aarch64"
_ARCHITECTURE = {_X86: 0xC000003E, _ARM: 0xC00000B7}
_FORBIDDEN = {
    _X86: (
        *(41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
        *(57, 58, 59, 322, 62, 101),  # fork vfork execve execveat kill ptrace
        *(76, 77, 285, 82, 264, 316),  # truncate ftruncate fallocate rename renameat renameat2
        *(83, 84, 85, 86, 87, 88, 133),  # mkdir rmdir creat link unlink symlink mknod
        *(258, 259, 263, 265, 266),  # mkdirat mknodat unlinkat linkat symlinkat
        *(90, 91, 268, 92, 93, 94, 260),  # chmod fchmod fchmodat chown fchown lchown fchownat
        *(132, 235, 261, 280, 188, 189, 190),  # utime utimes futimesat utimensat *setxattr
        *(155, 161, 165, 166, 272, 308),  # pivot_root chroot mount umount2 unshare setns
        *(175, 313, 246, 320, 169, 298, 321),  # modules kexec reboot perf_event_open bpf
        *(248, 249, 250, 303, 304, 310, 311),  # keys, file handles, process_vm_*
        *(200, 129, 297),  # tkill rt_sigqueueinfo rt_tgsigqueueinfo
    ),
    _ARM: (
        *(198, 199, 200, 201, 202, 203, 242),
        *(221, 281, 129, 117),
        *(45, 46, 47, 38, 276),
        *(33, 34, 35, 36, 37),
        *(52, 53, 54, 55, 88, 5, 6, 7),
        *(41, 51, 40, 39, 97, 268),
        *(105, 273, 104, 294, 142, 241, 280),
        *(217, 218, 219, 264, 265, 270, 271),
        *(130, 138, 240),
    ),
}
_FORBIDDEN_EVERYWHERE = (
    *(425, 426, 427),  # io_uring
    *(428, 429, 430, 431, 432, 433, 442),  # mounts
    *(424, 434, 438, 437, 452, 463),  # pidfd openat2 fchmodat2 setxattrat
)
_USERFAULT = {_X86: 323, _ARM: 282}
_OPEN = {_X86: ((2, 24), (257, 32)), _ARM: ((56, 32),)}
"""open and openat, and where their flags stand in the arguments."""
_CLONE = {_X86: 56, _ARM: 220}
_PRLIMIT = {_X86: 302, _ARM: 261}
_ANY = 0xFFFFFFFF
_CLONE3 = 435
_TO_WRITE = 0o1103  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
_CLONE_THREAD = 0x10000
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_DENY = _ERROR | errno.EPERM
_PR_SET_NO_NEW_PRIVS, _PR_GET_SECCOMP, _PR_SET_SECCOMP, _FILTER = 38, 21, 22, 2


def known() -> bool:
    """Tell whether this kernel filters system calls, on a processor whose calls we know."""
    if sys.platform != "linux" or os.uname().machine not in _ARCHITECTURE:
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)


def bind(code: bytes | None = None) -> bool:
    """Filter the system calls of this thread and its children; return whether that holds.

    ``code`` is a filter that `program` or `only` made, None for `program`'s of this processor.
    """
    processor = os.uname().machine
    if sys.platform != "linux" or processor not in _ARCHITECTURE:
        return False
    code = program(processor) if code is None else code
    text = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    answer = libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(filter_), 0, 0)
    if answer != 0 and ctypes.get_errno() != errno.EINVAL:
        raise OSError(ctypes.get_errno(), "the filter of system calls is refused")
    return bool(answer == 0)


def program(processor: str) -> bytes:
    """Return the filter for a processor, as the kernel's eight-byte instructions.

    Every test that hits is followed by its own verdict, so no jump is longer than one step.
    """
    forbidden = (*_FORBIDDEN[processor], *_FORBIDDEN_EVERYWHERE, _USERFAULT[processor])
    code = [
        _op(_LOAD, _ARCH),
        *_hit(_EQUAL, _ARCHITECTURE[processor], _DENY, unless=True),
        _op(_LOAD, _NUMBER),
        *(_hit(_AT_LEAST, _X32, _DENY) if processor == _X86 else ()),
        *_hit(_EQUAL, _CLONE3, _ERROR | errno.ENOSYS),  # its flags lie in memory: use clone
        *(step for number in forbidden for step in _hit(_EQUAL, number, _DENY)),
        *_flags(_CLONE[processor], _FIRST_ARGUMENT, _CLONE_THREAD, unless=True),
        *_flags(_PRLIMIT[processor], _FIRST_ARGUMENT, _ANY),  # its own limits are process 0's
    ]
    for number, place in _OPEN[processor]:
        code += _flags(number, place, _TO_WRITE)
    return b"".join([*code, _op(_RETURN, _ALLOW)])


def only(processor: str, allowed: Iterable[int]) -> bytes:
    """Return the filter that lets the calls ``allowed`` pass and answers all others no."""
    code = [
        _op(_LOAD, _ARCH),
        *_hit(_EQUAL, _ARCHITECTURE[processor], _DENY, unless=True),
        _op(_LOAD, _NUMBER),
        *(step for number in allowed for step in _hit(_EQUAL, number, _ALLOW)),
        _op(_RETURN, _DENY),
    ]
    return b"".join(code)


def _hit(test: int, value: int, verdict: int, *, unless: bool = False) -> list[bytes]:
    jumps = (1, 0) if unless else (0, 1)
    return [_op(test, value, *jumps), _op(_RETURN, verdict)]


def _flags(number: int, place: int, bits: int, *, unless: bool = False) -> list[bytes]:
    """Return the check of one call's flags: forbidden with any of the bits, or unless it has."""
    return [
        _op(_EQUAL, number, 0, 4),
        _op(_LOAD, place),
        *_hit(_ANY_BIT, bits, _DENY, unless=unless),
        _op(_RETURN, _ALLOW),
    ]


def _op(code: int, value: int, hit: int = 0, miss: int = 0) -> bytes:
    return struct.pack("HBBI", code, hit, miss, value)
