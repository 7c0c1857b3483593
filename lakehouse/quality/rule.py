"""What a rule is: a SELECT over `lakehouse.quality.view`, a name, a severity and a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lakehouse.calendars import Resolution

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first. ``error``: the number is wrong. ``warning``: look before you trade on it.
``info``: worth knowing, and often as it should be."""

Kind = Literal["bars", "quotes"]
ANY: tuple[Resolution, ...] = ("1d", "1h", "1m")
INTRADAY: tuple[Resolution, ...] = ("1h", "1m")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at: bars of trades or quotes, and how long a bar is."""

    kind: Kind
    resolution: Resolution

    @property
    def daily(self) -> bool:
        """Tell whether a bar is a day."""
        return self.resolution == "1d"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the view.

    ``sql(scope)`` selects ``vt_symbol, timestamp, since, value, detail``: what is found concerns
    the bars that end from ``since`` to ``timestamp``; the larger ``value`` (its sign aside), the
    worse. ``because`` is a sentence for the reader. A rule with ``calendar`` sees nothing of
    symbols whose exchange has no calendar.
    """

    name: str
    severity: Severity
    because: str
    sql: Callable[[Scope], str]
    kinds: tuple[Kind, ...] = ("bars", "quotes")
    resolutions: tuple[Resolution, ...] = ANY
    calendar: bool = False

    def fits(self, scope: Scope) -> bool:
        """Tell whether the rule has something to say of such bars."""
        return scope.kind in self.kinds and scope.resolution in self.resolutions


def rule(
    severity: Severity,
    because: str,
    *,
    kinds: tuple[Kind, ...] = ("bars", "quotes"),
    resolutions: tuple[Resolution, ...] = ANY,
    calendar: bool = False,
) -> Callable[[Callable[[Scope], str]], Rule]:
    """Make a rule of a function from a scope to SQL; its name is the function's."""

    def made(sql: Callable[[Scope], str]) -> Rule:
        return Rule(sql.__name__, severity, because, sql, kinds, resolutions, calendar)

    return made


def each(value: str, detail: str, where: str) -> str:
    """Return the SELECT of the bars of the view that ``where`` finds, one finding each."""
    return (
        f'SELECT vt_symbol, "timestamp", "timestamp" AS since, ({value})::DOUBLE AS value, '  # noqa: S608
        f"{detail} AS detail FROM seen WHERE {where}"
    )
