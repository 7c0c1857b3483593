"""The one step: when targets fill, at what price, in what order, and what the account says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runtimes.engine
from runtimes.engine.arrays import ACTION, Conditions, Market, Params, Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation
from tests.kit.engine import (
    PlainAccount,
    by_name,
    flat_market,
    names,
    random_market,
    random_targets,
)

NAN = float("nan")


def simulate(market: Market, rows: list[int], weights: list[list[float]], params: Params) -> Result:
    targets = Targets(np.array(rows, dtype=np.int64), np.array(weights, dtype=float))
    simulation = Simulation(market, names(market.close.shape[1]), targets, params)
    simulation.advance()
    return simulation.result()


class TestTiming:
    market = flat_market([[10], [12], [14]], opens=[[9], [11], [13]])

    def test_a_decision_at_a_close_fills_at_the_next_open(self) -> None:
        result = simulate(self.market, [0], [[1.0]], make(cash=110, fractional=True))
        assert by_name(result.fills, names(1)) == [("S000.TEST", 10.0, 11.0)]
        assert result.fills["timestamp"].tolist() == [self.market.timestamps[1]]
        assert result.curve.equity.tolist() == [110, 120, 140]

    def test_next_close_fills_a_whole_bar_later(self) -> None:
        params = make(cash=120, fractional=True, fill="next_close")
        result = simulate(self.market, [0], [[1.0]], params)
        assert by_name(result.fills, names(1)) == [("S000.TEST", 10.0, 12.0)]
        assert result.curve.equity.tolist() == [120, 120, 140]

    def test_a_decision_at_the_last_close_stays_open_and_is_said(self) -> None:
        result = simulate(self.market, [2], [[1.0]], make())
        assert result.fills["price"].size == 0
        assert result.orders["status"].tolist() == ["open"]
        assert "unfilled_orders" in [w["code"] for w in result.warnings]

    def test_a_symbol_without_a_bar_fills_at_its_next_one(self) -> None:
        market = flat_market([[10], [NAN], [14]], opens=[[9], [NAN], [13]])
        result = simulate(market, [0], [[1.0]], make(cash=130))
        assert by_name(result.fills, names(1)) == [("S000.TEST", 10.0, 13.0)]
        assert result.orders["created"].tolist() == [market.timestamps[0]]
        assert result.orders["closed"].tolist() == [market.timestamps[2]]

    def test_a_newer_decision_replaces_one_that_found_no_bar(self) -> None:
        market = flat_market([[10], [NAN], [14], [15]])
        result = simulate(market, [0, 1], [[1.0], [0.5]], make(cash=140))
        assert result.orders["status"].tolist() == ["cancelled", "filled"]
        assert result.orders["quantity"].tolist()[1] == 5.0

    def test_a_held_symbol_without_a_bar_is_marked_at_its_last_close(self) -> None:
        market = flat_market([[10, 5], [10, 5], [NAN, 6], [20, 6]])
        result = simulate(market, [0], [[1.0, 0.0]], make(cash=100))
        assert result.curve.equity.tolist() == [100, 100, 100, 200]


class TestAccount:
    def test_reductions_come_first_then_symbols_in_order(self) -> None:
        market = flat_market([[10, 10, 10]] * 4)
        weights = [[0.0, 0.5, 0.5], [0.6, 0.3, 0.1]]
        result = simulate(market, [0, 1], weights, make(cash=1_000))
        assert [n[:4] for n, *_ in by_name(result.fills, names(3))] == [
            "S001",
            "S002",
            "S001",
            "S002",
            "S000",
        ]
        assert result.fills["order_id"].tolist() == [1, 2, 3, 4, 5]

    def test_a_short_gains_when_the_price_falls_and_is_said_to_borrow_for_free(self) -> None:
        result = simulate(flat_market([[10], [10], [8]]), [0], [[-1.0]], make(cash=100))
        assert result.curve.cash.tolist() == [100, 200, 200]
        assert result.curve.equity.tolist() == [100, 100, 120]
        assert result.curve.net_exposure[-1] == pytest.approx(-80 / 120)
        assert result.curve.gross_exposure[-1] == pytest.approx(80 / 120)
        assert "borrow_free" in [w["code"] for w in result.warnings]

    def test_a_reversal_is_one_fill_through_zero(self) -> None:
        market = flat_market([[10], [10], [10], [10]])
        result = simulate(market, [0, 1], [[1.0], [-1.0]], make(cash=100))
        assert [q for _, q, _ in by_name(result.fills, names(1))] == [10, -20]
        assert result.positions["quantity"].tolist() == [10, -10]

    def test_leverage_borrows_cash(self) -> None:
        result = simulate(flat_market([[10], [10], [11]]), [0], [[2.0]], make(cash=100, leverage=2))
        assert result.curve.cash.tolist() == [100, -100, -100]
        assert result.curve.equity[-1] == 120

    def test_closing_costs_are_paid_before_weights_are_sized(self) -> None:
        market = flat_market([[10, 10]] * 4)
        params = make(cash=1_000, fee="bps", fee_bps=100, fractional=True)
        result = simulate(market, [0, 1], [[1.0, 0.0], [0.0, 1.0]], params)
        assert result.curve.cash == pytest.approx([1_000, 0, 0, 0], abs=1e-9)
        assert result.curve.equity[-1] == pytest.approx(1_000 / 1.01 * 0.99 / 1.01)

    def test_what_cannot_be_sold_makes_the_others_smaller(self) -> None:
        market = flat_market([[10, 10], [10, 10], [NAN, 10], [10, 10]])
        result = simulate(market, [0, 1], [[0.6, 0.0], [0.0, 1.0]], make(cash=1_000))
        assert by_name(result.fills, names(2))[1] == ("S001.TEST", 40.0, 10.0)
        assert result.curve.cash.min() >= 0
        assert "scaled_targets" in [w["code"] for w in result.warnings]

    def test_an_account_without_equity_is_closed_at_the_mark_and_stays_flat(self) -> None:
        market = flat_market([[10], [10], [25], [5], [5]])
        result = simulate(market, [0, 3], [[-1.0], [1.0]], make(cash=100))
        assert result.fills["tag"].tolist() == ["target", "ruin"]
        assert result.curve.equity.tolist() == [100, 100, -50, -50, -50]
        assert not result.partial
        assert "ruined" in [w["code"] for w in result.warnings]

    def test_the_curve_counts_what_was_traded_and_paid(self) -> None:
        params = make(cash=1_000, fee="interactive_brokers")
        result = simulate(flat_market([[10], [10], [10]]), [0], [[0.5]], params)
        assert result.curve.fees.tolist() == [0, 1, 0]
        assert result.curve.turnover.tolist() == [0, pytest.approx(490 / 999), 0]
        assert result.curve.drawdown.tolist() == [0, pytest.approx(0.001), pytest.approx(0.001)]


@given(
    seed=st.integers(0, 10**6),
    bars=st.integers(1, 60),
    symbols=st.integers(1, 5),
    missing=st.sampled_from([0.0, 0.2]),
    fee=st.sampled_from(["zero", "bps", "interactive_brokers"]),
    slippage=st.sampled_from([0.0, 5.0]),
    fractional=st.booleans(),
    fill=st.sampled_from(["next_open", "next_close"]),
)
@settings(max_examples=150, deadline=None)
def test_the_kernel_is_the_plain_account(
    seed: int,
    bars: int,
    symbols: int,
    missing: float,
    fee: str,
    slippage: float,
    fractional: bool,
    fill: str,
) -> None:
    market = random_market(seed, bars=bars, symbols=symbols, missing=missing)
    targets = random_targets(seed, bars=bars, symbols=symbols)
    params = make(
        cash=20_000, fee=fee, fee_bps=7, slippage_bps=slippage, fractional=fractional, fill=fill
    )
    simulation = Simulation(market, names(symbols), targets, params)
    simulation.advance()
    result = simulation.result()
    plain = PlainAccount(20_000, fee, 7e-4, slippage * 1e-4, fractional)
    plain.run(market, targets, at_open=fill == "next_open")
    alive = np.array(plain.equity) > 0
    assert alive.all()
    assert result.curve.equity == pytest.approx(plain.equity, rel=1e-9)
    assert len(result.fills["price"]) == len(plain.fills)
    for (_, quantity, price), (_, _, want, paid, _) in zip(
        by_name(result.fills, names(symbols)), plain.fills, strict=True
    ):
        assert quantity == pytest.approx(want, rel=1e-9, abs=1e-9)
        assert price == pytest.approx(paid)
    flows = np.diff(np.concatenate([[20_000.0], result.curve.cash]))
    assert flows == pytest.approx(plain.flows, rel=1e-9, abs=1e-6)


@given(
    seed=st.integers(0, 10**6),
    fee=st.sampled_from(["per_share", "maker_taker", "forex"]),
    slippage=st.sampled_from(["volume_share", "square_root", "half_spread"]),
    participation=st.sampled_from([0.0, 0.0005, 0.1]),
    fractional=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_the_kernel_is_the_plain_account_under_every_cost_model(
    seed: int, fee: str, slippage: str, participation: float, fractional: bool
) -> None:
    """The models again, in plain Python: fees by share and side, impact by volume, spreads."""
    market = random_market(seed, bars=30, symbols=3, missing=0.1)
    targets = random_targets(seed, bars=30, symbols=3)
    rng = np.random.default_rng(seed)
    impact = np.array([rng.uniform(1e3, 1e5, (30, 3)), rng.uniform(0.005, 0.03, (30, 3))])
    quotes = np.full((8, 30, 3), np.nan)
    quotes[3], quotes[7] = market.close * 0.999, market.close * 1.0015

    def slip(quantity: float, t: int, i: int) -> float:
        if slippage == "volume_share":
            return float(0.1 * min(abs(quantity) / market.volume[t, i], 0.025) ** 2)
        if slippage == "square_root":
            mean, sigma = impact[:, t, i].tolist()
            return float(0.5 * sigma * np.sqrt(abs(quantity) / mean))
        bid, ask = quotes[3, t, i], quotes[7, t, i]
        return float((ask - bid) / (ask + bid)) if ask > bid else 0.0

    rate = 0.004 if fee == "per_share" else 5e-4
    minimum, cap = {"per_share": (0.35, 0.01), "forex": (2.0, 0.0)}.get(fee, (0.0, 0.0))
    params = make(
        cash=20_000,
        fee=fee,
        fee_bps=5,
        fee_per_share=0.004,
        fee_minimum=minimum,
        fee_cap=cap,
        slippage=slippage,
        slippage_coefficient=0.1 if slippage == "volume_share" else 0.5,
        slippage_limit=0.025,
        participation=participation,
        fractional=fractional,
    )
    around = Conditions(np.zeros(0, np.int64), quotes, impact, np.zeros(0, ACTION))
    simulation = Simulation(market, names(3), targets, params, conditions=around)
    simulation.advance()
    result = simulation.result()
    plain = PlainAccount(20_000, fee, rate, 0.0, fractional, minimum=minimum, cap=cap)
    plain.participation, plain.slip = participation, slip
    plain.run(market, targets, at_open=True)
    assert result.curve.equity == pytest.approx(plain.equity, rel=1e-9)
    assert len(result.fills["price"]) == len(plain.fills)
    assert result.fills["fee"] == pytest.approx([fill[4] for fill in plain.fills], rel=1e-7)


def test_volume_lets_a_target_through_in_pieces_and_says_so() -> None:
    market = flat_market([[10.0]] * 6)._replace(volume=np.full((6, 1), 100.0))
    result = simulate(market, [0], [[1.0]], make(cash=600, participation=0.25))
    assert by_name(result.fills, names(1)) == [
        ("S000.TEST", 25.0, 10.0),
        ("S000.TEST", 25.0, 10.0),
        ("S000.TEST", 10.0, 10.0),
    ]
    notice = next(w for w in result.warnings if w["code"] == "partial_fills")
    assert notice["count"] == 1


@given(seed=st.integers(0, 10**6), fractional=st.booleans())
@settings(max_examples=60, deadline=None)
def test_money_is_neither_made_nor_lost(seed: int, fractional: bool) -> None:
    """Equity is cash and marked positions at every bar; cash moves by fills and fees alone."""
    market = random_market(seed, bars=80, symbols=4, missing=0.1)
    targets = random_targets(seed, bars=80, symbols=4)
    params = make(cash=50_000, fee="interactive_brokers", slippage_bps=3, fractional=fractional)
    simulation = Simulation(market, names(4), targets, params)
    simulation.advance()
    result = simulation.result()
    held, last, cash = np.zeros(4), np.zeros(4), 50_000.0
    order = {name: index for index, name in enumerate(names(4))}
    signs = np.where(result.fills["side"] == "buy", 1, -1)
    for t, moment in enumerate(market.timestamps):
        for k in np.flatnonzero(result.fills["timestamp"] == moment):
            quantity = signs[k] * result.fills["quantity"][k]
            held[order[str(result.fills["vt_symbol"][k])]] += quantity
            cash -= quantity * result.fills["price"][k] + result.fills["fee"][k]
        last = np.where(np.isnan(market.close[t]), last, market.close[t])
        assert result.curve.cash[t] == pytest.approx(cash, rel=1e-9, abs=1e-9 * 50_000)
        assert result.curve.equity[t] == pytest.approx(cash + held @ last, rel=1e-9)


@given(seed=st.integers(0, 10**6), fee=st.sampled_from(["zero", "bps", "interactive_brokers"]))
@settings(max_examples=60, deadline=None)
def test_long_weights_up_to_one_never_borrow(seed: int, fee: str) -> None:
    market = random_market(seed, bars=60, symbols=3, missing=0.1)
    targets = random_targets(seed, bars=60, symbols=3)
    targets = Targets(targets.rows, np.abs(targets.weights))
    params = make(cash=10_000, fee=fee, fee_bps=50, slippage_bps=20)
    simulation = Simulation(market, names(3), targets, params)
    simulation.advance()
    result = simulation.result()
    assert result.curve.cash.min() >= -1e-6
    assert "borrow_free" not in [w["code"] for w in result.warnings]


@given(seed=st.integers(0, 10**6), cut=st.integers(1, 58))
@settings(max_examples=60, deadline=None)
def test_the_future_does_not_change_the_past(seed: int, cut: int) -> None:
    """Everything after bar ``cut`` replaced by noise: fills and equity up to it are identical."""
    market = random_market(seed, bars=60, symbols=3)
    noise = random_market(seed + 1, bars=60, symbols=3)
    mixed = Market(
        market.timestamps,
        *(
            np.concatenate([a[: cut + 1], b[cut + 1 :]])
            for a, b in zip(market[1:], noise[1:], strict=True)
        ),
    )
    targets = random_targets(seed, bars=60, symbols=3)
    results = []
    for bars in (market, mixed):
        simulation = Simulation(bars, names(3), targets, make(fee="bps", fee_bps=5))
        simulation.advance()
        results.append(simulation.result())
    one, other = results
    assert one.curve.equity[: cut + 1].tobytes() == other.curve.equity[: cut + 1].tobytes()
    past = [r.fills["timestamp"] <= market.timestamps[cut] for r in results]
    for name in one.fills:
        assert one.fills[name][past[0]].tolist() == other.fills[name][past[1]].tolist()


def test_no_kernel_reorders_its_operations() -> None:
    folder = Path(runtimes.engine.__file__).parent
    sources = "\n".join(path.read_text() for path in folder.glob("*.py"))
    assert not re.findall(r"fastmath\s*=|parallel\s*=|\bprange\(", sources)
