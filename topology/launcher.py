"""`python -m topology.launcher NAME -- ARGV..`: start a program, keep it, and leave nothing of it.

Reads `topology.launching.Orders` from standard input. The program gets a session of its own, its
limits, and SIGKILL from the kernel should this process die. Whatever it leaves behind becomes a
child of this process (a child subreaper), however it detached itself, and is ended with it. SIGTERM
asks the program to end and waits; SIGQUIT ends all of it at once. One thread, so that a fork copies
no lock and the death signal has a parent thread that lives as long as the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from topology.errors import LatchUnreadableError
from topology.latch import Latch, Pressed
from topology.launching import Orders, Phase, State
from topology.probing import Prober
from topology.processes import Process, parents

LOOK_S = 0.1
STRAY_S = 2.0
"""What a program leaves behind has this long between SIGTERM and SIGKILL."""
UNREADABLE_S = 2.0
STEADY_S = 30.0
"""Who lived this long is restarted after the first pause again, and its restarts are forgotten."""
LONGEST_PAUSE_S = 60.0
NOT_STARTED = 127
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD)


class Launcher:
    """One program, from its start to the end of everything that it started."""

    def __init__(self, argv: Sequence[str], orders: Orders) -> None:
        self._argv, self._orders = argv, orders
        me = Process.of(os.getpid())
        self.state = State(os.getpid(), me.started if me else "", "starting")
        self._asked: set[int] = set()
        self._codes: dict[int, int] = {}
        self._main = 0
        self._begun = self._pause = 0.0
        self._kill_at = float("inf")
        self._halting = Halting(orders)
        self._prober: Prober | None = None

    def run(self) -> int:
        """Keep the program until it may end; return its exit code."""
        with _woken(self._note) as wake:
            while True:
                self._start()
                self._watch(wake)
                code = self._codes.pop(self._main)
                self._sweep(wake)
                if not self._again(code):
                    self._say("exited", pid=None, exit_code=code)
                    return code
                self._say("restarting", pid=None, exit_code=code)
                if not self._rest(wake):
                    return code

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number != signal.SIGCHLD:
            self._asked.add(number)

    def _start(self) -> None:
        self._begun = time.monotonic()
        self._main = spawn(self._argv, self._orders)
        if self._orders.probe:
            self._prober = Prober(
                self._orders.probe, self._begun, self._ask, self._codes.get, _kill
            )
        self._say("running", pid=self._main, exit_code=None, well=None)

    def _watch(self, wake: int) -> None:
        """Return when the program has ended, asked or not."""
        while self._main not in self._codes:
            self._obey()
            self._look(time.monotonic())
            _wait(wake, LOOK_S)
            self._reap()
        if self._prober:
            self._prober.close()

    def _obey(self) -> None:
        """Pass on what was asked of us: to end, or to end at once."""
        if self._asked & {signal.SIGTERM, signal.SIGINT}:
            self._asked -= {signal.SIGTERM, signal.SIGINT}
            self._say(self.state.phase, why=self.state.why or "stopped")
            _send(self._main, signal.SIGTERM)
        if signal.SIGQUIT in self._asked or time.monotonic() >= self._kill_at:
            self._say(self.state.phase, why=self.state.why or "stopped")
            for pid in descendants():
                _send(pid, signal.SIGKILL)

    def _look(self, now: float) -> None:
        pressed = self._halting.look(now) if self.state.why != "halted" else None
        if pressed is not None:
            self._say(self.state.phase, why="halted", epoch=pressed.epoch, scope=pressed.scope)
            self._kill_at = now + self._orders.halt_grace_s
            _send(self._main, signal.SIGTERM)
        well = self._prober.look(now) if self._prober and not self.state.why else None
        if well is not None:
            self._say(self.state.phase, well=well)
        if well is False and self._orders.restart != "never":
            _send(self._main, signal.SIGKILL)
        self._cut_log()

    def _sweep(self, wake: int) -> None:
        """End whatever the program has left behind, in whichever session it hides."""
        deadline = time.monotonic() + STRAY_S
        while left := descendants():
            last = time.monotonic() >= deadline or signal.SIGQUIT in self._asked
            for pid in left:
                _send(pid, signal.SIGKILL if last or self.state.why == "halted" else signal.SIGTERM)
            _wait(wake, 0.02)
            self._reap()
        self._codes.clear()

    def _again(self, code: int) -> bool:
        """Tell whether the program is to be started once more."""
        orders = self._orders
        if time.monotonic() - self._begun >= STEADY_S:
            self._pause, self.state = 0.0, replace(self.state, restarts=0)
        wanted = orders.restart == "always" or (orders.restart == "on_failure" and code != 0)
        return wanted and not self.state.why and self.state.restarts < orders.most

    def _rest(self, wake: int) -> bool:
        """Wait before the next start; False for who is told to end meanwhile."""
        self._pause = min(max(self._pause * 2, self._orders.pause_s), LONGEST_PAUSE_S)
        until = time.monotonic() + self._pause
        while time.monotonic() < until:
            pressed = self._halting.look(time.monotonic())
            if pressed or self._asked & {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}:
                why = "halted" if pressed else "stopped"
                epoch, scope = (pressed.epoch, pressed.scope) if pressed else (0, "")
                self._say("exited", why=why, epoch=epoch, scope=scope)
                return False
            _wait(wake, LOOK_S)
        self.state = replace(self.state, restarts=self.state.restarts + 1)
        return True

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                code = os.waitstatus_to_exitcode(found[1])
                self._codes[found[0]] = code if code >= 0 else 128 - code

    def _ask(self, argv: Sequence[str]) -> int:
        return spawn(argv, self._orders, quiet=True)

    def _say(self, phase: Phase, **facts: object) -> None:
        said = replace(self.state, phase=phase, **facts)  # type: ignore[arg-type]  # fields of State
        if said != self.state and self._orders.state:
            with contextlib.suppress(Exception):  # a full disk stops no program
                said.write(Path(self._orders.state))
        self.state = said

    def _cut_log(self) -> None:
        """Keep the first part of an overlong log aside and go on with an empty one."""
        most = self._orders.log_bytes
        if most is None or os.fstat(1).st_size <= most:
            return
        with contextlib.suppress(OSError):
            log = Path(os.readlink("/proc/self/fd/1"))
            log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
            log.with_name(f"{log.name}.1").chmod(0o600)
            os.truncate(log, 0)


class Halting:
    """Looks at the latch: one word of memory each time where nothing has changed."""

    def __init__(self, orders: Orders) -> None:
        self._path, self._scopes = orders.latch, orders.scopes
        self._latch: Latch | None = None
        self._seen = -1
        self._unreadable = float("inf")

    def look(self, now: float) -> Pressed | None:
        """Return the halt that covers the program; a latch that stays unreadable is one."""
        if self._path is None:
            return None
        try:
            if self._latch is None:
                self._latch = Latch.open(Path(self._path))
            self._latch.check()
            changes = self._latch.changes()
            pressed = self._latch.pressed(self._scopes) if changes != self._seen else None
        except (LatchUnreadableError, OSError):
            return self._blind(now)
        self._seen, self._unreadable = changes, float("inf")
        return pressed

    def _blind(self, now: float) -> Pressed | None:
        if self._latch is not None:
            self._latch.close()
            self._latch = None
        self._unreadable = min(self._unreadable, now)
        if now - self._unreadable < UNREADABLE_S:
            return None
        return Pressed("all", 0, time.time_ns())


def spawn(argv: Sequence[str], orders: Orders, *, quiet: bool = False) -> int:
    """Start ``argv`` in a session of its own under the limits; return its pid.

    What cannot be started says why on standard error and ends with 127.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(NOT_STARTED)
        signal.set_wakeup_fd(-1)
        for number in (*_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if quiet:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
        _limit(orders.limits)
        if orders.folder is not None:
            os.chdir(orders.folder)
        os.execvpe(argv[0], list(argv), _environ(orders))  # noqa: S606  no shell is wanted
    except (OSError, ValueError) as error:
        os.write(2, f"{argv[0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def descendants() -> list[int]:
    """Return everything under this process, children before their parents' parents."""
    known = parents()
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in known.items() if parent == pid]
    return found[1:]


def _environ(orders: Orders) -> dict[str, str]:
    return dict(os.environ if orders.environ is None else orders.environ)


def _limit(limits: Mapping[str, int]) -> None:
    for name, value in limits.items():
        which = getattr(resource, f"RLIMIT_{name.upper()}")
        _, most = resource.getrlimit(which)
        limit = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(which, (limit, limit))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _kill(pid: int) -> None:
    _send(pid, signal.SIGKILL)


def _wait(wake: int, timeout_s: float) -> None:
    if select.select([wake], [], [], timeout_s)[0]:
        os.read(wake, 4096)


@contextlib.contextmanager
def _woken(note: Callable[[int, FrameType | None], None]) -> Iterator[int]:
    """Have every signal noted, and a descriptor that becomes readable with it."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer)
    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)


def main(arguments: Sequence[str]) -> int:
    """Read the orders and keep the program."""
    argv = list(arguments[arguments.index("--") + 1 :])
    orders = Orders.read(sys.stdin.buffer.read())
    if orders.lock is not None:
        os.set_inheritable(orders.lock, False)  # noqa: FBT003  its signature
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return Launcher(argv, orders).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
