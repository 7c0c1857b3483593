"""Presses the kill switch when a meter is above the bound of a rule, as the actor ``system``."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ledger import meters
from ledger.halts import Halts
from ledger.pool import Pool
from topology.triggers import Trigger

LOOK_S = 1.0
"""How often the meters are read, in seconds."""
ACTOR = "system"

_log = logging.getLogger(__name__)


def look(pool: Pool, switch: Halts, triggers: Mapping[str, Trigger]) -> list[str]:
    """Press every rule whose meter is above its bound; return their names.

    A scope that is halted already is left alone: its halt keeps the name of who came first.
    """
    if not triggers:
        return []
    halted = {halt.scope for halt in switch.status().scopes}
    pressed: list[str] = []
    for name, rule in triggers.items():
        if rule.scope in halted or (value := measured(pool, rule)) <= rule.above:
            continue
        reason = f"trigger {name}: {rule.meter} {value:g} is above {rule.above:g}"
        switch.press(
            rule.scope,
            actor=ACTOR,
            acr="",
            auth_time=0,
            reason=reason,
            orders=rule.orders,
            facts={"trigger": name},
        )
        _log.warning("halted %s: %s", rule.scope, reason)
        halted.add(rule.scope)
        pressed.append(name)
    return pressed


def measured(pool: Pool, rule: Trigger) -> float:
    """Return what a rule's meter reads now; what was there at the last resume counts no more."""
    if rule.meter == "stale":
        return meters.silence_s(pool, rule.table or "", rule.scope)
    if rule.meter == "failures":
        found = meters.ended(pool, rule.scope, window_s=rule.window_s)
        return found.failed / found.ended if found.ended >= rule.least else 0.0
    return meters.total(pool, rule.meter, rule.scope, window_s=rule.window_s)
