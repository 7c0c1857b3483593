"""What ``doctor`` looks at: each check is ok, warn or fail, and names its cure."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from clients.cli import health, report, suite
from clients.cli.place import Place
from topology.engines import supervisor
from topology.errors import AlphaSwarmError
from topology.home import Home

ROOMS = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")
LEAST_FREE = 1_000_000_000
MOST_SKEW_S = 5.0
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs"})
State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Line:
    """One finding; ``cure`` is empty where nothing is to be done."""

    name: str
    state: State
    detail: str
    cure: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def examine() -> list[Line]:
    """Look at everything; a check that cannot be made says why."""
    lines = [_python(), *_names(), *_guarded("topology", _place)]
    if lines[-1].state == "fail":
        return lines
    place = Place.find()
    found = health.probe(place.topology)
    checks: tuple[tuple[str, Callable[[], Iterator[Line]]], ...] = (
        ("home", lambda: _home(place.home)),
        ("engines", lambda: _engines(place)),
        ("suite", lambda: _suite(place, found)),
        ("issuer", lambda: _issuer(place, found)),
        ("kill switch", lambda: _latch(place.home)),
        ("egress", lambda: _egress(place)),
        ("sign-in", lambda: _signed_in(place)),
        ("second factor", lambda: _factors(place, found)),
    )
    for name, check in checks:
        lines += _guarded(name, check)
    return lines


def as_text(lines: list[Line]) -> str:
    """Return the findings as a person reads them."""
    text = []
    for line in lines:
        text.append(f"{line.state.ljust(4)}  {line.name}: {line.detail}")
        if line.cure:
            text.append(f"      {line.cure}")
    return "\n".join(text)


def _guarded(name: str, check: Callable[[], Iterator[Line]]) -> list[Line]:
    lines: list[Line] = []
    try:
        lines.extend(check())
    except AlphaSwarmError as error:
        lines.append(Line(name, "fail", error.message, error.hint))
    return lines


def _python() -> Line:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Line("python", "ok", version)
    return Line("python", "fail", version, "Use Python 3.11, 3.12 or 3.13.")


def _names() -> Iterator[Line]:
    """Other distributions that ship a package of our name would shadow ours without a word."""
    taken = {
        f"{distribution.metadata['Name']} ships {file.parts[0]}/"
        for distribution in metadata.distributions()
        if distribution.metadata["Name"] != "alphaswarm"
        for file in distribution.files or []
        if len(file.parts) > 1 and file.parts[0] in ROOMS
    }
    here = Path(__file__).resolve().parents[2]
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        place = Path(spec.origin).resolve() if spec and spec.origin else None
        if place is None or not place.is_relative_to(here):
            taken.add(f"{room} is imported from {place}")
    if not taken:
        yield Line("packages", "ok", "no other distribution claims our names")
        return
    cure = "Install AlphaSwarm in an environment of its own."
    yield Line("packages", "fail", "; ".join(sorted(taken)), cure)


def _place() -> Iterator[Line]:
    place = Place.find()
    yield Line("topology", "ok", f"{place.topology.base_url} ({place.topology.sha256[:12]})")


def _home(home: Home) -> Iterator[Line]:
    if not home.root.exists():
        yield Line("home", "warn", f"{home.root} does not exist yet", "Run `alphaswarm up`.")
        return
    home.ensure()
    yield Line("home", "ok", f"{home.root} is private and writable")
    free = shutil.disk_usage(home.root).free
    cure = "" if free >= LEAST_FREE else "Free some space."
    yield Line("disk", "ok" if not cure else "warn", f"{free / 1e9:.1f} GB free", cure)


def _engines(place: Place) -> Iterator[Line]:
    found = supervisor.status(place.home, place.topology)
    for engine in (found.postgres, found.valkey):
        if engine.ready or engine.state == "remote":
            yield Line(engine.name, "ok", engine.state)
        elif engine.pid:
            yield Line(
                engine.name, "fail", "runs but does not answer", "`alphaswarm down`, then up."
            )
        else:
            yield Line(engine.name, "warn", "stopped", "Run `alphaswarm up`.")


def _suite(place: Place, found: health.Health) -> Iterator[Line]:
    for name in (suite.SERVERS, suite.WORKERS):
        process = suite.running(place.home, name)
        if process:
            yield Line(name, "ok", f"process {process.pid}")
        else:
            yield Line(name, "warn", "not running", "Run `alphaswarm up`.")
    if not found.alive:
        taken = suite.port_taken(place)
        cure = "Stop it, or choose another port: `alphaswarm up --port N`." if taken else ""
        detail = f"another program listens on {taken}" if taken else "the port is free"
        yield Line("port", "fail" if taken else "ok", detail, cure)
        return
    problem = found.problem
    yield Line("ready", "fail" if problem else "ok",
               problem.message if problem else "stores, migrations and keys are there",
               problem.hint if problem else "")  # fmt: skip
    missing = sorted(set(place.topology.faces) - found.servers)
    cure = "Start them: `alphaswarm down`, then `alphaswarm up`." if missing else ""
    detail = f"not served: {', '.join(missing)}" if missing else "every audience is served"
    yield Line("audiences", "warn" if missing else "ok", detail, cure)
    skew = found.skew_s
    if skew is not None and abs(skew) > MOST_SKEW_S:
        yield Line("clock", "fail", f"{skew:+.0f} s", "Set the clocks: tokens depend on them.")


def _issuer(place: Place, found: health.Health) -> Iterator[Line]:
    if not found.alive:
        return
    if place.topology.embedded is None:
        yield Line("issuer", "ok", f"{place.topology.issuer_url()}, not of this suite")
        return
    document = health.issuer_metadata(place.topology)
    if document.get("issuer") == place.topology.issuer_url():
        yield Line("issuer", "ok", place.topology.issuer_url())
    else:
        yield Line("issuer", "fail", "its metadata name another issuer", "Restart the suite.")


def _latch(home: Home) -> Iterator[Line]:
    state = report.switch(home)
    if state["latch"] == "unreadable":
        detail = f"{home.latch.name} cannot be read: whatever mutates is halted"
        cure = "Move the file away and run `alphaswarm up`: the record rebuilds it."
        yield Line("kill switch", "fail", detail, cure)
    elif state["halted"]:
        yield Line("kill switch", "warn", "HALTED", "See `alphaswarm halt status`.")
    else:
        yield Line("kill switch", "ok", "armed" if state["latch"] == "readable" else "no latch yet")
    kind = _file_system(home.run)
    if kind and kind not in _LOCAL:
        yield Line("latch disk", "warn", f"the home is on {kind}",
                   "Keep the home on a local disk: a shared one may show a halt late.")  # fmt: skip


def _egress(place: Place) -> Iterator[Line]:
    allowed = [f"{a.host}:{a.port}" for a in place.topology.egress.allow]
    yield Line("egress", "ok", f"allowed: {', '.join(allowed)}" if allowed else "nothing may leave")


def _signed_in(place: Place) -> Iterator[Line]:
    from clients.tokens import TokenStore

    store = TokenStore(place.home)
    names = [name for name, face in place.topology.faces.items() if store.find(face)]
    if names:
        yield Line("sign-in", "ok", f"signed in to {', '.join(names)}")
    else:
        yield Line("sign-in", "warn", "not signed in", "Run `alphaswarm login --local`.")


def _factors(place: Place, found: health.Health) -> Iterator[Line]:
    """Without a second factor nobody lifts a halt: better seen before there is one."""
    from getpass import getuser

    from clients import login

    if not found.alive:
        return
    people = login.factors(place.home, getuser())["people"]
    if people:
        yield Line("second factor", "ok", f"{people} people have one" if people > 1 else "enrolled")
    else:
        detail = "nobody has one: nobody could resume after a halt"
        cure = "Run `alphaswarm user enrol totp` or `alphaswarm user enrol passkey`."
        yield Line("second factor", "warn", detail, cure)


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds ``folder`` (Linux), or nothing."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    around = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(around, key=lambda pair: len(pair[0]), default=("", ""))[1]
