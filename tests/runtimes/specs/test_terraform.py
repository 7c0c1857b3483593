"""StackSpec: the hash covers every file, and what could lead out of the tree is refused by path."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.specs.base import parse
from runtimes.specs.terraform import StackSpec
from topology.canonical import sha256
from topology.errors import InvalidSpecError

TREE = {"main.tf": 'resource "terraform_data" "desk" { input = 1 }\n'}
BODY: dict[str, Any] = {"kind": "terraform", "name": "lab", "files": TREE}
HASH = "9a289213d625eac366f64be5f8cd38a8227bcbbd6664c96653e6b559d205b330"


def hashed(**more: Any) -> str:
    return sha256(parse(None, {**BODY, **more}).body())


def test_the_bytes_of_a_locked_stack_do_not_change() -> None:
    assert hashed() == HASH
    assert parse(None, BODY).body() == {
        **BODY,
        "vars": {},
        "credentials": {},
        "mode": "apply",
    }


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"files": {"main.tf": TREE["main.tf"] + "\n"}}, id="a line end more"),
        pytest.param({"files": {**TREE, "sub/x.tf": ""}}, id="a file in a folder"),
        pytest.param({"files": {**TREE, ".terraform.lock.hcl": "#"}}, id="the lock file"),
        pytest.param({"vars": {"size": 2}}, id="a variable"),
        pytest.param({"credentials": {"TF_VAR_t": "t"}}, id="a credential's name"),
        pytest.param({"mode": "destroy"}, id="what it is for"),
    ],
)
def test_whatever_a_plan_depends_on_is_under_the_hash(more: dict[str, Any]) -> None:
    assert hashed(**more) != HASH


def test_the_order_of_files_and_variables_does_not_matter() -> None:
    files = {**TREE, "a.tf": "", "z/b.tftpl": "x"}
    turned = dict(reversed(files.items()))
    assert hashed(files=files) == hashed(files=turned)


@pytest.mark.parametrize(
    ("more", "path", "said"),
    [
        pytest.param({"files": {}}, "files", "no .tf file", id="no file"),
        pytest.param(
            {"files": {"a/b.tf": ""}}, "files", "no .tf file at the top", id="none on top"
        ),
        pytest.param({"files": {**TREE, "../x": ""}}, "files", "leads out", id="above"),
        pytest.param({"files": {**TREE, "a/../x": ""}}, "files", "leads out", id="up and down"),
        pytest.param({"files": {**TREE, "/etc/x": ""}}, "files", "relative", id="absolute"),
        pytest.param({"files": {**TREE, "a//b": ""}}, "files", "relative", id="empty part"),
        pytest.param({"files": {**TREE, "a\nb": ""}}, "files", "relative", id="a line end"),
        pytest.param({"files": {**TREE, "terraform.tfstate": ""}}, "files", "state", id="a state"),
        pytest.param({"files": {**TREE, ".terraform/x": ""}}, "files", "state", id="its folder"),
        pytest.param({"files": {"main.tf": 1}}, "files", "string", id="no text"),
        pytest.param({"vars": {"a b": 1}}, "vars", "name of a variable", id="a variable"),
        pytest.param({"credentials": {"PATH": "x"}}, "credentials", "runtime alone", id="PATH"),
        pytest.param({"credentials": {"LD_PRELOAD": "x"}}, "credentials", "alone", id="a loader"),
        pytest.param({"credentials": {"TF_CLI_ARGS": "x"}}, "credentials", "alone", id="arguments"),
        pytest.param({"credentials": {"https_proxy": "x"}}, "credentials", "alone", id="a proxy"),
        pytest.param({"credentials": {"A-B": "x"}}, "credentials", "environment", id="no variable"),
        pytest.param({"credentials": {"A": "env:X"}}, "credentials", "", id="a secret's place"),
        pytest.param({"mode": "taint"}, "mode", "'apply', 'destroy' or 'refresh'", id="a mode"),
        pytest.param({"variables": {}}, "variables", "No key", id="an unknown key"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(more: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        parse(None, {**BODY, **more})
    (problem, *_) = refused.value.facts["errors"]
    assert problem["path"].partition(".")[0] == path
    assert said in problem["problem"]


def test_a_stack_is_parsed_by_its_kind() -> None:
    assert isinstance(parse("terraform", BODY), StackSpec)
