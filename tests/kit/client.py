"""The wire from the caller's side: an issuer on a real port, a person, and the command itself."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import urljoin

import httpx2
import pyotp
import pytest
import uvicorn

from clients.cli.app import main
from clients.cli.suite import marked
from servers.identity.compose import Identity
from tests.kit import base, fake_tofu, kernels
from tests.kit.identity import PASSWORD, USERNAME, Scene, scene_of
from tests.kit.identity_store import MemoryStore
from tests.kit.redaction import COLLECTOR
from topology import processes, services
from topology.clock import SystemClock
from topology.home import Home
from topology.services import Topology

COMMAND = str(Path(sys.executable).with_name("alphaswarm"))


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Served:
    """An issuer that answers on a port of its own, and a home for what its client stores."""

    home: Home
    topology: Topology
    identity: Identity
    scene: Scene

    def enrol(self) -> list[str]:
        """Give the person a second factor and return the recovery codes."""
        self.scene.enrol()
        return self.scene.recovery_codes


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the issuer of a fresh home over HTTP and over its Unix socket."""
    topology, folder = services.load({}, port=free_port()), tmp_path_factory.mktemp("served")
    scene = scene_of(folder, MemoryStore(), topology=topology, clock=SystemClock())
    config = uvicorn.Config(
        scene.app, host="127.0.0.1", port=topology.listen.port, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert processes.until(lambda: server.started, 10)
        with scene.identity.local_login():
            yield Served(scene.home, topology, scene.identity, scene)
    finally:
        server.should_exit = True
        thread.join()


class _Form(HTMLParser):
    """The form that a person sees; one that waits for a script is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.fields, self.seen = "", dict[str, str](), False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "form":
            self.seen = "hidden" not in facts
        if tag == "form" and self.seen:
            self.action = facts.get("action") or ""
        elif self.seen and tag == "input" and facts.get("type") == "hidden":
            self.fields[str(facts["name"])] = facts.get("value") or ""


@dataclass
class Person:
    """Somebody with a browser who signs in when asked; ``decision`` is the consent's button."""

    username: str = USERNAME
    password: str = PASSWORD
    decision: str = "allow"
    codes: list[str] = field(default_factory=list)
    """Recovery codes that are left."""
    pages: list[str] = field(default_factory=list)

    def visit(self, url: str) -> None:
        """Open ``url`` and go on until a page asks for nothing; keep the pages seen."""
        with httpx2.Client(follow_redirects=False, trust_env=False) as browser:
            answer = browser.get(url)
            for _ in range(40):
                if answer.is_redirect:
                    url = urljoin(url, answer.headers["location"])
                    answer = browser.get(url)
                    continue
                self.pages.append(answer.text)
                form = _Form()
                form.feed(answer.text)
                if not form.action:
                    return
                url = urljoin(url, form.action)
                answer = browser.post(url, data=form.fields | self._typed(url))
        raise AssertionError("the issuer asks for ever")

    def _typed(self, url: str) -> dict[str, str]:
        if url.endswith("/login"):
            return {"username": self.username, "password": self.password}
        if url.endswith("/factor"):
            return {"code": self.codes.pop()}
        return {"decision": self.decision}

    @contextlib.contextmanager
    def coming(self, urls: list[str]) -> Iterator[None]:
        """Visit in the background, as soon as ``urls`` holds the address to open."""

        def come() -> None:
            if processes.until(lambda: bool(urls), 10):
                self.visit(urls[0])

        thread = threading.Thread(target=come)
        thread.start()
        try:
            yield
        finally:
            thread.join()


class Done(NamedTuple):
    """What a command said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Alphaswarm:
    """The command on a home of its own.

    Calls run in this process, because loading the MCP library takes longer than most of them;
    `process` and `start` run the installed command.
    """

    home: Home
    port: int
    more: Mapping[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ALPHASWARM_")}
        return {
            **kept,
            "ALPHASWARM_HOME": str(self.home.root),
            "ALPHASWARM_PORT": str(self.port),
            **self.more,
        }

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        """Run the command, insist on its exit code, and return what it answered on stdout."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with ``--json`` and return its one object."""
        answer: dict[str, Any] = json.loads(self(*arguments, "--json", code=code))
        return answer

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run the command here and return all it said."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, self.environ(), clear=True),
            mock.patch.object(sys, "argv", ["alphaswarm", *arguments]),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Done(code, out.getvalue(), err.getvalue())

    def process(self, *arguments: str, stdin: str = "") -> Done:
        """Run the installed command and return all it said."""
        done = subprocess.run(
            [COMMAND, *arguments],
            env=self.environ(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
        """Start the command and return at once; it hears Ctrl-C even if the test run does not."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            env=self.environ(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,  # noqa: PLW1509  it only restores a signal
        )

    def processes(self) -> list[processes.Process]:
        """Return every living process that belongs to this home."""
        return [*marked(self.home), *processes.working_in(self.home.pg)]


def hear_ctrl_c() -> None:
    """Undo a SIGINT that is ignored, as it is in whatever a shell starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Alphaswarm]:
    """Give the command on a home that has never been used; nothing of it runs afterwards."""
    command = Alphaswarm(Home(tmp_path / "home"), free_port())
    yield command
    command("down")


@dataclass(frozen=True)
class Demonstrated(Alphaswarm):
    """The command on a home where the demo has run once, with its suite up again."""

    demo: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""


@pytest.fixture(scope="session")
def alphaswarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstrated]:
    """Run the demo on a fresh home, which stops what it started, and bring the suite up.

    All of it lives on the base install, as a user's does: the extras are hidden from it. The
    ``tofu`` that its workers find is the labelled fake.
    """
    home = Home(tmp_path_factory.mktemp("suite"))
    tofu = fake_tofu.install(tmp_path_factory.mktemp("bin"))
    path = os.pathsep.join((str(tofu.parent), os.environ["PATH"]))
    command = Alphaswarm(home, free_port(), {**base.environment(), "PATH": path})
    kernels.lend(command.home)
    try:
        done = command.process("demo", "--json")
        assert done.returncode == 0, done.stderr
        assert command.processes() == []
        command("up")
        yield Demonstrated(home, command.port, command.more, json.loads(done.stdout), done.stderr)
        COLLECTOR.ledger(services.load({}), home)
    finally:
        command("down")
    assert command.processes() == []


@pytest.fixture(scope="session")
def codes(alphaswarm: Demonstrated) -> list[str]:
    """Give the owner a password and an authenticator app; return the recovery codes."""
    assert alphaswarm.process("user", "passwd", stdin=f"{PASSWORD}\n").returncode == 0
    with alphaswarm.start("user", "enrol", "totp", stdin=subprocess.PIPE) as asked:
        assert asked.stdout is not None
        secret = asked.stdout.readline().rpartition(" ")[2].strip()
        said, complaint = asked.communicate(f"{pyotp.TOTP(secret).now()}\n", timeout=60)
    assert asked.returncode == 0, complaint
    found = re.findall(r"^ +(\d-\S+)$", said, re.MULTILINE)
    assert len(found) == 10
    return found


def worked(argv: list[str]) -> float:
    """Return the seconds of processor time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
