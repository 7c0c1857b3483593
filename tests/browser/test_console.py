"""The console in a real Chromium: one visit, told by a script, and what must be true of it."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyotp
import pytest

from auth.accounts import Accounts
from auth.factors.seal import Seal
from auth.factors.totp import Enrolment
from ledger import audit, runs
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import Outcome, perform
from runtimes.context import RunContext, Workshop
from tests.kit.browser import facts
from tests.kit.hands import hands
from tests.kit.identity import CHEAP, PASSWORD
from tests.kit.ledger import Desk
from tests.kit.live import Live
from tests.kit.market import put, walks
from tests.kit.node import node_package
from tests.kit.office import ANNA
from tests.kit.work import KIND, Scripted
from tools import backtest

pytestmark = [pytest.mark.browser, pytest.mark.node]
NAME = "watcher"
LONG_S = 240
"""The visit takes about 20 s on a quiet machine; this is for one that is not."""
TABLE = "alphaswarm_silver_console.bars_1d"
MARKUP = "<img src=x onerror='window.hacked=1'><script>window.hacked=2</script>"
SPEC: dict[str, Any] = {
    "kind": "backtest",
    "name": "in-the-console",
    "universe": {"symbols": ["AAA.TEST", "BBB.TEST"]},
    "data": {"table": TABLE, "start": "2001-01-01", "end": "2004-12-31", "adjust": "none"},
    "strategy": {"name": "sma_cross", "params": {"fast": 3, "slow": 8}},
}


@dataclass
class Stage:
    """What the script of the browser asks for meanwhile."""

    live: Live
    workshop: Workshop
    superuser: psycopg.Connection[Any]
    codes: list[str]
    orders: queue.Queue[str] = field(default_factory=queue.Queue)
    done: queue.Queue[None] = field(default_factory=queue.Queue)
    run_id: str = ""
    changed: int = 0
    work: threading.Thread = field(default_factory=threading.Thread)

    def begin(self) -> str:
        """Put a run to work, in a thread; it moves when it is told to."""
        run = Desk(self.workshop.pool).submit(KIND, "at-the-console")
        self.run_id = run.run_id
        self.work = threading.Thread(
            target=perform, args=(self.workshop, KIND, run.run_id, lambda: Scripted(self._play))
        )
        self.work.start()
        return run.run_id

    def step(self) -> None:
        """Let the run send one frame."""
        self._order("step")

    def queue_one(self) -> str:
        """Submit a run that no worker takes."""
        return Desk(self.workshop.pool).submit(KIND, "never-begun").run_id

    def press(self) -> None:
        """Halt the run, which does not notice yet."""
        self._press(f"run:{self.run_id}")

    def give_way(self) -> None:
        """Let the run look at the kill switch, which ends it."""
        self.orders.put("look")
        self.work.join(30)

    def lift(self) -> None:
        """Lift whatever is halted."""
        for one in self.live.office.halts.status().scopes:
            self.live.office.halts.lift(
                one.scope, epoch=one.epoch, actor="anna", acr="", auth_time=0, reason="test over"
            )

    def standing(self) -> list[dict[str, str]]:
        """Return what the ledger says is halted."""
        found = self.live.office.halts.status().scopes
        return [{"scope": one.scope, "actor": one.actor, "reason": one.reason} for one in found]

    def code(self) -> str:
        """Return a recovery code, each once."""
        return self.codes.pop()

    def tamper(self) -> int:
        """Change the newest audit row behind the triggers' back."""
        (newest,) = audit.tail(self.workshop.pool, limit=1, newest_first=True)
        self.changed = newest.seq
        self.superuser.execute("SET session_replication_role = replica")
        self.superuser.execute(
            "UPDATE audit SET actor = actor || 'x' WHERE seq = %s", (newest.seq,)
        )
        return newest.seq

    def mend(self) -> None:
        """Put the row right again."""
        if self.changed:
            self.superuser.execute(
                "UPDATE audit SET actor = left(actor, -1) WHERE seq = %s", (self.changed,)
            )
        self.changed = 0

    def expire(self) -> None:
        """End every grant of the person."""
        accounts(self.live).revoke(NAME)

    def end(self) -> None:
        """Leave nothing behind, whatever the script got to."""
        self.mend()
        self.orders.put("end")
        if self.work.ident is not None:
            self.work.join(30)
        self.lift()

    def _play(self, context: RunContext) -> Outcome | None:
        for number, order in enumerate(iter(self.orders.get, "end"), start=1):
            if order == "look":
                context.checkpoint()
            context.emit("bar.processed", f"{MARKUP} {number}", current=number, total=10)
            self.done.put(None)
        return None

    def _order(self, what: str) -> None:
        self.orders.put(what)
        self.done.get(timeout=30)

    def _press(self, scope: str) -> None:
        self.live.office.halts.press(
            scope, actor="anna", acr="", auth_time=0, reason=f"too risky {MARKUP}"
        )


