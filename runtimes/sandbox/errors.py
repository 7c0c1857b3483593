"""What is said where submitted source cannot run, or does not keep to the line."""

from __future__ import annotations

from collections.abc import Iterable

from runtimes.engine.errors import StrategyError
from topology.errors import BadInputError


class SandboxUnavailableError(BadInputError):
    """This machine cannot confine submitted source; ``facts["lacking"]`` names what it lacks."""

    code = "sandbox_unavailable"


class NonsenseError(StrategyError):
    """A strategy's process sent what no strategy sends: the run ends, nothing is answered."""


def unavailable(lacking: Iterable[str]) -> SandboxUnavailableError:
    """Return the error of a machine that lacks what holds a cell."""
    names = sorted(lacking)
    return SandboxUnavailableError(
        f"Submitted source is not run on this machine: it has no {', '.join(names)}.",
        hint="Run the workers on Linux 5.13 or later (x86-64, ARM64) with Landlock, or install the "
        "strategy as a package.",
        lacking=names,
    )


def nonsense(what: str) -> NonsenseError:
    """Return the error of a strategy that says what no strategy says."""
    return NonsenseError(
        f"The strategy's process sent {what}: it is not believed.",
        hint="Use the account that the methods are handed, and nothing below it.",
    )


def died() -> StrategyError:
    """Return the error of a strategy whose process is gone."""
    return StrategyError(
        "The strategy ended its process.",
        hint="It took more memory or processor time than limits.strategy gives, exited or crashed.",
    )
