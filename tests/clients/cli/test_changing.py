"""Changes as a user makes them: planned, approved by a second factor, made, looked at."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tests.kit import fake_tofu
from tests.kit.client import Demonstrated


def test_a_stack_is_planned_and_applied_by_second_factor(
    alphaswarm: Demonstrated, codes: list[str], tmp_path: Path
) -> None:
    """The whole way, through server and worker, with the labelled fake as its program.

    What destroys is asked for once more, and by a token for that very call.
    """
    fresh = alphaswarm.process("user", "recovery-codes").stdout
    codes[:] = re.findall(r"^ +(\d-\S+)$", fresh, re.MULTILINE)
    module, spec = tmp_path / "lab", tmp_path / "lab.yaml"
    module.mkdir()
    (module / "main.tf").write_text('resource "toy_thing" "desk" { input = var.size }\n')
    (module / "terraform.tfstate").write_text("no part of the tree")
    spec.write_text("kind: terraform\nname: lab-cli\nvars: {size: 3}\n")
    plan = ("stack", "plan", str(spec), "--module", str(module))
    planned = alphaswarm.json(*plan, "--code", codes.pop())
    (change,) = planned["statistics"]["plan"]["changes"]
    assert (planned["status"], change["action"]) == ("waiting", "create")
    told = f"alphaswarm stack apply {planned['run_id']}"
    assert told in alphaswarm("stack", "show", "lab-cli")
    apply = ("stack", "apply", planned["run_id"], "--json")
    done = json.loads(alphaswarm(*apply, "--code", codes.pop()))
    assert (done["status"], done["statistics"]["applied"][0]["address"]) == (
        "succeeded",
        "toy_thing.desk",
    )
    tofu = Path(alphaswarm.more["PATH"].partition(os.pathsep)[0]) / "tofu"
    assert fake_tofu.world(tofu) == {"toy_thing.desk": 3}

    gone = alphaswarm.json(*plan, "--destroy", "--code", codes.pop())
    assert gone["statistics"]["plan"]["destroys"] == ["toy_thing.desk"]
    apply = ("stack", "apply", gone["run_id"], "--json")
    refused = alphaswarm.run(*apply, "--code", codes.pop())
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (2, "confirmation_required")
    alphaswarm(*apply, "--allow-destroy", "--code", codes.pop())
    assert fake_tofu.world(tofu) == {}


def test_a_workload_is_planned_started_seen_and_stopped(
    alphaswarm: Demonstrated, codes: list[str], tmp_path: Path
) -> None:
    """The whole way, through server, worker and launcher, to the warden that ends its run."""
    fresh = alphaswarm.process("user", "recovery-codes").stdout
    codes[:] = re.findall(r"^ +(\d-\S+)$", fresh, re.MULTILINE)
    spec = tmp_path / "sleeper.yaml"
    spec.write_text(
        "kind: workload\nname: sleeper-cli\nargv: [sh, -c, 'echo here; exec sleep 600']\n"
        "health: {kind: argv, argv: ['true']}\n"
    )
    planned = alphaswarm.json("workload", "plan", str(spec), "--code", codes.pop())
    run_id = planned["run_id"]
    (change,) = planned["statistics"]["plan"]["changes"]
    assert (planned["status"], change["address"]) == ("waiting", "process/sleeper-cli")
    started = alphaswarm.json("workload", "apply", run_id, "--code", codes.pop())
    assert (started["status"], started["statistics"]["workload"]["well"]) == ("waiting", True)

    (seen,) = alphaswarm.json("workload", "ls")["workloads"]
    assert (seen["run_id"], seen["phase"], seen["well"]) == (run_id, "running", True)
    assert alphaswarm.json("workload", "logs", run_id)["lines"] == ["here"]
    stopped = alphaswarm.json("workload", "stop", run_id, "--code", codes.pop())
    assert stopped["status"] == "cancelled"
    assert alphaswarm.json("workload", "ls")["workloads"] == []
    assert alphaswarm.json("workload", "logs", run_id)["lines"] == ["here"], "its log stays"
