"""A stack's folder: exactly the tree of its spec, its state kept, and one user at a time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtimes.terraform.folder import Folder
from topology.errors import RefusedError
from topology.home import Home


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    home = Home(tmp_path)
    home.ensure()
    return Folder.of(home, "lab")


def held(folder: Folder) -> dict[str, str]:
    files = [path for path in folder.module.rglob("*") if path.is_file()]
    return {path.relative_to(folder.module).as_posix(): path.read_text() for path in files}


def test_the_next_tree_replaces_the_one_before_and_state_stays(folder: Folder) -> None:
    folder.lay({"main.tf": "1", "net/a.tf": "2", "notes.txt": "3"}, {"size": 1})
    (folder.module / "terraform.tfstate").write_text("state")
    (folder.module / ".terraform").mkdir()
    (folder.module / ".terraform" / "x.tf").write_text("downloaded")

    folder.lay({"main.tf": "1 again"}, {})

    assert held(folder) == {
        "main.tf": "1 again",
        "terraform.tfstate": "state",
        ".terraform/x.tf": "downloaded",
    }
    assert folder.variables.read_text() == "{}"


@pytest.mark.parametrize(
    "name", ["late.tf", "x.auto.tfvars", "x.tf.json", "o.tofu", "terraform.tfvars.json"]
)
def test_what_the_program_would_read_by_itself_is_removed(folder: Folder, name: str) -> None:
    """A provisioner may leave files; the plan is made of the tree that was hashed."""
    folder.lay({"main.tf": ""}, {})
    (folder.module / name).write_text("somebody else's")
    (folder.module / "out.txt").write_text("what the stack makes is its own")
    folder.lay({"main.tf": ""}, {})
    assert held(folder) == {"main.tf": "", "out.txt": "what the stack makes is its own"}


def test_every_file_is_its_users_alone(folder: Folder) -> None:
    folder.lay({"main.tf": "", "a/b.txt": ""}, {"x": 1})
    folder.plan("run").open()
    made = list(folder.root.rglob("*"))
    for path in [folder.root, *made]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_link_in_the_tree_is_replaced_or_refused_and_never_followed(
    folder: Folder, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "main.tf").write_text("theirs")
    (folder.module / "main.tf").symlink_to(outside / "main.tf")
    folder.lay({"main.tf": "ours"}, {})
    assert (outside / "main.tf").read_text() == "theirs"
    assert held(folder) == {"main.tf": "ours"}
    (folder.module / "net").symlink_to(outside)
    with pytest.raises(RefusedError, match="leads out"):
        folder.lay({"main.tf": "", "net/new.tf": ""}, {})
    assert not (outside / "new.tf").exists()


def test_the_hash_of_a_plan_changes_with_each_byte_and_with_its_loss(folder: Folder) -> None:
    files = folder.plan("run")
    files.open()
    files.binary.write_bytes(b"plan")
    files.shown.write_bytes(b"{}")
    first = files.hashes()
    files.binary.write_bytes(b"plaN")
    second = files.hashes()
    files.forget()
    assert len({first[0], second[0], files.hashes()[0]}) == 3
    assert first[1] == second[1] != files.hashes()[1]


def test_plans_that_nobody_can_approve_any_more_are_forgotten(folder: Folder) -> None:
    for name, made in (("old", 1_000.0), ("new", 3_000.0)):
        files = folder.plan(name)
        files.open()
        files.binary.write_text("secret")
        os.utime(files.folder, (made, made))
    folder.drop_secrets(before=2_000.0)
    assert not folder.plan("old").binary.exists()
    assert folder.plan("old").log.exists(), "what was printed stays"
    assert folder.plan("new").binary.exists()


def test_a_descriptor_that_lives_on_keeps_the_stack(folder: Folder) -> None:
    """A program that outlives its worker has one: nobody works beside it."""
    waits: list[float] = []
    with folder.held(waits.append) as lock:
        left = os.dup(lock)

    def let_go(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            os.close(left)

    with folder.held(let_go):
        assert len(waits) == 3
