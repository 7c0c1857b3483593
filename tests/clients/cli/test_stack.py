"""``stack``: a module tree read from a folder, and a plan as a person reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clients.cli import changing, stack
from topology.errors import BadInputError, MissingError

PLAN: dict[str, Any] = {
    "sha256": "ab" * 32,
    "changes": [
        {"action": "create", "address": "aws_instance.web", "detail": ""},
        {"action": "destroy", "address": "aws_s3_bucket.data", "detail": ""},
    ],
    "destroys": ["aws_s3_bucket.data"],
    "approvals": 2,
    "facts": {"drift": [{"address": "aws_vpc.net", "action": "update", "detail": "It is gone."}]},
    "expires_at": "2026-01-02T03:19:05Z",
}


def test_a_tree_is_read_without_state_and_without_what_was_downloaded(tmp_path: Path) -> None:
    for name in ("main.tf", ".terraform.lock.hcl", "net/a.tf", "files/motd.tftpl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("terraform.tfstate", "terraform.tfstate.backup", "x.tfplan", ".terraform/p"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no")
    assert stack.tree(tmp_path) == {
        name: name for name in (".terraform.lock.hcl", "files/motd.tftpl", "main.tf", "net/a.tf")
    }


def test_a_folder_that_is_no_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a folder"):
        stack.tree(tmp_path / "nothing")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(BadInputError, match="is not text"):
        stack.tree(tmp_path)
    (tmp_path / "logo.png").write_text("x" * (stack.BYTES + 1))
    with pytest.raises(BadInputError, match="more than"):
        stack.tree(tmp_path)


def test_a_plan_shows_drift_changes_its_hash_and_the_command_that_approves_it() -> None:
    run = {"run_id": "r" * 26, "status": "waiting", "statistics": {"plan": PLAN}}
    told = f"alphaswarm stack apply {'r' * 26}"
    assert changing.as_text(run, command="alphaswarm stack apply").splitlines() == [
        "drift  aws_vpc.net: It is gone.",
        "action   address             detail",
        "create   aws_instance.web",
        "destroy  aws_s3_bucket.data",
        f"plan   {'ab' * 32}",
        f"Approve it until 2026-01-02T03:19:05Z, twice: {told} --allow-destroy",
    ]


def test_a_plan_of_nothing_says_so() -> None:
    plan = {**PLAN, "changes": [], "facts": {}}
    run = {"run_id": "r" * 26, "status": "succeeded", "statistics": {"plan": plan}}
    assert changing.as_text(run, command="x") == "Nothing would change."
