"""Trials: the spec of each combination of swept parameters, validated like any other spec."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from runtimes.part import Part
from runtimes.specs.sweep import Range, Sweep, expand
from runtimes.words import within
from topology.errors import BadInputError

S = TypeVar("S", bound=Part)
BLOCKS = ("sweep", "walk_forward")
SWEPT = ("strategy", "portfolio", "execution")
REFUSED = 20
"""Wrong trials after which the others are not looked at."""


@dataclass(frozen=True, slots=True)
class Trial(Generic[S]):
    """One combination: ``params`` by path, and the plain spec that it is the trial of."""

    number: int
    params: Mapping[str, Any]
    spec: S


def check(planned: int, limit: int) -> None:
    """Raise `BadInputError` if more trials are ``planned`` than this installation allows."""
    if planned > limit:
        raise BadInputError(
            f"The sweep has {planned} trials; {limit} are allowed.",
            hint="Take fewer values, method: random, or raise limits.sweep.trials.",
            errors=[
                {
                    "path": "sweep",
                    "value": planned,
                    "problem": f"At most {limit} trials are allowed.",
                }
            ],
        )


def trials_of(spec: S, sweep: Sweep | None, *, seed: int) -> tuple[Trial[S], ...]:
    """Return the trials of ``spec`` in order, one of no parameters where there is no sweep.

    Problems carry the path of the swept value, ``sweep.params`` where only a combination is wrong.
    """
    plain = {name: getattr(spec, name) for name in type(spec).model_fields if name not in BLOCKS}
    if sweep is None:
        return (Trial(0, {}, type(spec).model_validate(plain)),)
    body = {name: getattr(spec, name).model_dump(mode="json") for name in SWEPT}
    try:
        combinations = expand(sweep, body, seed=seed)
    except PydanticCustomError as problem:
        raise _at(("sweep", "params"), None, problem) from None
    except ValidationError as error:
        raise within(("sweep", "params"), error) from None
    found: list[Trial[S]] = []
    wrong: dict[str, InitErrorDetails] = {}
    for number, params in enumerate(combinations):
        try:
            own = type(spec).model_validate({**plain, **_changed(body, params)})
        except ValidationError as error:
            for line in error.errors(include_url=False):
                detail = _told(dict(line), params, sweep)
                wrong.setdefault(repr(detail["loc"]), detail)
        else:
            found.append(Trial(number, params, own))
        if len(wrong) >= REFUSED:
            break
    if wrong:
        raise ValidationError.from_exception_data("spec", list(wrong.values()))
    return tuple(found)


def _changed(body: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``body`` with each path of ``params`` set; new keys are made on the way."""
    changed = copy.deepcopy(dict(body))
    for path, value in params.items():
        *above, last = path.split(".")
        place: Any = changed
        for key in above:
            inner = place.get(key)
            place[key] = inner if isinstance(inner, dict) else {}
            place = place[key]
        place[last] = value
    return changed


def _told(line: dict[str, Any], params: Mapping[str, Any], sweep: Sweep) -> InitErrorDetails:
    """Return a trial's problem as one of the sweep: at its value, or at the combination."""
    where = ".".join(str(part) for part in line["loc"])
    path = next((p for p in params if where == p or where.startswith(f"{p}.")), None)
    context = {**line.get("ctx", {})}
    if path is None:
        shown = ", ".join(f"{p.rpartition('.')[2]} {value}" for p, value in params.items())
        text = f"{line['msg']} ({shown}) Add a constraint, or leave the value out."
        return _detail(("sweep", "params"), dict(params), line["type"], text, context)
    place: tuple[int | str, ...] = ("sweep", "params", path)
    spread = sweep.params[path]
    if not isinstance(spread, Range):
        place = (*place, list(spread).index(params[path]))
    return _detail(place, params[path], line["type"], line["msg"], context)


def _detail(
    place: tuple[int | str, ...], value: Any, kind: str, text: str, context: dict[str, Any]
) -> InitErrorDetails:
    problem = PydanticCustomError(kind, "{text}", {**context, "text": text})
    return InitErrorDetails(type=problem, loc=place, input=value)


def _at(place: tuple[int | str, ...], value: Any, problem: PydanticCustomError) -> ValidationError:
    line = InitErrorDetails(type=problem, loc=place, input=value)
    return ValidationError.from_exception_data("spec", [line])
