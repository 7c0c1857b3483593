"""What holds a query's process even if it ran code of an attacker's: asked of the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse import landlock, nursery, seccomp
from lakehouse.confined import FENCES

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = """
import ctypes, os, signal, socket, subprocess, sys
from lakehouse import cell, landlock, seccomp
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, work):
    try:
        found = work()
    except OSError as error:
        print(name, os.strerror(error.errno))
    else:
        print(name, "done")
file, other = sys.argv[1:]
os.nice = lambda step: 0
"""
CHANGES = """
tried("write", lambda: open(file, "w"))
tried("append", lambda: open(file, "a"))
tried("create", lambda: open(file + ".new", "x"))
tried("truncate", lambda: os.truncate(file, 0))
tried("remove", lambda: os.unlink(file))
tried("rename", lambda: os.rename(file, file + ".new"))
tried("link", lambda: os.link(file, file + ".new"))
tried("folder", lambda: os.mkdir(file + ".new"))
"""
needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="no Landlock")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return a data file and another one, both of which modes let anybody write and read."""
    pair = tmp_path / "data.parquet", tmp_path / "other"
    for file in pair:
        file.write_text("rows")
        file.chmod(0o666)
    return pair


def said(program: str, files: tuple[Path, Path]) -> dict[str, str]:
    """Run a program in a process of its own and return what it says of each attempt."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **nursery.QUIET},
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@needs_landlock
def test_landlock_alone_lets_nothing_be_changed(files: tuple[Path, Path]) -> None:
    answers = said(f"assert landlock.forbid_changes()\n{CHANGES}", files)
    assert set(answers.values()) <= {"Permission denied", "Invalid cross-device link"}
    assert len(answers) == 8
    assert files[0].read_text() == "rows"


@needs_landlock
def test_landlock_lets_one_file_be_read_and_no_other(files: tuple[Path, Path]) -> None:
    program = """
assert landlock.forbid_reading_but([file])
tried("data", lambda: open(file))
tried("other", lambda: open(other))
tried("password", lambda: open("/etc/passwd"))
tried("folder", lambda: os.listdir("/"))
tried("program", lambda: os.execv("/bin/true", ["true"]))
"""
    answers = said(program, files)
    assert answers.pop("data") == "done"
    assert set(answers.values()) == {"Permission denied"}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no seccomp")
def test_the_filter_alone_lets_nothing_be_changed_started_or_reached(
    files: tuple[Path, Path],
) -> None:
    program = """
import resource, threading
assert seccomp.bind()
tried("read", lambda: open(file).read())
tried("thread", lambda: threading.Thread(target=str).start())
tried("chmod", lambda: os.chmod(file, 0o777))
tried("chown", lambda: os.chown(file, 1, 1))
tried("touch", lambda: os.utime(file))
tried("socket", lambda: socket.socket())
tried("fork", lambda: os.fork())
tried("program", lambda: os.execv("/bin/true", ["true"]))
tried("kill", lambda: os.kill(os.getppid(), 0))
tried("limit", lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)))
tried("own-limit", lambda: resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)))
"""
    answers = said(program + CHANGES, files)
    assert {answers.pop(name) for name in ("read", "thread", "own-limit")} == {"done"}
    assert set(answers.values()) == {"Operation not permitted"}
    assert len(answers) == 16
    assert files[0].read_text() == "rows"


@needs_root
def test_root_without_capabilities_writes_no_read_only_file(files: tuple[Path, Path]) -> None:
    files[0].chmod(0o444)
    program = """
landlock.forbid_changes = lambda: False   # a kernel without Landlock
print("fences", *cell.lay_down_rights())
tried("write", lambda: open(file, "w"))
tried("mode", lambda: os.chmod(other, 0o444))
"""
    assert said(program, files) == {
        "fences": "capabilities",
        "write": "Permission denied",
        "mode": "done",  # an owner's right, which only the filter of system calls takes away
    }


@pytest.mark.parametrize(
    "account",
    [
        pytest.param("", id="as whoever runs this"),
        pytest.param("os.setgroups([]); os.setgid(65534); os.setuid(65534)", id="as nobody"),
    ],
)
def test_a_whole_child_under_an_account(files: tuple[Path, Path], account: str) -> None:
    """The warm parent, its child and a query, with another account's rights."""
    if account and os.geteuid() != 0:
        pytest.skip("not root")
    files[0].parent.chmod(0o755)
    program = f"""
import json, threading
from multiprocessing.connection import Connection
ours, theirs = socket.socketpair()
line, childs = socket.socketpair()
socket.send_fds(ours, [b"q"], [childs.fileno()])
if os.fork() == 0:
    ours.close(), line.close(), childs.close()
    database = cell.warmed()
    {account}
    fences = cell.lay_down_rights()
    os._exit(cell.attend(theirs.detach(), database, fences))
theirs.close(), childs.close()
talk = Connection(line.detach())
print("fences", *json.loads(talk.recv_bytes())["fences"])
talk.send_bytes(json.dumps({{"sql": "SELECT 6 * 7", "timeout_s": 3, "memory_mb": 64}}).encode())
print("tree", talk.recv_bytes()[:1].decode())
talk.send_bytes(json.dumps({{"root": "/", "views": [], "files": [], "max_rows": 1}}).encode())
print("answer", json.loads(talk.recv_bytes()[1:])["rows"])
ours.close()
"""
    answers = said(program, files)
    assert answers["answer"] == "[[42]]"
    if landlock.version() and platform.machine() in ("x86_64", "aarch64"):
        assert answers["fences"].split() == list(FENCES)


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_the_filter_fits_the_kernels_bounds(processor: str) -> None:
    code = seccomp.program(processor)
    assert len(code) % 8 == 0
    assert len(code) // 8 < 4096  # BPF_MAXINSNS


def test_a_machine_without_landlock_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert landlock.forbid_changes() is False
    assert landlock.forbid_reading_but([]) is False
