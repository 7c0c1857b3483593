"""A backtest spec means one thing; whatever it cannot mean is refused with path and value."""

from __future__ import annotations

import copy
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runtimes.engine.params import make
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from runtimes.specs.execution import FEES, FILLS, SLIPPAGES
from topology.canonical import canonical, sha256
from topology.errors import AlphaSwarmError, InvalidSpecError, UnknownNameError

TEXT = """
kind: backtest
name: momentum-top3
universe: {symbols: [AAPL.NASDAQ, IBM.NYSE, MSFT.NASDAQ]}
data: {table: alphaswarm_silver_market.bars_1d, start: 2001-01-01, end: 2012-12-31, adjust: total}
strategy: {name: momentum, params: {lookback: 126, top: 3, rebalance: monthly}}
portfolio: {cash: 100000, currency: USD}
execution: {fill: next_open, fee: {model: interactive_brokers}, slippage: {model: bps, bps: 1}}
benchmark: null
seed: 7
"""


def backtest(raw: Any = TEXT) -> BacktestSpec:
    spec = parse("backtest", raw)
    assert isinstance(spec, BacktestSpec)
    return spec


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the example with ``value`` at a dotted ``path``; ``...`` takes the key away."""
    body = copy.deepcopy(backtest().body())
    *parents, last = path.split(".")
    place = body
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return body


def refused(raw: Any) -> AlphaSwarmError:
    with pytest.raises(AlphaSwarmError) as caught:
        parse("backtest", raw)
    json.dumps(caught.value.body(), allow_nan=False)
    return caught.value


class TestMeaning:
    def test_the_example_of_the_contract(self) -> None:
        spec = backtest()
        assert spec.data.start == dt.date(2001, 1, 1)
        assert spec.warmup == 127
        assert spec.periods_per_year == 252
        assert spec.body()["strategy"]["params"] == {
            "lookback": 126,
            "top": 3,
            "rebalance": "monthly",
        }

    def test_its_bytes_are_pinned(self) -> None:
        assert sha256(backtest().body()) == (
            "e7d430bfe9ac806e2fc91e8f2b7395fcc72177a8f1e07f059253c6d7c79971bd"
        )

    def test_every_default_is_written_out(self) -> None:
        raw = {
            "kind": "backtest",
            "name": "short",
            "universe": {"symbols": ["A.X"]},
            "data": {"start": "2001-01-01", "end": "2001-12-31"},
            "strategy": {"name": "momentum"},
        }
        body = backtest(raw).body()
        assert body["portfolio"] == {
            "cash": 100_000.0,
            "currency": "USD",
            "leverage": 1.0,
            "fractional": False,
        }
        assert body["execution"] == {
            "fill": "next_open",
            "fee": {"model": "interactive_brokers"},
            "slippage": {"model": "none"},
        }
        assert body["strategy"]["params"]["lookback"] == 126
        assert backtest(body).body() == body

    def test_order_of_keys_and_symbols_and_the_form_of_numbers_do_not_matter(self) -> None:
        body = backtest().body()
        shuffled = dict(reversed(list(body.items())))
        shuffled["universe"] = {"symbols": body["universe"]["symbols"][::-1]}
        shuffled["portfolio"] = {**body["portfolio"], "cash": 100_000}
        shuffled["seed"] = 7.0
        assert canonical(backtest(shuffled).body()) == canonical(body)

    def test_json_and_yaml_and_a_mapping_are_the_same_spec(self) -> None:
        body = backtest().body()
        assert backtest(json.dumps(body)) == backtest(body) == backtest()

    def test_a_spec_is_frozen(self) -> None:
        with pytest.raises(ValidationError):
            backtest().seed = 8  # type: ignore[misc]

    @pytest.mark.parametrize("day", ["0001-01-01", "1417-01-01", "9999-12-31"])
    @pytest.mark.parametrize("path", ["data.start", "data.end"])
    def test_a_day_that_the_engine_cannot_count_is_refused(self, path: str, day: str) -> None:
        """In 64-bit nanoseconds 1417 would silently be 2001."""
        with pytest.raises(InvalidSpecError) as refused:
            backtest(changed(path, day))
        assert path in {error["path"] for error in refused.value.facts["errors"]}

    def test_one_day_is_a_window(self) -> None:
        assert backtest(changed("data.end", "2001-01-01")).data.end == dt.date(2001, 1, 1)

    @pytest.mark.parametrize("size", ["1d", "1h", "1m"])
    def test_the_table_says_how_many_bars_make_a_year(self, size: str) -> None:
        spec = backtest(changed("data.table", f"alphaswarm_silver_market.bars_{size}"))
        assert spec.periods_per_year == {"1d": 252, "1h": 1_638, "1m": 98_280}[size]

    @pytest.mark.parametrize("fill", FILLS)
    @pytest.mark.parametrize("fee", sorted(FEES))
    @pytest.mark.parametrize("slippage", sorted(SLIPPAGES))
    def test_every_rule_that_a_spec_can_name_the_engine_can_follow(
        self, fill: str, fee: str, slippage: str
    ) -> None:
        needed: dict[str, dict[str, Any]] = {
            "bps": {"bps": 2.5},
            "per_share": {"per_share": 0.01},
            "maker_taker": {"maker_bps": 1, "taker_bps": 4},
        }
        execution: dict[str, Any] = {
            "fill": fill,
            "fee": {"model": fee, **needed.get(fee, {})},
            "slippage": {"model": slippage, **needed.get(slippage, {})},
        }
        params = make(**backtest(changed("execution", execution)).rules())
        fees = {"bps": 2.5e-4, "per_share": 0.01, "maker_taker": 4e-4, "forex": 2e-5}
        rates = {"bps": 2.5e-4, "volume_share": 0.1, "square_root": 1.0}
        assert params.fee_rate == pytest.approx(fees.get(fee, 0))
        assert params.slippage_rate == pytest.approx(rates.get(slippage, 0))


class TestLaterKeys:
    """Keys that came after the first specs were locked stay out of the body at their default."""

    LATER = {  # noqa: RUF012  a table of the test
        "portfolio.borrow_bps": 50.0,
        "portfolio.debit_bps": 700.0,
        "portfolio.credit_bps": 100.0,
        "portfolio.maintenance": 0.25,
        "execution.max_participation": 0.1,
    }

    @pytest.mark.parametrize("path", LATER)
    def test_a_default_leaves_the_hash_and_another_value_is_kept(self, path: str) -> None:
        part, _, key = path.partition(".")
        same = backtest(changed(path, 0.0))
        assert sha256(same.body()) == sha256(backtest().body())
        assert key not in same.body()[part]
        other = backtest(changed(path, self.LATER[path]))
        assert other.body()[part][key] == self.LATER[path]
        assert backtest(other.body()) == other
        assert sha256(other.body()) != sha256(same.body())

    def test_they_reach_the_engine(self) -> None:
        raw = backtest().body()
        for path, value in self.LATER.items():
            part, _, key = path.partition(".")
            raw[part][key] = value
        params = make(**backtest(raw).rules())
        assert (params.borrow_rate, params.debit_rate, params.credit_rate) == pytest.approx(
            (0.005, 0.07, 0.01)
        )
        assert (params.maintenance, params.participation) == (0.25, 0.1)


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("path", "value", "at", "near"),
        [
            ("strategy.name", "momentun", "strategy.name", "momentum"),
            ("execution.fill", "next_opne", "execution.fill", "next_open"),
            ("execution.fee", {"model": "bsp"}, "execution.fee.model", "bps"),
            ("execution.slippage", {"model": "nonw"}, "execution.slippage.model", "none"),
            ("kind", "backtset", "kind", None),
        ],
    )
    def test_the_nearest_is_named(self, path: str, value: Any, at: str, near: str | None) -> None:
        error = refused(changed(path, value))
        problem = error.facts["errors"][0]
        assert problem["path"] == at
        if near:
            assert isinstance(error, UnknownNameError)
            assert problem["nearest"][0] == near
            assert error.hint == f"Did you mean {near!r}?"

    def test_a_kind_that_nobody_has_is_an_unknown_name(self) -> None:
        with pytest.raises(UnknownNameError) as caught:
            parse(None, changed("kind", "backtset"))
        assert caught.value.hint == "Did you mean 'backtest'?"

    def test_another_known_kind_is_the_wrong_server(self) -> None:
        error = refused(changed("kind", "data"))
        assert isinstance(error, InvalidSpecError)
        assert "kind: backtest" in error.hint


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "value", "at"),
        [
            pytest.param("sed", 7, "sed", id="misspelt key"),
            pytest.param("data.strat", 7, "data.strat", id="misspelt inner key"),
            pytest.param("strategy.params.lookbak", 7, "strategy.params.lookbak", id="parameter"),
            pytest.param("strategy.params.top", 0, "strategy.params.top", id="no places"),
            pytest.param("strategy.params.top", "3", "strategy.params.top", id="text for a number"),
            pytest.param("strategy.params", [1], "strategy.params", id="a list of parameters"),
            pytest.param("data.start", "2013-01-01", "data.end", id="start after end"),
            pytest.param("data.start", "2001-02-30", "data.start", id="no such day"),
            pytest.param("data.start", 20010101, "data.start", id="a number for a day"),
            pytest.param("data.start", "2001-01-01T00:00:00Z", "data.start", id="a time for a day"),
            pytest.param("data.start", ..., "data.start", id="no start"),
            pytest.param("data.adjust", "both", "data.adjust", id="unknown adjustment"),
            pytest.param("data.table", "silver.bars_1d", "data.table", id="not a silver table"),
            pytest.param("universe.symbols", [], "universe.symbols", id="empty universe"),
            pytest.param("universe.symbols", "A.X", "universe.symbols", id="text for a list"),
            pytest.param("universe.symbols", ["aapl"], "universe.symbols[0]", id="not a symbol"),
            pytest.param("universe.symbols", ["A.X", 3], "universe.symbols[1]", id="a number"),
            pytest.param("universe.symbols", ["A.X", "A.X"], "universe.symbols", id="twice"),
            pytest.param("portfolio.cash", -1, "portfolio.cash", id="negative cash"),
            pytest.param("portfolio.cash", 0, "portfolio.cash", id="no cash"),
            pytest.param("portfolio.cash", float("nan"), "portfolio.cash", id="not a number"),
            pytest.param("portfolio.cash", float("inf"), "portfolio.cash", id="endless cash"),
            pytest.param("portfolio.cash", 10**400, "portfolio.cash", id="too large for a float"),
            pytest.param("portfolio.cash", True, "portfolio.cash", id="yes is not money"),
            pytest.param("portfolio.currency", "usd", "portfolio.currency", id="currency"),
            pytest.param("portfolio.leverage", -2, "portfolio.leverage", id="negative leverage"),
            pytest.param("portfolio.fractional", 1, "portfolio.fractional", id="one is not yes"),
            pytest.param("execution.fee", "zero", "execution.fee", id="a fee without a mapping"),
            pytest.param(
                "execution.fee", {"model": "bps"}, "execution.fee.bps", id="a rate is missing"
            ),
            pytest.param(
                "execution.fee", {"model": "zero", "bps": 1}, "execution.fee.bps", id="too much"
            ),
            pytest.param("execution.slippage.bps", -1, "execution.slippage.bps", id="a gift"),
            pytest.param("portfolio.borrow_bps", -1, "portfolio.borrow_bps", id="paid to borrow"),
            pytest.param("portfolio.maintenance", 1.5, "portfolio.maintenance", id="above one"),
            pytest.param(
                "portfolio",
                {"leverage": 4.0, "maintenance": 0.3},
                "portfolio.maintenance",
                id="called at once",
            ),
            pytest.param(
                "execution.max_participation", 2, "execution.max_participation", id="two bars"
            ),
            pytest.param(
                "execution.slippage",
                {"model": "square_root", "window": 1},
                "execution.slippage.window",
                id="no volatility of one day",
            ),
            pytest.param(
                "execution.fee",
                {"model": "per_share"},
                "execution.fee.per_share",
                id="a fee without its rate",
            ),
            pytest.param("seed", -1, "seed", id="negative seed"),
            pytest.param("seed", 2**53, "seed", id="a seed that JSON cannot hold"),
            pytest.param("seed", 1.5, "seed", id="half a seed"),
            pytest.param("name", "Momentum Top 3", "name", id="a name with spaces"),
            pytest.param("benchmark", "SPY", "benchmark", id="a benchmark without exchange"),
            pytest.param("strategy", None, "strategy", id="no strategy"),
        ],
    )
    def test_each_bad_value_is_named_by_its_path(self, path: str, value: Any, at: str) -> None:
        error = refused(changed(path, value))
        assert error.wire_code == "invalid_spec"
        assert [problem["path"] for problem in error.facts["errors"]] == [at]
        assert error.hint

    def test_a_misspelt_key_names_the_nearest(self) -> None:
        error = refused(changed("data.strat", 1))
        assert error.facts["errors"][0]["nearest"] == ["start"]
        assert error.hint == "Did you mean 'start'?"

    def test_all_errors_come_at_once(self) -> None:
        raw = changed("portfolio.cash", -1)
        raw["data"]["end"] = "1999-01-01"
        raw["strategy"]["params"]["lookbak"] = 1
        raw["strategy"]["params"]["top"] = 0
        raw["execution"]["fee"] = {"model": "ib"}
        error = refused(raw)
        assert {problem["path"] for problem in error.facts["errors"]} == {
            "data.end",
            "strategy.params.lookbak",
            "strategy.params.top",
            "portfolio.cash",
            "execution.fee.model",
        }
        assert error.message.endswith("(4 more)")

    @pytest.mark.parametrize("raw", ["", "7", "[1, 2]", "just words", "null"])
    def test_only_a_mapping_is_a_spec(self, raw: str) -> None:
        assert refused(raw).wire_code == "invalid_spec"

    def test_a_megabyte_of_symbols_is_refused(self) -> None:
        symbols = [f"T{index}.NYSE" for index in range(100_000)]
        assert "allowed" in refused(changed("universe.symbols", symbols)).message

    def test_a_mapping_nested_ten_thousand_deep_is_refused(self) -> None:
        deep: Any = 1
        for _ in range(10_000):
            deep = [deep]
        assert "deeper" in refused(changed("strategy.params.top", deep)).message
        while isinstance(deep, list):
            deep = deep[0]

    def test_long_values_are_cut_in_errors(self) -> None:
        error = refused(changed("name", "x" * 100_000))
        assert len(json.dumps(error.body())) < 1_000


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8),
       st.sampled_from(["name", "universe", "data", "strategy", "strategy.params", "portfolio",
                        "execution", "execution.fee", "benchmark", "seed"]))  # fmt: skip
def test_any_value_anywhere_is_a_spec_or_our_error(value: Any, path: str) -> None:
    try:
        backtest(changed(path, value))
    except AlphaSwarmError as error:
        found = error
    else:
        return
    assert found.facts["errors"][0]["path"].startswith(path.partition(".")[0])
    json.dumps(found.body(), allow_nan=False)