def accounts(live: Live) -> Accounts:
    issuer = live.identity.issuer
    return Accounts(issuer.store, issuer.audit, issuer.clock, CHEAP)


def person(live: Live) -> list[str]:
    """Make somebody with a password and a second factor; return the recovery codes."""
    known, enrolment = accounts(live), Enrolment.begin(NAME)
    known.ensure(NAME)
    known.set_password(NAME, PASSWORD)
    code = pyotp.TOTP(enrolment.secret).at(int(live.identity.issuer.now()))
    return known.enrol_totp(NAME, Seal.open(live.office.home.keys), enrolment, code)


def finished(live: Live, workshop: Workshop) -> str:
    """Return the second version of a backtest, done."""
    put(workshop, TABLE, walks(["AAA.TEST", "BBB.TEST"], bars=1_400))
    handles = [backtest._submit(live.office, ANNA, {**SPEC, "seed": seed}, None) for seed in (1, 2)]
    perform(workshop, "backtest", handles[-1].run_id, BacktestRuntime)
    assert runs.get(workshop.pool, handles[-1].run_id).status == "succeeded"
    return handles[-1].run_id


@pytest.fixture(scope="module")
def said(
    live: Live,
    workshop: Workshop,
    dsn: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Any]]:
    """Go through the whole visit once; return what the script said."""
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as superuser:
        stage = Stage(live, workshop, superuser, person(live))
        stage.lift()
        names = ("begin", "step", "queue_one", "press", "give_way", "lift", "standing", "code")
        acts = {name: getattr(stage, name) for name in (*names, "tamper", "mend", "expire")}
        axe = str(node_package("axe") / "node_modules" / "axe-core" / "axe.min.js")
        done = finished(live, workshop)
        with contextlib.ExitStack() as stack:
            stack.callback(stage.end)
            there = stack.enter_context(hands(**acts))
            arguments = (live.topology.base_url, there, NAME, PASSWORD, done, axe)
            folder = tmp_path_factory.mktemp("console")
            yield facts("console.mjs", *arguments, folder=folder, limit_s=LONG_S)


def test_a_stranger_sees_a_sign_in_and_comes_back_to_the_page_asked_for(
    said: dict[str, Any],
) -> None:
    assert said["stranger"]["bar"] is False
    assert "default-src 'self'" in said["stranger"]["policy"]
    assert "trusted-types 'none'" in said["stranger"]["policy"]
    assert said["signed"] == {"user": NAME, "path": "/console/audit"}


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(said: dict[str, Any]) -> None:
    assert said["keys"]["order"] == [
        "Skip to content", "AlphaSwarm", "Runs", "Specs", "Audit", "Map",
        "Kill switch: Armed", "Sign out",
    ]  # fmt: skip
    assert said["keys"]["inside"] is True
    assert said["keys"]["back"] == "pill"
    assert said["focus"] == "H1"


def test_frames_of_a_run_arrive_while_it_works(said: dict[str, Any]) -> None:
    lines = [" ".join(line.split()) for line in said["frames"]]
    assert any("bar.processed" in line and MARKUP in line for line in lines)
    assert "start" in lines[-1]


