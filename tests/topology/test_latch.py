"""The halt latch: a press stays, and what cannot be trusted is never called "not halted"."""

from __future__ import annotations

import fcntl
import math
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from topology import latch as latches
from topology.errors import BadInputError, LatchUnreadableError
from topology.latch import Latch, Pressed, parse_scope, scopes_of, wider

RUN = "01kahg4m9y0000000000000000"
SCOPES = scopes_of("backtest", "momentum-top3", RUN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "halt.latch"


@pytest.fixture
def latch(path: Path) -> Iterator[Latch]:
    with Latch.open(path, create=True) as opened:
        yield opened


def run_scope(number: int) -> str:
    return f"run:{number:026d}"


# --- scopes -------------------------------------------------------------------------------------


def test_a_run_is_covered_by_four_scopes_widest_first() -> None:
    covering = ["all", "kind:backtest", "spec:backtest/momentum-top3", f"run:{RUN}"]
    assert list(SCOPES) == covering


@pytest.mark.parametrize("scope", SCOPES)
def test_each_of_them_is_a_scope(scope: str) -> None:
    assert parse_scope(scope) == scope


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        pytest.param("", "Write all", id="nothing"),
        pytest.param("ALL", "Write all", id="capitals"),
        pytest.param("all ", "Write all", id="a space"),
        pytest.param("all\n", "Write all", id="a line break"),
        pytest.param("kind:backtests", "'backtest'", id="a kind misspelt"),
        pytest.param("spec:bott/x1", "'bot'", id="a spec's kind misspelt"),
        pytest.param("spec:bot/../x", "Write all", id="a spec's name"),
        pytest.param("run:short", "Write all", id="half a run"),
        pytest.param("x" * 10_000, "Write all", id="very long"),
    ],
)
def test_anything_else_is_refused_with_the_forms(text: str, hint: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_scope(text)
    assert hint in refused.value.hint
    assert len(refused.value.message) < 120


def test_widening_leads_to_all() -> None:
    assert wider("spec:bot/grid") == "kind:bot"
    assert wider("kind:bot") == wider(f"run:{RUN}") == "all"


# --- press and lift -----------------------------------------------------------------------------


def test_a_new_latch_halts_nothing_and_is_private(latch: Latch, path: Path) -> None:
    assert latch.pressed(SCOPES) is None
    assert (latch.epoch(), latch.in_force()) == (0, [])
    assert (path.stat().st_size, stat.S_IMODE(path.stat().st_mode)) == (65_536, 0o600)


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_of_a_run_stops_it_and_no_other(latch: Latch, scope: str) -> None:
    epoch = latch.press(scope)
    found = latch.pressed(SCOPES)
    assert found == Pressed(scope, epoch, found.at_ns if found else 0)
    other = scopes_of("data", "prices", "01kahg4m9y0000000000000001")
    assert (latch.pressed(other) is not None) == (scope == "all")


def test_the_widest_halt_is_named(latch: Latch) -> None:
    latch.press(SCOPES[3])
    latch.press("kind:backtest")
    found = latch.pressed(SCOPES)
    assert found is not None
    assert (found.scope, found.epoch) == ("kind:backtest", 2)


def test_the_time_of_a_halt_is_the_wall_clocks(latch: Latch) -> None:
    before = time.time_ns()
    latch.press("all")
    found = latch.pressed(["all"])
    assert found is not None
    assert before <= found.at_ns <= time.time_ns()


def test_pressing_again_gives_a_higher_epoch_that_the_old_one_cannot_lift(latch: Latch) -> None:
    first, second = latch.press("all"), latch.press("all")
    assert second == first + 1
    assert not latch.lift("all", epoch=first)
    assert latch.pressed(["all"])
    assert latch.lift("all", epoch=second)
    assert latch.pressed(["all"]) is None


def test_lifting_what_is_not_pressed_is_nothing(latch: Latch) -> None:
    assert not latch.lift(SCOPES[3], epoch=1)
    epoch = latch.press(SCOPES[3])
    assert latch.lift(SCOPES[3], epoch=epoch)
    assert not latch.lift(SCOPES[3], epoch=epoch)


def test_epochs_are_one_sequence_over_all_scopes(latch: Latch) -> None:
    assert [latch.press(scope) for scope in SCOPES] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("epoch", "pressed", "returned"),
    [
        pytest.param(4, False, 5, id="older than the lift: stale, nothing changes"),
        pytest.param(5, True, 5, id="a tie is halted"),
        pytest.param(6, True, 6, id="newer"),
    ],
)
def test_a_halt_of_the_record_meets_a_lifted_slot(
    latch: Latch, epoch: int, pressed: bool, returned: int
) -> None:
    latch.press("all", epoch=5)
    latch.lift("all", epoch=5)
    assert latch.press("all", epoch=epoch) == returned
    assert (latch.pressed(["all"]) is not None) is pressed


