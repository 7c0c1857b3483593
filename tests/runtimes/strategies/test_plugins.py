"""Strategies of installed packages: found by metadata, loaded when asked for, broken alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from runtimes.strategies.plugins import PluginError, source_hash
from tests.kit import plugin
from topology.errors import InvalidSpecError, UnknownNameError

DIP = """
from runtimes.engine.script import Script
from runtimes.strategies.base import StrategyParams
from runtimes.strategies.scripted import ScriptStrategy


class DipParams(StrategyParams):
    part: float = 0.5


class Dip(Script):
    def __init__(self, params):
        self.part = params.part

    def on_bar(self, account):
        if account.bar == 0:
            account.target(account.symbols[0], self.part)


STRATEGY = ScriptStrategy("Buys once.", DipParams, lambda p: 1, lambda p, view: Dip(p))
NUMBER = 7
"""


def body(name: str, **params: float) -> dict[str, object]:
    return {
        "kind": "backtest",
        "name": "small",
        "universe": {"symbols": ["AAA.TEST"]},
        "data": {"start": "2001-03-01", "end": "2001-12-31"},
        "strategy": {"name": name, "params": params},
    }


def test_a_package_adds_a_strategy_that_is_loaded_when_a_spec_names_it(site: Path) -> None:
    plugin.install(site, DIP, {"dip": "STRATEGY"})

    assert "dip" in STRATEGIES.names()
    assert str(STRATEGIES.origin("dip")) == "asw-test-pack 1.2.3"
    assert "asw_test_pack" not in sys.modules

    spec = parse("backtest", body("dip"))

    assert spec.body()["strategy"] == {"name": "dip", "params": {"part": 0.5}}
    assert STRATEGIES.load("dip").form == "script"


def test_its_parameters_are_checked_as_ours_are(site: Path) -> None:
    plugin.install(site, DIP, {"dip": "STRATEGY"})

    with pytest.raises(InvalidSpecError) as caught:
        parse("backtest", body("dip", prt=0.5))

    assert caught.value.facts["errors"][0]["path"] == "strategy.params.prt"
    assert caught.value.facts["errors"][0]["nearest"] == ["part"]


def test_the_source_is_part_of_what_a_run_asks_for(site: Path) -> None:
    plugin.install(site, DIP, {"dip": "STRATEGY"})
    origin = STRATEGIES.origin("dip")
    assert origin is not None
    before = source_hash(origin)
    assert STRATEGIES.identity("dip") == {"plugin": f"asw-test-pack 1.2.3 {before}"}
    assert STRATEGIES.identity("momentum") == {}

    (site / "asw_test_pack.py").write_text(DIP + "\n# another\n")

    assert source_hash(origin) != before


def test_ours_stays_where_a_package_takes_its_name(site: Path) -> None:
    ours = "runtimes.strategies.momentum:STRATEGY"
    plugin.install(site, DIP, {"momentum": "STRATEGY"})

    assert STRATEGIES.target("momentum") == ours
    assert STRATEGIES.origin("momentum") is None
    assert STRATEGIES.clashes["momentum"].startswith("asw-test-pack 1.2.3 offers")


def test_of_two_packages_with_one_name_neither_is_used(site: Path) -> None:
    plugin.install(site, DIP, {"dip": "STRATEGY"})
    plugin.install(site, DIP, {"dip": "STRATEGY"}, name="asw-test-pack-two")

    assert "dip" not in STRATEGIES
    with pytest.raises(InvalidSpecError, match="and asw-test-pack-two"):
        parse("backtest", body("dip"))
    with pytest.raises(PluginError, match="neither is used"):
        STRATEGIES.load("dip")


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        pytest.param("import nothing_of_this_name", "S", "ModuleNotFoundError", id="no import"),
        pytest.param("raise SystemExit(3)", "S", "SystemExit", id="it would end the process"),
        pytest.param("S = 1 / 0", "S", "ZeroDivisionError", id="it fails"),
        pytest.param(DIP, "MISSING", "AttributeError", id="no such attribute"),
        pytest.param(DIP, "NUMBER", "is no Strategy", id="no strategy"),
    ],
)
def test_a_broken_package_takes_away_its_own_strategy_only(
    site: Path, source: str, target: str, said: str
) -> None:
    plugin.install(site, source, {"broken": target})

    with pytest.raises(InvalidSpecError, match=said):
        parse("backtest", body("broken"))
    assert parse("backtest", body("momentum")).name == "small"


def test_a_name_that_nobody_offers_is_unknown(site: Path) -> None:
    plugin.install(site, DIP, {"dip": "STRATEGY"})

    with pytest.raises(UnknownNameError) as caught:
        parse("backtest", body("dipp"))
    assert caught.value.facts["errors"][0]["nearest"][0] == "dip"