def test_a_halt_is_told_with_who_when_and_why_and_lifted_by_a_second_factor(
    said: dict[str, Any],
) -> None:
    halted = said["halted"]
    assert halted["state"] == "halted"
    assert f"\u201ctoo risky {MARKUP}\u201d" in halted["told"]
    assert re.search(r"By anna, .+ UTC\), epoch \d+, orders: cancel", halted["told"])
    assert re.fullmatch(r"anna, \d\d:\d\d: too risky .+", halted["about"])
    assert "1 of 1 runs have stopped." in halted["told"]
    assert halted["live"].startswith("Kill switch: Halted")
    assert "For this one action" in said["asked"]
    assert "open_orders_0" in said["asked"]
    assert "You lifted the halt of the run" in said["lifted"]
    assert "Audit row" in said["lifted"]


def test_the_console_halts_by_the_same_tool_as_everybody(said: dict[str, Any]) -> None:
    assert "You halted every bot run." in said["pressed"]["notice"]
    assert said["pressed"]["ledger"] == [
        {"scope": "kind:bot", "actor": NAME, "reason": "halted at the console"}
    ]


def test_a_run_of_any_kind_is_cancelled_by_the_tool_of_control(said: dict[str, Any]) -> None:
    assert "The run was asked to end." in said["cancelled"]["notice"]
    assert said["cancelled"]["status"] == "cancelled"


def test_a_finished_backtest_shows_its_tear_sheet_in_a_frame_of_its_own(
    said: dict[str, Any],
) -> None:
    assert said["sheet"] == {
        "panels": 3,
        "title": "in-the-console v2",
        "sandbox": "allow-scripts",
        "origin": "null",
        "height": True,
    }
    assert said["parts"]["rows"] == 100
    (change,) = said["parts"]["changes"]
    assert change.split() == ["seed", "changed", "1", "2"]


def test_a_row_that_somebody_changed_turns_the_badge_red(said: dict[str, Any]) -> None:
    chain = said["chain"]
    assert chain["whole"].startswith("Chain whole")
    assert chain["broken"].startswith(f"Chain broken at row {chain['seq']}")
    assert chain["marked"] == str(chain["seq"])


def test_the_map_shows_every_part_and_whether_it_answers(said: dict[str, Any], live: Live) -> None:
    parts = [*live.topology.faces, "PostgreSQL", "Valkey", "Lake", *live.topology.workers]
    assert set(parts) <= set(said["map"]["drawn"])
    listed = [line.split("\t") for line in said["map"]["states"]]
    states = {(name, what): state for name, what, _, state in listed}
    asked = [(name, "server") for name in live.topology.faces]
    asked += [("Issuer local", "issuer"), ("PostgreSQL", "store"), ("Valkey", "store")]
    assert {states[one] for one in asked} == {"answers"}


def test_what_is_not_there_is_404_and_a_silent_suite_is_said(said: dict[str, Any]) -> None:
    assert said["missing"]["status"] == 404
    assert "There is no run" in said["missing"]["text"]
    assert "does not answer" in said["offline"]["banner"]
    assert said["offline"]["rows"] is True


def test_the_browser_never_holds_a_token(said: dict[str, Any]) -> None:
    held = said["held"]
    assert held["secrets"] == []
    assert held["answers"] > 50
    assert (held["httpOnly"], held["sameSite"], held["path"]) == (True, "Strict", "/console")
    assert held["script"] == ""


def test_markup_in_reasons_and_frames_stays_text(said: dict[str, Any]) -> None:
    assert said["hacked"] == {"run": None, "images": 0}


def test_a_session_that_ended_leads_to_the_sign_in_and_back(said: dict[str, Any]) -> None:
    assert "Your session has ended" in said["over"]["ended"]
    assert "You are signed out" in said["over"]["left"]
    assert said["over"]["cookies"] == 0


def test_every_page_passes_the_accessibility_rules_and_fits_a_phone(said: dict[str, Any]) -> None:
    pages = {"sign-in", "switch", "runs", "halted", "halted in the dark", "rows", "run",
             "audit", "broken", "map", "specs", "missing"}  # fmt: skip
    assert set(said["problems"]) == pages
    assert {word: found for word, found in said["problems"].items() if found} == {}
    assert {word: width for word, width in said["widths"].items() if width > 360} == {}


def test_nothing_leaves_the_machine_and_nothing_breaks(said: dict[str, Any]) -> None:
    assert said["outside"] == []
    assert said["errors"] == []
    assert said["refused"] == [], json.dumps(said["refused"])
