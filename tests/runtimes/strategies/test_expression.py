"""Strategies said as expressions: the language of features, its limits, and what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.features.operators import FIELDS, OPERATORS
from runtimes.engine.arrays import Floats, Market, each
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import View, plan
from runtimes.strategies.expression import STRATEGY
from tests.kit.engine import flat_market, names, random_market, sample_market
from topology.errors import InvalidSpecError, UnknownNameError

NAN = float("nan")


def spec(signal: Any, **more: Any) -> Any:
    """Return the parsed spec of a strategy that holds the highest ``signal``."""
    params = {"signal": signal, "rank": {"method": "top", "n": 1}, **more}
    return parse(
        "backtest",
        {
            "name": "said",
            "universe": {"symbols": ["AAA.TEST", "BBB.TEST"]},
            "data": {"start": "2001-01-01", "end": "2002-01-01"},
            "strategy": {"name": "expression", "params": params},
        },
    )


def signal(text: str, market: Market, **more: Any) -> Floats:
    """Return the signal (T, N) of an expression."""
    given_ = {"signal": text, "rank": {"method": "top", "n": 1}}
    view = View(market, 0, symbols=names(market.close.shape[1]), **more)
    assert STRATEGY.signal is not None
    return STRATEGY.signal(view, STRATEGY.params.model_validate(given_))


def test_an_expression_says_what_a_registered_strategy_does() -> None:
    """Momentum over 126 bars, on real prices: the same decisions to the last bit."""
    market, symbols = sample_market()
    view = View(market, 300, symbols=symbols)
    said = STRATEGY.params.model_validate(
        {"signal": "$close/Ref($close, 126) - 1", "rank": {"method": "top", "n": 3}}
    )
    momentum = STRATEGIES.weights("momentum")
    ours, theirs = plan(STRATEGY, said, view), plan(momentum, momentum.params(), view)
    assert ours.rows.tolist() == theirs.rows.tolist()
    assert ours.weights.tolist() == theirs.weights.tolist()


class TestSignals:
    def test_a_symbol_waits_for_as_many_own_bars_as_a_window_has(self) -> None:
        market = flat_market([[1, 1], [2, NAN], [3, 2], [4, 3]])
        found = signal("Mean($close, 3)", market)
        assert found.tolist() == pytest.approx(
            np.array([[NAN, NAN], [NAN, NAN], [2, NAN], [3, 2]]), nan_ok=True
        )

    def test_an_exponential_mean_waits_for_its_span_and_takes_in_what_was_before(self) -> None:
        """EMA(x, 3), alpha 1/2: (4 + 2/2 + 1/4) / (1 + 1/2 + 1/4) = 3."""
        found = signal("EMA($close, 3)", flat_market([[1], [2], [4]]))
        assert found[:, 0].tolist() == pytest.approx([NAN, NAN, 3], nan_ok=True)
        assert STRATEGY.warmup(spec("EMA($close, 3)").strategy.params) == 9 * 3

    @pytest.mark.parametrize(
        ("text", "bars"),
        [
            ("$close", 1),
            ("$close/Ref($close, 126)", 127),
            ("Mean($close, 20)", 20),
            ("Corr($close, Ref($volume, 5), 10)", 15),
            ("EMA(Mean($close, 5), 10)", 94),
        ],
    )
    def test_the_warm_up_is_how_far_the_expression_looks_back(self, text: str, bars: int) -> None:
        assert spec(text).warmup == bars
        risk = {"method": "inverse_volatility", "bars": 60}
        assert spec(text, weights=risk).warmup == max(bars, 61)

    def test_an_infinity_is_no_signal(self) -> None:
        assert np.isnan(signal("1/($close - 1)", flat_market([[1, 2]]))).tolist() == [[True, False]]

    def test_ranks_count_members_with_a_bar(self) -> None:
        market = flat_market([[4, 3, 2, NAN]])
        member = np.array([[False, True, True, True]])
        found = signal("CSRank($close)", market, member=member)
        assert found.tolist() == pytest.approx(np.array([[NAN, 1, 0.5, NAN]]), nan_ok=True)

    def test_another_symbol_may_be_named(self) -> None:
        market = flat_market([[4, 3], [8, 3]])
        found = signal('$close/ChangeInstrument("S000.TEST", $close)', market)
        assert found.tolist() == [[1, 0.75], [1, 0.375]]

    def test_what_is_computed_does_not_depend_on_where_loading_began(self) -> None:
        """An EMA that lacks what lies more than nine spans back is the same in float32."""
        market = random_market(3, bars=200, symbols=1)
        late = each(market, lambda column: column[100:])
        whole, part = (signal("EMA($close, 10)", m)[-1, 0] for m in (market, late))
        assert whole == pytest.approx(part, rel=1e-7)


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("Ref($close, -1)", "lookahead_expression"),
            ("Delta($close, -5)", "lookahead_expression"),
            ("Mean(Ref($close, -1), 5)", "lookahead_expression"),
            ("Ref($close, 0)", "expression_syntax"),
            ("Mean($close, 0)", "expression_syntax"),
            ("Mean($close, 2521)", "expression_syntax"),
            ("", "expression_syntax"),
            ("1 + 1", "expression_syntax"),
            ("$close > 1 > 2", "expression_syntax"),
            ("$close\0", "expression_syntax"),
            ("__import__('os')", "expression_syntax"),
            ("lambda: 1", "expression_syntax"),
            ("$close.mean()", "expression_syntax"),
            ("(" * 300 + "$close" + ")" * 300, "expression_syntax"),
            ("-" * 4_000 + "$close", "expression_syntax"),
            ("+" * 100_000, "expression_syntax"),
            ("$close+" * 600 + "$close", "expression_syntax"),
            ("9" * 5_000, "expression_syntax"),
            ("Meen($close, 5)", "unknown_name"),
            ("$clos", "unknown_name"),
            ("TResample($close, 'W', 'last')", "unknown_name"),
        ],
        ids=lambda text: text[:24] if isinstance(text, str) else None,
    )
    def test_what_is_no_signal_is_refused_with_its_code(self, text: str, code: str) -> None:
        with pytest.raises((InvalidSpecError, UnknownNameError)) as caught:
            spec(text)
        assert caught.value.wire_code == code
        assert caught.value.facts["errors"][0]["path"] == "strategy.params.signal"

    def test_size_is_looked_at_first(self) -> None:
        assert spec(f"$close{' ' * 4_000}").warmup == 1
        with pytest.raises(InvalidSpecError, match="at most 4096 bytes"):
            spec(f"$close{' ' * 4_100}")
        with pytest.raises(InvalidSpecError, match="at most 4096 bytes"):
            spec("\N{SNOWMAN}" * 2_000)

    @pytest.mark.parametrize("value", [None, 3, ["$close"], {"signal": "$close"}], ids=str)
    def test_what_is_no_text_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidSpecError):
            spec(value)

    def test_a_symbol_that_is_named_must_be_in_the_universe(self) -> None:
        with pytest.raises(UnknownNameError) as caught:
            spec('$close/ChangeInstrument("AAB.TEST", $close)')
        (error,) = caught.value.facts["errors"]
        assert (error["path"], error["value"]) == ("strategy.params", "AAB.TEST")
        assert "AAA.TEST" in error["nearest"]


TREES = st.recursive(
    st.sampled_from([f"${name}" for name in (*FIELDS, "nothing")])
    | st.integers(-9, 9_999).map(str)
    | st.sampled_from(["1e999", "nan", "'AAA.TEST'", "$", "", "x.y", "[1]", "a if b else c"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from([*OPERATORS, "P", "eval"]), st.lists(inner, max_size=3)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        st.tuples(inner, st.sampled_from(["+", "-", "/", "**", ">", "&", "|", "=="]), inner).map(
            " ".join
        ),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=12,
)


@given(text=TREES | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_is_a_spec_or_an_error_of_specs(text: str) -> None:
    refused: Any = None
    try:
        assert spec(text).warmup >= 1
    except (InvalidSpecError, UnknownNameError) as error:
        refused = error
    assert refused is None or refused.facts["errors"]


SOUND = st.recursive(
    st.sampled_from([f"${name}" for name in FIELDS]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["Mean", "Std", "Ref", "EMA", "Rank", "Slope"]), inner).map(
            lambda call: f"{call[0]}({call[1]}, 3)"
        ),
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(
            lambda both: f"({' '.join(both)})"
        ),
        inner.map(lambda text: f"CSRank({text})"),
    ),
    max_leaves=5,
)


@given(text=SOUND, cut=st.integers(5, 29), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_no_expression_knows_the_future(text: str, cut: int, seed: int) -> None:
    market = random_market(seed, bars=30, symbols=3, missing=0.2)
    whole = signal(text, market)[: cut + 1]
    past = signal(text, each(market, lambda column: column[: cut + 1]))
    assert np.array_equal(whole, past, equal_nan=True)
