"""Terms of trade from the spec to the result: quotes, currencies, lots, sessions, settlement."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakehouse import query
from lakehouse.scan import Where
from lakehouse.write import append_arrow
from ledger import runs
from runtimes import dispatch
from runtimes.backtest import bars, terms
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.engine.arrays import FIRST_OF_SESSION, LAST_OF_SESSION
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tests.kit.market import SPEC_SHA, START, put, walks
from topology.errors import InvalidSpecError, UnknownNameError
from topology.ids import new_id
from topology.principal import Principal

TABLE = "alphaswarm_silver_terms.bars_1d"
QUOTES = "alphaswarm_silver_terms.quotes_1d"
RATES = "alphaswarm_silver_termsfx.bars_1d"
BARE = "alphaswarm_silver_termsbare.bars_1d"
DOLLARS, EUROS = "AAA.TEST", "EEE.TEST"
RATE = "EURUSD.TEST"
OTTO = Principal(subject="terms-otto", client_id="tests")


def flat(symbol: str, price: float, *, bars: int, currency: str = "USD", move: float = 0.0) -> Any:
    """Return daily bars at one price, ``move`` higher each day."""
    close = price + move * np.arange(bars)
    times = int(START.timestamp() * 1e6) + 86_400_000_000 * np.arange(bars)
    return pa.table(
        {
            "vt_symbol": [symbol] * bars,
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": np.full(bars, 1e6),
            "currency": [currency] * bars,
        }
    )


def quotes(symbol: str, *, bars: int) -> pa.Table:
    trades = flat(symbol, 10.0, bars=bars)
    named = {
        f"{side}_{part}": np.full(bars, price)
        for side, price in (("bid", 9.9), ("ask", 10.1))
        for part in ("open", "high", "low", "close")
    }
    rows = trades.select(["vt_symbol", "timestamp", "currency"])
    for name, column in named.items():
        rows = rows.append_column(name, pa.array(column))
    run_id = new_id(START)
    extra = {
        "bid_size": pa.array(np.full(bars, 1.0)),
        "ask_size": pa.array(np.full(bars, 1.0)),
        "source": pa.array(["test"] * bars),
        "ingested_at": pa.array([START] * bars, pa.timestamp("us", tz="UTC")),
        "run_id": pa.array([run_id] * bars),
    }
    for name, column in extra.items():
        rows = rows.append_column(name, column)
    return rows


@pytest.fixture(scope="module", autouse=True)
def lake(workshop: Workshop) -> None:
    """Put a stock in dollars, one in euros, a forex symbol and quotes into the lake, once."""
    both = pa.concat_tables(
        [flat(DOLLARS, 10.0, bars=60), flat(EUROS, 20.0, bars=60, currency="EUR")]
    )
    put(workshop, TABLE, both)
    put(workshop, BARE, walks([DOLLARS], bars=60))
    put(workshop, RATES, flat(RATE, 1.0, bars=60, move=0.01))
    run_id = new_id(START)
    append_arrow(
        "silver",
        QUOTES,
        quotes(DOLLARS, bars=60),
        key=f"{run_id}:silver",
        run_id=run_id,
        spec_sha256=SPEC_SHA,
        log=workshop.log,
        lake=workshop.lake,
    )


def body(symbols: list[str], *, table: str = TABLE, **parts: Any) -> dict[str, Any]:
    blocks: dict[str, Any] = {
        "portfolio": {"cash": 1_000},
        "execution": {"fee": {"model": "zero"}},
    }
    for name, keys in parts.items():
        blocks[name] = {**blocks[name], **keys}
    return {
        "kind": "backtest",
        "name": "terms",
        "universe": {"symbols": symbols},
        "data": {"table": table, "start": "2001-01-05", "end": "2001-02-20", "adjust": "total"},
        "strategy": {"name": "buy_and_hold", "params": {}},
        **blocks,
    }


def backtest(workshop: Workshop, spec: dict[str, Any]) -> runs.Run:
    handle = dispatch.submit(
        workshop.pool,
        parse("backtest", spec),
        principal=OTTO,
        queue="interactive",
        clock=workshop.clock,
    )
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id)


def statistics(workshop: Workshop, spec: dict[str, Any]) -> dict[str, Any]:
    run = backtest(workshop, spec)
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    return dict(run.statistics)


def spec_of(**changes: Any) -> BacktestSpec:
    return BacktestSpec.model_validate(body(**changes))


def test_a_stock_in_euros_earns_what_the_euro_earns(workshop: Workshop) -> None:
    rates = {"rates": {"EUR": RATE}, "rates_table": RATES}
    found = statistics(workshop, body([EUROS], portfolio={**rates, "cash": 1_040}))
    # Bought at the open of the 6th at the rate of the 5th, 1.04: 50 shares for 1,000 euros, which
    # cost 1,050 dollars at that day's close (1.05) and are worth 1,500 at the end (1.50).
    assert found["end_equity"] == pytest.approx(1_040 + 1_000 * (1.50 - 1.05))


def test_a_fixed_rate_and_the_other_way_round_are_rates_too(workshop: Workshop) -> None:
    pegged = statistics(workshop, body([EUROS], portfolio={"rates": {"EUR": 2.0}}))
    assert pegged["end_equity"] == 1_000
    inverse = {"currency": "EUR", "rates": {"USD": RATE}, "rates_table": RATES}
    found = statistics(workshop, body([DOLLARS], portfolio=inverse))
    # 1,000 euros are 1,040 dollars: 104 shares, exchanged at 1.05, worth 1 / 1.50 at the end.
    assert found["end_equity"] == pytest.approx(1_000 + 1_040 * (1 / 1.50 - 1 / 1.05))


def test_rates_are_pinned_like_bars(workshop: Workshop) -> None:
    spec = spec_of(symbols=[EUROS], portfolio={"rates": {"EUR": RATE}, "rates_table": RATES})
    assert RATES in bars.checked_pins(workshop.lake, spec)


def test_foreign_money_without_a_rate_fails_the_run_with_its_key(workshop: Workshop) -> None:
    run = backtest(workshop, body([DOLLARS, EUROS]))
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "invalid_spec"
    assert run.error["facts"]["errors"][0]["path"] == "portfolio.rates.EUR"
    assert "EURUSD" in run.error["hint"]


def test_a_rate_that_begins_too_late_fails_the_run(workshop: Workshop) -> None:
    late = body([EUROS], portfolio={"rates": {"EUR": RATE}, "rates_table": RATES})
    spec = BacktestSpec.model_validate(late)
    times = np.array([int(START.timestamp()) * 10**9 - 1])
    read = {RATE: (np.array([times[0] + 1]), np.array([1.0]))}
    assert np.isnan(terms.rate_at(spec.portfolio, "EUR", read, times)).all()
    with pytest.raises(InvalidSpecError, match="no rate of EUR"):
        terms._refuse_late(["EUR"], np.array([[np.nan]]), times, 0)


def test_an_unknown_rate_is_refused_with_the_nearest(workshop: Workshop) -> None:
    wrong = {"rates": {"EUR": "EURUSD.NOBODY"}, "rates_table": RATES}
    with pytest.raises(UnknownNameError) as caught:
        bars.check(workshop.lake, spec_of(symbols=[EUROS], portfolio=wrong))
    assert caught.value.facts["errors"][0]["path"] == "portfolio.rates.EUR"
    assert caught.value.facts["errors"][0]["nearest"] == [RATE]


def test_quote_side_buys_at_the_ask(workshop: Workshop) -> None:
    found = statistics(
        workshop, body([DOLLARS], execution={"fill": "quote_side"}, portfolio={"cash": 1_010})
    )
    assert found["end_equity"] == pytest.approx(1_000)


def test_quote_side_without_quotes_is_refused_by_its_key(workshop: Workshop) -> None:
    with pytest.raises(UnknownNameError) as caught:
        bars.check(
            workshop.lake,
            spec_of(symbols=[DOLLARS], table=BARE, execution={"fill": "quote_side"}),
        )
    assert caught.value.facts["errors"][0]["path"] == "execution.fill"


@pytest.mark.parametrize(
    ("parts", "quantity", "day"),
    [
        pytest.param({"portfolio": {"lots": {DOLLARS: 30}}}, 90, 6, id="three lots of thirty"),
        pytest.param({"portfolio": {"lot": 7}}, 98, 6, id="fourteen lots of seven"),
        pytest.param({"portfolio": {"settlement_days": 2}}, 100, 6, id="settled cash buys all"),
        pytest.param({"execution": {"lag_bars": 3}}, 100, 8, id="three bars later"),
    ],
)
def test_the_terms_of_a_spec_reach_the_fills(
    workshop: Workshop, parts: dict[str, Any], quantity: float, day: int
) -> None:
    run = backtest(workshop, body([DOLLARS], **parts))
    assert run.result_tables is not None, run.error
    fills = query.read(workshop.lake, run.result_tables["fills"], where=Where(run_id=run.run_id))
    assert fills["quantity"].to_pylist() == [quantity]
    assert [moment.day for moment in fills["timestamp"].to_pylist()] == [day]


def test_sessions_are_the_days_of_the_exchange() -> None:
    utc = dt.UTC
    ends = [
        dt.datetime(2013, 10, 7, 20, 0, tzinfo=utc),  # Monday 16:00 in New York
        dt.datetime(2013, 10, 7, 23, 59, tzinfo=utc),
        dt.datetime(2013, 10, 8, 0, 30, tzinfo=utc),  # still Monday evening there
        dt.datetime(2013, 10, 8, 13, 31, tzinfo=utc),
    ]
    times = np.array([int(end.timestamp()) * 10**9 for end in ends])
    first, last = FIRST_OF_SESSION, LAST_OF_SESSION
    assert terms.sessions(times, ("IBM.NYSE",)).tolist() == [first, 0, last, first | last]
    assert terms.sessions(times, ("BTCUSD.GDAX",)).tolist() == [first, last, first, last]
