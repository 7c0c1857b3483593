"""Rules that press the kill switch by themselves: a meter, a bound, a scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, NonNegativeFloat

from topology.errors import BadInputError, did_you_mean
from topology.fields import Seconds, Section
from topology.latch import ORDERS, Orders, parse_scope
from topology.marks import Path

METERS: Mapping[str, str] = {
    "failures": "share of the runs that ended in the window and failed, of at least `least`",
    "stale": "seconds since the last append to `table`",
    "loss": "money lost in the window, as streams report it",
    "orders": "orders sent in the window, as streams report them",
    "rejects": "orders refused by a venue in the window, as streams report them",
}
"""What can be watched, and in which unit."""


class Trigger(Section):
    """Halt ``scope`` when ``meter`` is above a bound; a person resumes it as any other halt."""

    meter: str
    above: NonNegativeFloat
    window_s: Seconds = 60
    scope: str = "all"
    orders: Orders = ORDERS[0]
    table: str | None = None
    least: Annotated[int, Field(ge=1, le=1_000_000)] = 5


def findings(triggers: Mapping[str, Trigger]) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with a rule: one that can never fire is worse than none."""
    for name, rule in triggers.items():
        here: Path = ("triggers", name)
        if rule.meter not in METERS:
            hint = did_you_mean(rule.meter, METERS) or f"There are {', '.join(METERS)}."
            yield (*here, "meter"), f"nothing measures that, so the rule would never fire. {hint}"
        if (rule.meter == "stale") != (rule.table is not None):
            yield (*here, "table"), "belongs to the meter stale, which needs it"
        if rule.meter == "failures" and rule.above >= 1:
            yield (*here, "above"), "is a share of runs: below 1"
        try:
            parse_scope(rule.scope)
        except BadInputError as error:
            yield (*here, "scope"), f"{error.message} {error.hint}"
