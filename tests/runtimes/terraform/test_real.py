"""The same path with a real `tofu` or `terraform`, by its built-in ``terraform_data`` alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ledger import runs
from runtimes.context import Workshop
from tests.kit.stacks import SECRET, Stacks, stacks_of

FOUND = shutil.which("tofu") or shutil.which("terraform")
pytestmark = [
    pytest.mark.tofu,
    pytest.mark.skipif(FOUND is None, reason="no terraform binary on PATH"),
]
NET = 'variable "size" { type = number }\nresource "terraform_data" "cell" { input = var.size }\n'
MAIN = """
variable "size" { type = number }
variable "TOKEN" {
  type      = string
  sensitive = true
}
module "net" {
  source = "./net"
  size   = var.size
}
resource "terraform_data" "desk" {
  input            = "${var.TOKEN}/${var.size}"
  triggers_replace = [var.size]
}
output "size" { value = var.size }
"""
TREE: dict[str, Any] = {
    "files": {"main.tf": MAIN, "net/main.tf": NET},
    "credentials": {"TF_VAR_TOKEN": "planted"},
}
SLOW = """
resource "terraform_data" "first" { input = 1 }
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "echo > busy; exec sleep 600" }
}
"""


@pytest.fixture
def stacks(workshop: Workshop, tmp_path: Path) -> Stacks:
    """Return a bench for a stack of its own."""
    name = f"real-{tmp_path.name.lower()[-40:]}"
    return stacks_of(workshop, name, Path(FOUND or ""), tmp_path / "secret")


def changes(run: runs.Run) -> list[tuple[str, str]]:
    plan = (run.statistics or {})["plan"]
    return sorted((one["address"], one["action"]) for one in plan["changes"])


def test_a_real_program_plans_applies_replaces_and_destroys(stacks: Stacks) -> None:
    made = stacks.plan(vars={"size": 1}, **TREE)
    assert changes(made) == [
        ("module.net.terraform_data.cell", "create"),
        ("output.size", "create"),
        ("terraform_data.desk", "create"),
    ]
    done = stacks.apply(made)
    assert (done.status, done.error) == ("succeeded", None)
    assert (done.statistics or {})["resources"] == 2

    replaced = stacks.plan(vars={"size": 2}, **TREE)
    assert changes(replaced) == [
        ("module.net.terraform_data.cell", "update"),
        ("output.size", "update"),
        ("terraform_data.desk", "replace"),
    ]

    gone = stacks.made(vars={"size": 1}, mode="destroy", **TREE)
    assert (gone.status, (gone.statistics or {})["resources"]) == ("succeeded", 0)
    told = [str(stacks.frames(run)) + str(run) for run in (done, replaced, gone)]
    assert not [text for text in told if SECRET in text]


def test_a_provider_that_nobody_listed_is_not_fetched(stacks: Stacks) -> None:
    run = stacks.plan('resource "random_pet" "x" {}\n')
    error = run.error or {}
    assert (run.status, error["code"], error["facts"]["command"]) == (
        "failed",
        "stack_failed",
        "init",
    )
    assert error["facts"]["reasons"]


def test_a_halt_stops_a_real_program_which_writes_its_state(stacks: Stacks) -> None:
    run = stacks.plan(SLOW)
    stacks.approve(run)
    done = stacks.halted(run, stacks.folder / "module" / "busy")
    assert done.status == "halted"
    assert (done.error or {})["facts"]["applied"] == [
        {"address": "terraform_data.first", "action": "create"}
    ]
    assert "outcome" not in (done.error or {})["facts"], "it ended by itself"
