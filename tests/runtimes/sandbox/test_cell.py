"""What submitted source can do to this machine: compute, and nothing else.

Every attack is tried from inside, by the real process, past all that Python itself forbids.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse import seccomp
from lakehouse.nursery import QUIET, Nursery
from runtimes.sandbox import calls, keeper
from runtimes.sandbox.errors import NonsenseError
from tests.kit import cells as kit
from topology.errors import HaltedError

pytestmark = pytest.mark.skipif(bool(calls.lacking()), reason="no Landlock")
BEGIN = """
sys = __import__("sys")  # the static look at imports is a service, no fence
os, socket, ctypes = (sys.modules[name] for name in ("os", "socket", "ctypes"))
libc = ctypes.CDLL(None, use_errno=True)

def raw(name, *arguments):
    "Call the C library; what the kernel refuses is raised."
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
    return "it worked"

class Strategy:
    def on_start(self, account):
        raise RuntimeError("%s" % attack())

def attack():
"""
EPERM = "[Errno 1]"


@pytest.fixture(scope="module")
def cells() -> Iterator[Nursery]:
    made = keeper.nursery()
    yield made
    made.close()


def source(body: str) -> str:
    """Return a strategy whose start is an attack."""
    return f"{BEGIN}{textwrap.indent(body, '    ')}\n"


def attacked(cells: Nursery, body: str) -> str:
    """Return what an attack ends with: the text of its error."""
    return str(kit.failed(cells, source(body)).facts.get("error"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("socket.socket(socket.AF_INET, socket.SOCK_STREAM)", id="a TCP socket"),
        pytest.param("socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)", id="a UDP socket"),
        pytest.param("socket.socket(socket.AF_UNIX)", id="a Unix socket"),
        pytest.param("socket.socketpair()", id="a pair of sockets"),
        pytest.param("raw('connect', 3, b'x' * 16, 16)", id="connect on what is open"),
        pytest.param("raw('bind', 3, b'x' * 16, 16)", id="bind on what is open"),
        pytest.param("raw('listen', 3, 1)", id="listen on what is open"),
        pytest.param("raw('sendmsg', 3, b'x' * 56, 0)", id="pass a descriptor"),
        pytest.param("open('/etc/passwd').read()", id="read a file"),
        pytest.param("open('/tmp/asw-cell', 'w')", id="write a file"),
        pytest.param("raw('open', b'/proc/self/environ', 0)", id="read the own environment"),
        pytest.param("open(f'/proc/{os.getppid()}/environ')", id="read the parent's environment"),
        pytest.param("open(f'/proc/{os.getppid()}/mem')", id="read the parent's memory"),
        pytest.param("os.listdir('/')", id="list a folder"),
        pytest.param("os.stat('/etc/passwd')", id="ask whether a file is there"),
        pytest.param("os.readlink('/proc/self/exe')", id="read a link"),
        pytest.param("os.mkdir('/tmp/asw-cell')", id="make a folder"),
        pytest.param("os.unlink('/tmp/asw-cell')", id="remove a file"),
        pytest.param("os.memfd_create('x')", id="make a file in memory"),
        pytest.param("os.fork()", id="fork"),
        pytest.param("raw('vfork')", id="vfork"),
        pytest.param("raw('execve', b'/bin/sh', 0, 0)", id="exec"),
        pytest.param("os.posix_spawn('/bin/sh', ['sh'], {})", id="spawn"),
        pytest.param("os.kill(os.getppid(), 9)", id="kill the parent"),
        pytest.param("os.kill(-1, 0)", id="signal everybody"),
        pytest.param("raw('ptrace', 16, os.getppid(), 0, 0)", id="ptrace the parent"),
        pytest.param(
            "raw('process_vm_readv', os.getppid(), 0, 0, 0, 0, 0)", id="read another's memory"
        ),
        pytest.param("raw('prctl', 1, 0, 0, 0, 0)", id="outlive the parent"),
        pytest.param("raw('setrlimit', 9, b'\\xff' * 16)", id="raise the own limits"),
        pytest.param("raw('unshare', 0x10000000)", id="a namespace of its own"),
        pytest.param("raw('mount', 0, b'/', 0, 4096, 0)", id="mount"),
        pytest.param("os.setsid()", id="leave the session"),
        pytest.param("os.close(3)", id="play dead on the line"),
        pytest.param("os.dup(1)", id="another descriptor"),
        pytest.param("raw('syscall', 425, 8, b'x' * 120)", id="io_uring"),
        pytest.param("raw('syscall', 321, 0, b'x' * 120, 120)", id="bpf"),
        pytest.param("raw('syscall', 0x40000000 + 39)", id="a call by its x32 number"),
    ],
)
def test_the_kernel_refuses(cells: Nursery, body: str) -> None:
    assert attacked(cells, f"return {body}").startswith(EPERM)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("return dict(os.environ).keys() & {'HOME', 'PATH'}", "set()", id="environ"),
        pytest.param(
            "return [k for k in os.environ if 'ALPHASWARM' in k]", "[]", id="nothing of the suite"
        ),
        pytest.param(
            "threading = __import__('threading')\nthreading.Thread(target=print).start()",
            "can't start new thread",
            id="threads",
        ),
        pytest.param("__import__('pandas')", "No module named 'pandas'", id="other libraries"),
        pytest.param(
            "return sum(os.write(2, b'x' * (1 << 24)) for _ in range(64))",
            str(1 << 30),
            id="a gigabyte of output goes nowhere",
        ),
        pytest.param("return 'runtimes.sandbox.keeper' in sys.modules", "False", id="no keeper"),
        pytest.param(
            "gc = __import__('gc')\nreturn sum(type(o).__name__ in ('Simulation', 'Desk', 'State') "
            "for o in gc.get_objects())",
            "0",
            id="no account to forge",
        ),
    ],
)
def test_there_is_nothing_in_reach(cells: Nursery, body: str, said: str) -> None:
    assert attacked(cells, body) == said


def test_the_future_is_not_in_its_memory(cells: Nursery) -> None:
    code = """
