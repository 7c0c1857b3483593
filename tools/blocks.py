"""A base spec and the blocks that make many trials of it, laid together."""

from __future__ import annotations

from typing import Any

from runtimes.specs.reading import read
from tools.registry import Office
from topology.errors import InvalidSpecError
from topology.ids import is_id

RESUME = "resume_from"


def laid(
    office: Office, spec: dict[str, Any] | str, *, needed: str, foreign: str = "", **given: Any
) -> dict[str, Any]:
    """Return the spec as an object with the ``given`` blocks in it; a null one is left out.

    Raises `InvalidSpecError` where it lacks the ``needed`` block, has a ``foreign`` one, or says a
    block twice in different words.
    """
    limits = office.topology.limits.spec
    found = read(spec, limit=limits.bytes, depth=limits.depth) if isinstance(spec, str) else spec
    body = dict(found) if isinstance(found, dict) else {"kind": found}
    for name, block in given.items():
        if block is None:
            continue
        if body.get(name) not in (None, block):
            raise _refused(name, f"{name} stands in the spec and beside it, in different words.")
        body[name] = block
    if body.get(needed) is None:
        raise _refused(needed, f"There is no block {needed}: nothing to try.")
    if foreign and body.get(foreign) is not None:
        raise _refused(foreign, f"A spec with {foreign} is submitted by submit_{foreign}.")
    return body


def inputs(resume_from: str | None) -> dict[str, str]:
    """Return the arguments outside the spec that belong to the run's identity."""
    if resume_from is None:
        return {}
    if not is_id(resume_from):
        raise InvalidSpecError(
            f"{resume_from[:64]!r} is not a run id.",
            hint="A run id has 26 characters of a-z and 0-9; take it from list_runs.",
            errors=[{"path": RESUME, "value": resume_from[:64], "problem": "This is no run id."}],
        )
    return {RESUME: resume_from}


def _refused(path: str, problem: str) -> InvalidSpecError:
    return InvalidSpecError(
        problem,
        hint="Give the block once: in the spec, or as an argument.",
        errors=[{"path": path, "problem": problem}],
    )
