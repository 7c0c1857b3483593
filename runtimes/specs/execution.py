"""Account and execution of a backtest: money, when orders fill, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from runtimes.part import Finite, Grown, Integer, Part
from runtimes.specs.lean import RULES, LeanAccount
from runtimes.specs.terms import BARS, Currency, Piece, Rate, Step, inverse
from runtimes.words import SymbolText, at, choose, unknown, within

BasisPoints = Annotated[Finite, Field(ge=0, le=1_000)]
Yearly = Annotated[Finite, Field(ge=0, le=100_000)]
Fraction = Annotated[Finite, Field(ge=0, le=1)]
Money = Annotated[Finite, Field(ge=0, le=1e6)]


class Portfolio(Grown):
    """The account: starting ``cash``; gross weights may reach ``leverage``.

    ``borrow_bps`` is paid on short positions, ``debit_bps`` on negative cash and ``credit_bps``
    received on positive cash, a year of 365 days. ``maintenance`` is the equity that a position
    needs, as a part of its value; below it a margin call sells. 0 is none. ``lot`` is the smallest
    tradable piece (0: a share, or any fraction where ``fractional``), ``lots`` by symbol; ``tick``
    and ``ticks`` the step of order prices, 0 none. What sales bring may be spent
    ``settlement_days`` sessions later. ``rates`` says what a foreign currency is worth: a forex
    symbol of ``rates_table`` (the bars' own where it is null) or a number.
    """

    later = frozenset(
        {
            *("borrow_bps", "debit_bps", "credit_bps", "maintenance"),
            *("lot", "lots", "tick", "ticks", "settlement_days", "rates", "rates_table"),
        }
    )

    cash: Annotated[Finite, Field(gt=0, le=1e15)] = 100_000.0
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    leverage: Annotated[Finite, Field(gt=0, le=100)] = 1.0
    fractional: bool = False
    borrow_bps: Yearly = 0.0
    debit_bps: Yearly = 0.0
    credit_bps: Yearly = 0.0
    maintenance: Fraction = 0.0
    lot: Step = 0.0
    lots: dict[SymbolText, Piece] = Field(default_factory=dict)
    tick: Step = 0.0
    ticks: dict[SymbolText, Piece] = Field(default_factory=dict)
    settlement_days: Annotated[Integer, Field(ge=0, le=5)] = 0
    rates: dict[Currency, Rate] = Field(default_factory=dict)
    rates_table: Annotated[str, Field(pattern=BARS)] | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.fractional and (self.lot or self.lots):
            problem = PydanticCustomError("lot", "A fractional account trades any piece.")
            raise at("lot" if self.lot else "lots", None, problem)
        if self.settlement_days and self.leverage > 1.0:
            problem = PydanticCustomError("settlement", "Only an account without leverage waits.")
            raise at("settlement_days", self.settlement_days, problem)
        return self

    @model_validator(mode="after")
    def _of_both_currencies(self) -> Self:
        for currency, rate in self.rates.items():
            if currency == self.currency:
                problem = PydanticCustomError("rate", "The account's own currency has no rate.")
                raise within(("rates",), at(currency, rate, problem))
            if isinstance(rate, str):
                try:
                    inverse(rate, currency, self.currency)
                except ValidationError as error:
                    raise within(("rates",), error) from None
        return self

    @field_validator("maintenance")
    @classmethod
    def _within_the_leverage(cls, maintenance: float, info: ValidationInfo) -> float:
        leverage = info.data.get("leverage")
        if leverage is not None and maintenance * leverage > 1.0:
            raise PydanticCustomError(
                "range",
                "With a leverage of {leverage} a full account would be called at once: "
                "at most 1 / leverage.",
                {"leverage": leverage},
            )
        return maintenance

    def rules(self) -> dict[str, Any]:
        """Return the arguments of `runtimes.engine.params.make` that the account decides."""
        by_name = ("cash", "leverage", "fractional", "maintenance")
        yearly = ("borrow_bps", "debit_bps", "credit_bps")
        found = {name: getattr(self, name) for name in (*by_name, *yearly)}
        return found | {"settlement": self.settlement_days}


class ZeroFee(Part):
    """No fee."""

    model: Literal["zero"] = "zero"

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {}


class BpsFee(Part):
    """A part of the traded value, in basis points."""

    model: Literal["bps"] = "bps"
    bps: BasisPoints

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {"fee_bps": self.bps}


class PerShareFee(Part):
    """So much a share, at least ``minimum``, at most ``cap`` of the value (0: no cap)."""

    model: Literal["per_share"] = "per_share"
    per_share: Money
    minimum: Money = 0.0
    cap: Fraction = 0.0

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {
            "fee_per_share": self.per_share,
            "fee_minimum": self.minimum,
            "fee_cap": self.cap,
        }


class MakerTakerFee(Part):
    """Basis points of the value: ``maker_bps`` for orders that rested, else ``taker_bps``."""

    model: Literal["maker_taker"] = "maker_taker"
    maker_bps: BasisPoints
    taker_bps: BasisPoints

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {"fee_bps": self.taker_bps, "fee_maker_bps": self.maker_bps}


class ForexFee(Part):
    """Basis points of the value, at least ``minimum`` an order."""

    model: Literal["forex"] = "forex"
    bps: BasisPoints = 0.2
    minimum: Money = 2.0

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {"fee_bps": self.bps, "fee_minimum": self.minimum}


class InteractiveBrokersFee(Part):
    """0.005 per share, at least 1.00, at most 0.5 % of the value."""

    model: Literal["interactive_brokers"] = "interactive_brokers"

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {}


class NoSlippage(Part):
    """Filled at the bar's price."""

    model: Literal["none"] = "none"

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {}


class BpsSlippage(Part):
    """Filled so many basis points worse than the bar's price."""

    model: Literal["bps"] = "bps"
    bps: BasisPoints

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {"slippage_bps": self.bps}


class HalfSpreadSlippage(Part):
    """Half of the spread between the closes of bid and ask; needs the table of quotes."""

    model: Literal["half_spread"] = "half_spread"

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {}


class VolumeShareSlippage(Part):
    """``impact`` * (part of the bar's volume, at most ``limit``) squared, of the price."""

    model: Literal["volume_share"] = "volume_share"
    limit: Fraction = 0.025
    impact: Annotated[Finite, Field(ge=0, le=1_000)] = 0.1

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {"slippage_coefficient": self.impact, "slippage_limit": self.limit}


class SquareRootSlippage(Part):
    """``coefficient`` * daily volatility * sqrt(quantity / mean daily volume), of the price.

    Both are those of the ``window`` days with bars before the bar's own day.
    """

    model: Literal["square_root"] = "square_root"
    coefficient: Annotated[Finite, Field(ge=0, le=100)] = 1.0
    window: Annotated[Integer, Field(ge=2, le=250)] = 20

    def rules(self) -> dict[str, Any]:
        """Return arguments of `runtimes.engine.params.make`."""
        return {"slippage_coefficient": self.coefficient}


Fee = ZeroFee | BpsFee | PerShareFee | MakerTakerFee | ForexFee | InteractiveBrokersFee
Slippage = NoSlippage | BpsSlippage | HalfSpreadSlippage | VolumeShareSlippage | SquareRootSlippage
FEES: dict[str, type[Part]] = {
    "zero": ZeroFee,
    "bps": BpsFee,
    "per_share": PerShareFee,
    "maker_taker": MakerTakerFee,
    "forex": ForexFee,
    "interactive_brokers": InteractiveBrokersFee,
}
SLIPPAGES: dict[str, type[Part]] = {
    "none": NoSlippage,
    "bps": BpsSlippage,
    "half_spread": HalfSpreadSlippage,
    "volume_share": VolumeShareSlippage,
    "square_root": SquareRootSlippage,
}
FILLS = ["next_close", "next_open", "quote_side", "same_close"]


class Execution(Grown):
    """When targets fill and what it costs. ``next_open`` is the open of the bar after.

    ``max_participation`` is the part of a bar's volume that may be filled, 0 for no limit.
    ``rules: lean_2026`` does all as QuantConnect Lean does, with its timing as ``fill``; ``lean``
    is its account. Orders meet the market ``lag_bars`` bars after their decision. ``intrabar`` says
    which of target and stop a bar that reaches both reached first.
    """

    later = frozenset({"max_participation", "rules", "lean", "lag_bars", "intrabar"})

    fill: Annotated[str, Field(json_schema_extra={"enum": [*FILLS, RULES]})] = "next_open"
    fee: Annotated[Fee, choose("fee model", FEES)] = InteractiveBrokersFee()
    slippage: Annotated[Slippage, choose("slippage model", SLIPPAGES)] = NoSlippage()
    max_participation: Fraction = 0.0
    rules: Literal["standard", "lean_2026"] = "standard"
    lean: LeanAccount = LeanAccount()
    lag_bars: Annotated[Integer, Field(ge=1, le=250)] = 1
    intrabar: Literal["worst", "best", "nearest"] = "worst"

    @model_validator(mode="before")
    @classmethod
    def _timed_by_the_rules(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("rules") == RULES and "fill" not in data:
            return {**data, "fill": RULES}
        return data

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if (self.fill == RULES) != self.by_lean:
            raise at(
                "fill",
                self.fill,
                PydanticCustomError(
                    "lean_rules", "The fill lean_2026 and the rules lean_2026 go together."
                ),
            )
        if not self.by_lean and self.lean != LeanAccount():
            problem = PydanticCustomError("lean_rules", "Only the rules lean_2026 have this key.")
            raise at("lean", None, problem)
        if self.lag_bars > 1 and self.fill == "same_close":
            problem = PydanticCustomError("lag", "same_close fills at once: leave lag_bars out.")
            raise at("lag_bars", self.lag_bars, problem)
        return self

    @property
    def needs_quotes(self) -> bool:
        """Tell whether quotes beside the bars decide about fills."""
        return self.fill == "quote_side" or isinstance(self.slippage, HalfSpreadSlippage)

    @property
    def by_lean(self) -> bool:
        """Tell whether Lean's rules hold."""
        return self.rules == RULES

    @field_validator("fill")
    @classmethod
    def _known(cls, fill: str) -> str:
        if fill not in (*FILLS, RULES):
            raise unknown("fill", fill, [*FILLS, RULES])
        return fill

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `runtimes.engine.params.make` that execution decides."""
        return {
            "fill": self.fill,
            "fee": self.fee.model,
            **self.fee.rules(),
            "slippage": self.slippage.model,
            **self.slippage.rules(),
            "participation": self.max_participation,
            "lag": self.lag_bars,
            "intrabar": self.intrabar,
        }
