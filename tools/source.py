"""Who may submit a spec that brings source: whoever proved a second factor, and no agent.

The gate asks `rule` about a call, to challenge; `permit` judges the spec as it was parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auth.policy import Challenge, Rule, decide
from runtimes.sandbox import calls
from runtimes.sandbox.errors import unavailable
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.reading import read
from topology.clock import Clock
from topology.errors import AlphaSwarmError, RefusedError
from topology.principal import Principal

SCOPE = "backtest:code"
CODE = Rule(scopes=(SCOPE,), step_up="mfa")
KEY = "code"


def rule(arguments: Mapping[str, Any]) -> Rule | None:
    """Return what arguments whose spec brings source need; None where they bring none.

    A text that cannot be read is nobody's source: the tool refuses it.
    """
    spec = arguments.get("spec")
    if isinstance(spec, str):
        if KEY not in spec and "\\" not in spec:  # spelt with escapes it is the same key
            return None
        try:
            spec = read(spec)
        except AlphaSwarmError:
            return None
    chosen = spec.get("strategy") if isinstance(spec, Mapping) else None
    brings = isinstance(chosen, Mapping) and chosen.get(KEY) is not None
    return CODE if brings else None


def permit(spec: BacktestSpec, caller: Principal, clock: Clock) -> None:
    """Raise `RefusedError` unless ``caller`` may submit ``spec``, however it was written."""
    if spec.strategy.code is None:
        return
    verdict = decide(CODE, caller, clock.now().timestamp())
    if isinstance(verdict, Challenge):
        held = SCOPE in caller.scopes
        raise RefusedError(
            "Source in a spec needs the scope backtest:code and a fresh second factor.",
            hint=f"Sign in again with a second factor and allow {SCOPE}; an agent cannot.",
            code="step_up_required" if held else "insufficient_scope",
            scope=verdict.scope,
        )


def refuse_unconfined(spec: BacktestSpec) -> None:
    """Raise `SandboxUnavailableError` for source that this kernel cannot hold."""
    if spec.strategy.code is not None and (lacking := calls.lacking()):
        raise unavailable(lacking)