def test_an_epoch_that_the_record_has_used_is_not_given_again(latch: Latch) -> None:
    latch.at_least(41)
    latch.at_least(7)
    assert latch.press("all") == 42


def test_a_missing_latch_can_be_born_halted(path: Path) -> None:
    with Latch.open(path, create=True, halted={"kind:bot": 7, "all": 3}) as latch:
        found = latch.pressed(["all"])
        assert found is not None
        assert found.epoch == 3
        assert latch.press("kind:data") == 8
    with Latch.open(path, create=True, halted={"kind:rl": 99}) as again:
        assert again.pressed(["kind:rl"]) is None, "an existing latch stays as it is"


def test_a_full_table_halts_the_next_wider_scope(latch: Latch) -> None:
    for number in range(1022):
        latch.press(run_scope(number), epoch=number + 1)
    assert len(latch.in_force()) == 1022
    assert latch.pressed([run_scope(1021)])
    latch.press(run_scope(5000))
    assert latch.pressed(["all"]), "nobody may run on because a table was full"


def test_lifted_slots_are_used_again(latch: Latch) -> None:
    for number in range(3000):
        latch.lift(run_scope(number), epoch=latch.press(run_scope(number)))
    assert latch.in_force() == []
    assert latch.pressed(["all"]) is None


def test_what_is_in_force_is_listed_with_its_hash(latch: Latch) -> None:
    latch.press("kind:bot")
    latch.press(f"run:{RUN}")
    named = {halt.epoch: (halt.scope, len(digest)) for digest, halt in latch.in_force()}
    assert named == {1: ("kind:bot", 64), 2: ("", 64)}


# --- restarts, other views ----------------------------------------------------------------------


def test_a_halt_survives_a_restart(path: Path) -> None:
    with Latch.open(path, create=True) as first:
        epoch = first.press(SCOPES[2])
    with Latch.open(path) as second:
        found = second.pressed(SCOPES)
        assert found is not None
        assert (found.scope, found.epoch, second.epoch()) == (SCOPES[2], epoch, epoch)


def test_another_opening_sees_a_press_at_once(latch: Latch, path: Path) -> None:
    with Latch.open(path) as other:
        assert other.pressed(SCOPES) is None
        latch.press("all")
        assert other.pressed(SCOPES) is not None
        latch.lift("all", epoch=1)
        assert other.pressed(SCOPES) is None


def test_word_two_moves_with_every_change_and_cannot_be_written_through_the_view(
    latch: Latch,
) -> None:
    words = latch.words()
    assert (words.nbytes, words.itemsize, words[2]) == (65_536, 8, latch.changes())
    seen = words[2]
    latch.press("all")
    assert words[2] == seen + 1
    with pytest.raises(TypeError):
        words[2] = 0


def test_a_view_that_a_kernel_still_holds_survives_the_close(path: Path) -> None:
    latch = Latch.open(path, create=True)
    words = latch.words()
    latch.close()
    with Latch.open(path) as other:
        other.press("all")
    assert words[2] == 2


def test_silence_counts_from_the_last_beat(latch: Latch) -> None:
    assert math.isinf(latch.silence_s())
    latch.beat()
    assert 0 <= latch.silence_s() < 5


def test_threads_that_share_a_latch_lose_no_press(latch: Latch) -> None:
    def press(first: int) -> None:
        for number in range(first, first + 50):
            latch.press(run_scope(number))

    threads = [threading.Thread(target=press, args=(i * 50,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(latch.in_force()) == 200
    assert latch.epoch() == 200


# --- unreadable ---------------------------------------------------------------------------------


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"", "64 KiB", id="empty"),
        pytest.param(b"\0" * 65_536, "header", id="only zeros"),
        pytest.param(b"\0" * 65_535, "64 KiB", id="one byte short"),
        pytest.param(b"ASWLATCH" + b"\0" * 65_528, "header", id="another format"),
        pytest.param(b"ASWLATCH" + b"\1" + b"\0" * 65_528, "truncated|size", id="too long"),
    ],
)
def test_a_file_that_is_no_latch_is_unreadable(path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LatchUnreadableError, match=why) as refused:
        Latch.open(path)
    assert refused.value.body()["code"] == "latch_unreadable"
    assert refused.value.facts["file"] == "halt.latch"