class Strategy:
    def on_start(self, account):
        market = account._desk.market
        seen = [float(np.isfinite(column).sum()) for column in market[1:]]
        raise RuntimeError(f"{account.bar} {seen}")
"""
    seen = f"-1 {[float(kit.FIRST * len(kit.SYMBOLS))] * 5}"
    assert kit.failed(cells, code).facts["error"] == seen


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("held = bytearray(3 << 30)", "MemoryError", id="three gigabytes"),
        pytest.param(
            "held = []\nwhile True: held.append(bytes(1 << 20))", "MemoryError", id="ever more"
        ),
        pytest.param("return np.ones((1 << 15, 1 << 15)).sum()", "MemoryError", id="in a library"),
        pytest.param("return 'x' * (1 << 62)", "MemoryError", id="absurd"),
        pytest.param("raw('mmap', 0, 1 << 30, 3, 0x21, -1, 0)", "OSError", id="shared memory"),
        pytest.param("def f(): return f()\nf()", "RecursionError", id="recursion"),
    ],
)
def test_memory_is_bounded(cells: Nursery, body: str, said: str) -> None:
    assert said in kit.failed(cells, source(body)).message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("os._exit(0)", id="exits"),
        pytest.param("libc.abort()", id="aborts"),
        pytest.param("ctypes.string_at(0)", id="crashes"),
        pytest.param(
            "sys.modules['signal'].signal(24, sys.modules['signal'].SIG_IGN)\nwhile True: pass",
            id="computes on, deaf to the limit",
        ),
    ],
)
def test_who_ends_his_process_ends_alone(cells: Nursery, body: str) -> None:
    error = kit.failed(cells, source(body), cpu_s=1)
    assert error.message == "The strategy ended its process."
    assert attacked(cells, "return 'the next one is well'") == "the next one is well"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("os.write(line, b'\\xff' * 4)", "a frame of 4294967295 bytes", id="too long"),
        pytest.param("frame(pickle.dumps(print))", "a frame that is no JSON", id="a pickle"),
        pytest.param("frame(b'\\xff\\xfe')", "a frame that is no JSON", id="no text"),
        pytest.param("frame(b'[' * 900_000)", "a frame that is no JSON", id="without a bottom"),
        pytest.param("frame(b'9' * 9_000)", "a frame that is no JSON", id="digits"),
        pytest.param("say({'value': 1e9})", "what is no request", id="an answer"),
        pytest.param("say(['fill', 0, 100.0])", "a request that there is not", id="a fill"),
        pytest.param("say(['__class__'])", "a request that there is not", id="an attribute"),
        pytest.param("say(['equity', 1e9])", "other arguments", id="an equity of its own"),
        pytest.param("say(['order', 2, 1.0, 'market', {}])", "no whole number", id="a symbol"),
        pytest.param("say(['order', -1, 1.0, 'market', {}])", "no whole number", id="from the end"),
        pytest.param("say(['order', True, 1.0, 'market', {}])", "no whole number", id="true"),
        pytest.param("say(['order', 0, '1', 'market', {}])", "no number", id="a quantity in words"),
        pytest.param("say(['order', 0, 10**400, 'market', {}])", "no number", id="beyond floats"),
        pytest.param("say(['order', 0, 1.0, 'm' * 33, {}])", "no word", id="a long kind"),
        pytest.param("say(['order', 0, 1.0, 'market', {'tag': 1}])", "other arg", id="a tag"),
        pytest.param("say(['order', 0, 1.0, 'x', {'until': 1e18}])", "no whole", id="a date"),
        pytest.param("say(['target', [[0, 0.1]] * 3])", "no list of weights", id="many weights"),
        pytest.param("say(['target', {'0': 1}])", "no list of weights", id="no list"),
        pytest.param("say(['cancel', 2**63])", "no whole number", id="an order id"),
        pytest.param("say(['update', 1, {'limit': 'x'}])", "no number", id="a limit"),
        pytest.param("say(['raised', 7])", "an error that is none", id="an error"),
    ],
)
def test_what_no_strategy_says_is_not_believed(cells: Nursery, body: str, said: str) -> None:
    with pytest.raises(NonsenseError, match=re.escape(said)):
        kit.started(cells, kit.guest(f"{SPEAK}{textwrap.indent(body, '        ')}\n"))


SPEAK = """
pickle, os, struct = (__import__(name) for name in ("pickle", "os", "struct"))

