"""Which calls bring source, who may make them, and what a machine that cannot hold it answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from auth.policy import ACR_MFA, ACR_PASSWORD
from lakehouse import landlock, seccomp
from runtimes.sandbox.errors import SandboxUnavailableError
from runtimes.specs.backtest import BacktestSpec
from tests.kit.office import ANNA
from tools import backtest, source
from tools.registry import Office, served
from topology.clock import SystemClock
from topology.errors import RefusedError
from topology.principal import Principal

CODE = "class Strategy: pass"
SPEC = {
    "kind": "backtest",
    "name": "sourced",
    "universe": {"symbols": ["AAA.TEST"]},
    "data": {"start": "2001-01-01", "end": "2001-12-31"},
    "strategy": {"code": CODE},
}
PLAIN = SPEC | {"strategy": {"name": "buy_and_hold"}}
PERSON = replace(ANNA, scopes=frozenset({"backtest:code"}), acr=ACR_MFA, actor=None)


def person(*, seconds_ago: int = 0, **changes: Any) -> Principal:
    """Return somebody whose second factor is so old now, not when this file was read."""
    signed_in = int(SystemClock().now().timestamp()) - seconds_ago
    return replace(PERSON, auth_time=signed_in, **changes)


@pytest.mark.parametrize(
    ("spec", "brings"),
    [
        pytest.param(SPEC, True, id="an object"),
        pytest.param(json.dumps(SPEC), True, id="JSON"),
        pytest.param(yaml.safe_dump(SPEC), True, id="YAML"),
        pytest.param('{"strategy": {"c\\u006fde": "x"}}', True, id="escapes in JSON"),
        pytest.param('strategy: {"c\\x6fde": x}', True, id="escapes in YAML"),
        pytest.param({"strategy": {"code": 7}}, True, id="no text"),
        pytest.param({"strategy": {"code": None}}, False, id="null is none"),
        pytest.param(PLAIN, False, id="a name"),
        pytest.param(yaml.safe_dump(PLAIN | {"name": "code"}), False, id="the word elsewhere"),
        pytest.param("strategy: {code: x", False, id="what nobody can read"),
        pytest.param(7, False, id="no spec"),
    ],
)
@pytest.mark.parametrize("tool", ["submit_backtest", "submit_sweep", "submit_walk_forward"])
def test_a_call_that_brings_source_has_a_stricter_rule(tool: str, spec: Any, brings: bool) -> None:
    offered = served("backtest").tools[tool]
    assert offered.rule({"spec": spec}) == (source.CODE if brings else offered.auth)
    assert served("backtest").tools["validate_spec"].rule({"spec": spec}).step_up == "none"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"scopes": frozenset({"backtest:run"})}, "insufficient_scope", id="no scope"),
        pytest.param({"acr": ACR_PASSWORD}, "step_up_required", id="a password"),
        pytest.param({"seconds_ago": 400}, "step_up_required", id="stale"),
        pytest.param({"actor": "agent"}, "step_up_required", id="an agent"),
    ],
)
def test_the_spec_as_it_was_parsed_is_judged_once_more(changes: Any, code: str) -> None:
    """Whatever way a spec took past the gate, over stdio or inside: the tool asks again."""
    found = BacktestSpec.model_validate(SPEC)
    source.permit(found, person(), SystemClock())
    source.permit(BacktestSpec.model_validate(PLAIN), person(**changes), SystemClock())
    with pytest.raises(RefusedError) as caught:
        source.permit(found, person(**changes), SystemClock())
    assert caught.value.wire_code == code


@pytest.mark.parametrize(
    ("module", "name", "lacks"), [(landlock, "version", "Landlock"), (seccomp, "known", "seccomp")]
)
async def test_a_machine_that_cannot_hold_source_refuses_it_before_anything_is_written(
    office: Office, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, lacks: str
) -> None:
    monkeypatch.setattr(module, name, lambda: 0)
    for asked in (backtest.validate_spec, backtest.submit_backtest):
        with pytest.raises(SandboxUnavailableError, match=lacks) as caught:
            await asked(SPEC, office=office, caller=person())
        assert caught.value.body()["code"] == "sandbox_unavailable"
        assert caught.value.facts["lacking"] == [lacks]