def test_a_link_a_folder_and_a_place_that_is_none_are_unreadable(path: Path) -> None:
    real = path.with_name("real.latch")
    Latch.open(real, create=True).close()
    path.symlink_to(real)
    with pytest.raises(LatchUnreadableError):
        Latch.open(path, create=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(LatchUnreadableError):
        Latch.open(path, create=True)
    with pytest.raises(LatchUnreadableError, match="cannot be made"):
        Latch.open(path / "no" / "such" / "halt.latch", create=True)


def test_an_overwritten_header_is_noticed(latch: Latch, path: Path) -> None:
    overwrite(path, 0, b"\xff" * 8)
    with pytest.raises(LatchUnreadableError, match="overwritten"):
        latch.check()


def test_a_file_replaced_by_rename_is_noticed(latch: Latch, path: Path) -> None:
    Latch.open(path.with_name("new"), create=True).close()
    path.with_name("new").rename(path)
    with pytest.raises(LatchUnreadableError, match="replaced"):
        latch.check()


def test_a_deleted_file_is_noticed(latch: Latch, path: Path) -> None:
    path.unlink()
    with pytest.raises(LatchUnreadableError, match="No such file"):
        latch.check()


@pytest.mark.parametrize("size", [0, 32_768])
def test_a_truncated_file_is_noticed(latch: Latch, path: Path, size: int) -> None:
    os.truncate(path, size)
    with pytest.raises(LatchUnreadableError, match="truncated"):
        latch.check()


@pytest.fixture
def stuck(path: Path, latch: Latch) -> Iterator[None]:
    """Another opening that holds the writer's lock and never lets go."""
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@pytest.mark.usefixtures("stuck")
def test_a_reader_that_cannot_lock_within_50_ms_is_told_so(latch: Latch) -> None:
    begun = time.monotonic()
    with pytest.raises(LatchUnreadableError, match="lock"):
        latch.pressed(SCOPES)
    assert 0.05 <= time.monotonic() - begun < 1


@pytest.mark.usefixtures("stuck")
def test_a_halt_of_everything_does_not_wait_for_a_stuck_holder(latch: Latch, path: Path) -> None:
    begun = time.monotonic()
    epoch = latch.press("all")
    assert 0.2 <= time.monotonic() - begun < 1.5
    assert latch.changes() >= latches._JUMP
    assert os.pread(os.open(path, os.O_RDONLY), 8, 64 + 32) == epoch.to_bytes(8, "little")


@pytest.mark.usefixtures("stuck")
def test_a_narrower_halt_says_who_is_in_the_way(
    latch: Latch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latches, "WRITE_WAIT_S", 0.1)
    with pytest.raises(LatchUnreadableError, match="another process holds its lock"):
        latch.press(f"run:{RUN}")


# --- a model of it ------------------------------------------------------------------------------

names = st.sampled_from([*SCOPES, "kind:data", "spec:data/prices", *map(run_scope, range(4))])


class LatchModel(RuleBasedStateMachine):
    """A dict of scope to (epoch, pressed) behaves as the mapped file does."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "halt.latch"
        self.latch = Latch.open(self.path, create=True)
        self.other = Latch.open(self.path)
        self.model: dict[str, tuple[int, bool]] = {}
        self.highest = 0
        self.changes = 0

    @rule(scope=names)
    def press(self, scope: str) -> None:
        epoch = self.latch.press(scope)
        assert epoch == self.highest + 1
        self.model[scope], self.highest = (epoch, True), epoch

    @rule(scope=names, epoch=st.integers(1, 60))
    def press_of_the_record(self, scope: str, epoch: int) -> None:
        known = self.model.get(scope, (0, False))
        expected = known if epoch < known[0] else (epoch, True)
        assert self.latch.press(scope, epoch=epoch) == expected[0]
        self.model[scope], self.highest = expected, max(self.highest, expected[0])

    @rule(scope=names, epoch=st.integers(1, 60))
    def lift(self, scope: str, epoch: int) -> None:
        expected = self.model.get(scope) == (epoch, True)
        assert self.latch.lift(scope, epoch=epoch) is expected
        if expected:
            self.model[scope] = (epoch, False)

    @rule(scope=names)
    def lift_what_is_pressed(self, scope: str) -> None:
        self.lift(scope, self.model.get(scope, (1, False))[0])

    @rule()
    def restart(self) -> None:
        self.latch.close()
        self.latch = Latch.open(self.path)

    @invariant()
    def both_openings_agree_with_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        for opened in (self.latch, self.other):
            for scope in [*SCOPES, *self.model]:
                found = opened.pressed([scope])
                epoch, pressed = self.model.get(scope, (0, False))
                assert (found.epoch if found else None) == (epoch if pressed else None)
            assert opened.epoch() == self.highest
        assert self.latch.changes() >= self.changes
        self.changes = self.latch.changes()

    def teardown(self) -> None:
        if hasattr(self, "latch"):
            self.latch.close()
            self.other.close()
            self.folder.cleanup()


LatchModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLatchModel = LatchModel.TestCase