class Strategy:
    def on_start(self, account):
        say, line = account._desk._phone.say, account._desk._phone._line
        frame = lambda body: say_all(line, struct.pack("<I", len(body)) + body)
        def say_all(line, left):
            while left:
                left = left[os.write(line, left):]
"""


def test_an_error_is_shown_without_what_no_reader_should_be_sent(cells: Nursery) -> None:
    text = "'\\x00\\x1b[2J\\ud800 ' + 'x' * 999"
    body = f"say(['raised', {{'kind': 'A\\nB', 'text': {text}, 'line': -1, 'symbol': 'ZZZ'}}])"
    error = kit.failed(cells, f"{SPEAK}        {body}\n")
    assert error.message == "The strategy failed: an error."
    assert error.facts["error"] == "  [2J  " + "x" * 293
    assert set(error.facts) == {"error", "timestamp"} - {"timestamp"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("while True: pass", id="computes"),
        pytest.param("while True: account.open_orders()", id="asks on and on"),
        pytest.param(
            "os.write(line, b'\\x09\\x00\\x00\\x00[')\n__import__('time').sleep(600)",
            id="says half",
        ),
    ],
)
def test_a_halt_ends_what_never_returns(cells: Nursery, body: str) -> None:
    code = f"{SPEAK}{textwrap.indent(body, '        ')}\n"
    before = children(cells)
    with pytest.raises(HaltedError):
        kit.started(cells, kit.guest(code), kit.Quiet(looks=9))
    while children(cells) - before:
        pass  # it was killed: that takes no time, but not none


def children(cells: Nursery) -> set[int]:
    """Return the cells that live."""
    assert cells._process is not None
    pid = cells._process.pid
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_cells_end_with_the_process_that_holds_them(cells: Nursery) -> None:
    own = keeper.nursery()
    line = own.line()
    assert line.recv(1)
    (cell,) = children(own)
    own.close()
    while Path(f"/proc/{cell}").exists():
        pass
    line.close()


LACKING = """
import struct, sys
from lakehouse import seccomp
from lakehouse.seccomp import _op, _hit, _LOAD, _NUMBER, _EQUAL, _ERROR, _RETURN, _ALLOW
code = [_op(_LOAD, _NUMBER)]
for number in {numbers}:
    code += _hit(_EQUAL, number, _ERROR | {errno})
assert seccomp.bind(b"".join([*code, _op(_RETURN, _ALLOW)]))
from runtimes.sandbox import calls, keeper
from runtimes.sandbox.errors import SandboxUnavailableError
from tests.kit import cells
print(calls.lacking())
try:
    cells.started(keeper.nursery(), cells.guest("class Strategy: print('it ran')"))
except SandboxUnavailableError as error:
    print(error.wire_code, error.facts["lacking"])
"""


@pytest.mark.parametrize(
    ("numbers", "errno", "lacks", "shut"),
    [
        pytest.param((444, 445, 446), 38, "['Landlock']", "['files', 'landlock']", id="Landlock"),
    ],
)
def test_a_kernel_that_cannot_is_refused_and_never_made_do(
    numbers: tuple[int, ...], errno: int, lacks: str, shut: str
) -> None:
    """The kernel is made older by a filter: it knows no call of Landlock."""
    said = subprocess.run(
        [sys.executable, "-c", LACKING.format(numbers=numbers, errno=errno)],
        env={**QUIET, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said == [lacks, f"sandbox_unavailable {shut}"]


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_the_filter_lets_no_call_by_that_is_not_listed(processor: str) -> None:
    allowed = calls._ALLOWED[processor]
    code = seccomp.only(processor, allowed)
    assert len(set(allowed)) == len(allowed)
    assert len(code) // 8 == 2 * len(allowed) + 5
