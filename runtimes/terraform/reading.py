"""From the program's plan to ours: what would change, what it rests on, who has to agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from runtimes.changes import Action, Change, Plan
from runtimes.terraform.formats import DESTROYS, QUIET, PlanShown, ResourceChange, State
from topology.errors import BadInputError

_ACTIONS: dict[str, Action] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "delete": "destroy",
    "forget": "update",
}
_DETAILS = {"forget": "It leaves the state; the thing itself stays."}


def read(
    shown: PlanShown, state: State, *, hashes: tuple[str, str], mode: str, stores: Iterable[str]
) -> Plan:
    """Return the plan that a person approves; no value of any resource is in it.

    ``hashes`` are those of ``plan.bin`` and its JSON. Two approvals are needed where a resource of
    a type that ``stores`` (patterns) denies would be destroyed. A module from elsewhere than the
    tree is refused: the spec's hash would not cover it.
    """
    refuse_foreign_modules(shown)
    patterns = tuple(stores)
    denied = sorted(
        one.address
        for one in _loud(shown.resource_changes)
        if one.action in DESTROYS and any(fnmatchcase(one.type, pattern) for pattern in patterns)
    )
    facts: dict[str, Any] = {
        "mode": mode,
        "plan_bin_sha256": hashes[0],
        "plan_json_sha256": hashes[1],
        "state_serial": state.serial,
        "state_lineage": state.lineage,
        "drift": [_drifted(one).body() for one in _loud(shown.resource_drift)],
        "stores": denied,
    }
    return Plan(tuple(changes(shown, mode)), facts, 2 if denied else 1)


def changes(shown: PlanShown, mode: str) -> Iterator[Change]:
    """Yield what would change: resources, then outputs; of a refresh, what the state takes over."""
    if mode == "refresh":
        yield from (_drifted(one) for one in _loud(shown.resource_drift))
    for one in shown.resource_changes:
        if one.action not in QUIET:
            yield Change(one.address, _ACTIONS[one.action], _DETAILS.get(one.action, ""))
        elif one.change.importing is not None:
            yield Change(one.address, "update", "It is taken over into the state.")
        elif one.previous_address:
            yield Change(one.address, "update", f"It was {one.previous_address} before.")
    for name, output in shown.output_changes.items():
        if output.actions not in (("no-op",), ("read",)):
            action: Action = "create" if output.actions == ("create",) else "update"
            yield Change(f"output.{name}", action)


def refuse_foreign_modules(shown: PlanShown) -> None:
    """Raise where a module is called that is no part of the tree."""
    for name, source in shown.configuration.root_module.sources():
        if not source.startswith(("./", "../")):
            raise BadInputError(
                f"The module {name!r} comes from elsewhere than the stack's own files.",
                hint="Put its files into the tree and call it by ./PATH: the hash covers them.",
                code="invalid_spec",
                errors=[{"path": f"module.{name}", "value": source[:80], "problem": "Not local."}],
            )


def _loud(found: Iterable[ResourceChange]) -> Iterator[ResourceChange]:
    return (one for one in found if one.action not in QUIET)


def _drifted(one: ResourceChange) -> Change:
    gone = one.action == "delete"
    return Change(one.address, "update", "It is gone." if gone else "It was changed outside.")
