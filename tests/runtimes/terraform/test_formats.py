"""The program's JSON as its documents describe it, against our models.

The texts follow opentofu.org/docs/internals: machine-readable UI, JSON output format.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.terraform import formats
from runtimes.terraform.formats import State
from runtimes.terraform.reading import changes, read
from topology.errors import AlphaSwarmError, FaultError

RESOURCE = {
    "addr": 'module.net.random_pet.animal["a"]',
    "module": "module.net",
    "resource": 'random_pet.animal["a"]',
    "implied_provider": "random",
    "resource_type": "random_pet",
    "resource_name": "animal",
    "resource_key": "a",
}
DONE = {
    "@level": "info",
    "@message": "random_pet.animal: Creation complete after 0s [id=smart-lizard]",
    "@module": "tofu.ui",
    "@timestamp": "2021-05-25T13:32:41.869168-04:00",
    "hook": {
        "resource": RESOURCE,
        "action": "create",
        "id_key": "id",
        "id_value": "smart-lizard",
        "elapsed_seconds": 0,
    },
    "type": "apply_complete",
}
ERROR = {
    "@level": "error",
    "@message": "Error: Failed to query available provider packages",
    "type": "diagnostic",
    "diagnostic": {
        "severity": "error",
        "summary": "Failed to query",
        "detail": "Could not retrieve",
        "address": "random_pet.animal",
        "range": {
            "filename": "main.tf",
            "start": {"line": 3, "column": 1, "byte": 20},
            "end": {"line": 3, "column": 9, "byte": 28},
        },
        "snippet": {"code": "x", "values": [{"traversal": "var.token", "statement": "is hunter2"}]},
    },
}


def change(*actions: str, **more: Any) -> dict[str, Any]:
    return {
        "address": more.pop("address", "random_pet.animal"),
        "mode": "managed",
        "type": "random_pet",
        "name": "animal",
        "provider_name": "registry.opentofu.org/hashicorp/random",
        "change": {"actions": list(actions), "before": None, "after": {"id": "x"}, **more},
    }


def plan(*found: dict[str, Any], **more: Any) -> formats.PlanShown:
    body = {"format_version": "1.2", "terraform_version": "1.11.4", "resource_changes": found}
    return formats.plan(json.dumps({**body, **more}).encode())


def test_a_line_of_the_stream_names_resource_and_action() -> None:
    said = formats.message(json.dumps(DONE).encode())
    assert said is not None
    assert said.hook is not None
    assert (said.type, said.hook.action) == ("apply_complete", "create")
    assert said.hook.resource.addr == 'module.net.random_pet.animal["a"]'


def test_of_an_error_summary_and_place_are_read_and_nothing_that_quotes_values() -> None:
    said = formats.message(json.dumps(ERROR).encode())
    assert said is not None
    assert said.diagnostic is not None
    assert (said.diagnostic.summary, said.diagnostic.address) == (
        "Failed to query",
        "random_pet.animal",
    )
    assert "hunter2" not in repr(said)
    assert "Could not" not in repr(said)


@pytest.mark.parametrize("version", ["0.1.0", "1.0", "1.2", "1.99"])
def test_a_minor_version_more_is_read(version: str) -> None:
    line = json.dumps({"type": "version", "tofu": "1.6.0", "ui": version, "more": 1}).encode()
    assert formats.message(line) is not None


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda: formats.message(b'{"type": "version", "ui": "2.0"}'), id="the stream"),
        pytest.param(lambda: plan(format_version="2.0"), id="a plan"),
        pytest.param(lambda: plan(format_version=2), id="a plan whose version is no text"),
        pytest.param(lambda: formats.plan(b"Terraform"), id="no JSON at all"),
        pytest.param(lambda: formats.state(b'{"version": 5}'), id="a state"),
        pytest.param(lambda: plan(change("explode")).resource_changes[0].action, id="an action"),
    ],
)
def test_another_major_version_is_refused(refused: Any) -> None:
    with pytest.raises(FaultError) as error:
        refused()
    assert error.value.wire_code == "stack_format"


@settings(max_examples=40)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,type0', max_size=60).map(str.encode))
def test_any_other_line_is_no_message_and_no_failure(line: bytes) -> None:
    found = formats.message(line)
    assert found is None or isinstance(found.type, str)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(change("create"), ("create", ""), id="create"),
        pytest.param(change("update"), ("update", ""), id="update"),
        pytest.param(change("delete"), ("destroy", ""), id="delete"),
        pytest.param(change("delete", "create"), ("replace", ""), id="replace"),
        pytest.param(change("create", "delete"), ("replace", ""), id="replace, new one first"),
        pytest.param(change("no-op"), None, id="no-op"),
        pytest.param(change("read"), None, id="a data source is read"),
        pytest.param(
            change("forget"),
            ("update", "It leaves the state; the thing itself stays."),
            id="forget",
        ),
        pytest.param(
            change("no-op", importing={"id": "i-1"}),
            ("update", "It is taken over into the state."),
            id="import",
        ),
        pytest.param(
            {**change("no-op"), "previous_address": "random_pet.cat"},
            ("update", "It was random_pet.cat before."),
            id="moved",
        ),
    ],
)
def test_what_a_person_approves(one: dict[str, Any], expected: tuple[str, str] | None) -> None:
    found = [(made.action, made.detail) for made in changes(plan(one), "apply")]
    assert found == ([expected] if expected else [])


def test_outputs_change_the_state_too() -> None:
    shown = plan(output_changes={"a": {"actions": ["create"]}, "b": {"actions": ["no-op"]}})
    assert [(one.address, one.action) for one in changes(shown, "apply")] == [
        ("output.a", "create")
    ]


@pytest.mark.parametrize(
    ("patterns", "actions", "approvals"),
    [
        pytest.param(["random_*"], ["delete"], 2, id="destroyed"),
        pytest.param(["random_*"], ["delete", "create"], 2, id="replaced"),
        pytest.param(["random_*"], ["update"], 1, id="only changed"),
        pytest.param(["*_bucket"], ["delete"], 1, id="of another type"),
    ],
)
def test_a_store_that_would_be_lost_takes_two_approvals(
    patterns: list[str], actions: list[str], approvals: int
) -> None:
    shown = plan(change(*actions))
    found = read(shown, State(serial=4), hashes=("a", "b"), mode="apply", stores=patterns)
    assert found.approvals == approvals
    assert found.facts["stores"] == (["random_pet.animal"] if approvals == 2 else [])
    assert found.facts["state_serial"] == 4


@pytest.mark.parametrize(
    ("source", "refused"),
    [("./net", False), ("../net", False), ("example/net/toy", True), ("git::ssh://x", True)],
)
def test_a_module_from_elsewhere_is_refused_at_any_depth(source: str, refused: bool) -> None:
    inner = {"module_calls": {"deep": {"source": source}}}
    calls = {"net": {"source": "./net", "module": inner}}
    shown = plan(configuration={"root_module": {"module_calls": calls}})
    if not refused:
        assert read(shown, State(), hashes=("", ""), mode="apply", stores=()).changes == ()
        return
    with pytest.raises(AlphaSwarmError, match="'deep'"):
        read(shown, State(), hashes=("", ""), mode="apply", stores=())


def test_a_state_tells_serial_lineage_and_addresses_and_no_value() -> None:
    text = {
        "version": 4,
        "terraform_version": "1.11.4",
        "serial": 3,
        "lineage": "b9ed1759",
        "outputs": {"o": {"value": "hunter2", "type": "string"}},
        "resources": [
            {"mode": "data", "type": "d", "name": "x", "instances": [{}]},
            {
                "mode": "managed",
                "module": 'module.m["k"]',
                "type": "t",
                "name": "n",
                "provider": 'provider["toy"]',
                "instances": [
                    {"index_key": 0, "attributes": {"password": "hunter2"}},
                    {"index_key": "b"},
                ],
            },
        ],
    }
    found = formats.state(json.dumps(text).encode())
    assert (found.serial, found.lineage) == (3, "b9ed1759")
    assert found.addresses() == {'module.m["k"].t.n[0]', 'module.m["k"].t.n["b"]'}
    assert "hunter2" not in repr(found)
    assert formats.state(b"\n") == State(), "before the first apply there is none"
