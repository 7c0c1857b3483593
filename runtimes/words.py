"""Words that specs and strategies share: symbols, days, a family's member, unknown names."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from runtimes.part import Part
from topology.errors import AlphaSwarmError, nearest
from topology.symbols import Symbol

UNKNOWN = "unknown_name"
"""The error type that a validator raises for a name that no family has."""
FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2199, 12, 31)
"""Bars begin no earlier; 64-bit nanoseconds, in which the engine counts, end in 2262."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def at(key: str, value: Any, problem: PydanticCustomError) -> ValidationError:
    """Return a problem that only the whole spec shows as one of the ``key`` that it concerns."""
    line = InitErrorDetails(type=problem, loc=(key,), input=value)
    return ValidationError.from_exception_data("spec", [line])


def within(place: tuple[int | str, ...], error: ValidationError) -> ValidationError:
    """Return the problems of ``error`` as those of what lies at ``place`` of the whole."""
    lines = [
        InitErrorDetails(
            type=PydanticCustomError(
                line["type"], "{text}", {**line.get("ctx", {}), "text": line["msg"]}
            ),
            loc=(*place, *(part for part in line["loc"] if part != "")),
            input=line["input"],
        )
        for line in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data("spec", lines)


def unknown(family: str, name: Any, known: list[str]) -> PydanticCustomError:
    """Return the error for a name that ``family`` does not have."""
    text = str(name)[:64]
    return PydanticCustomError(
        UNKNOWN,
        "No {family} is called '{name}'.",
        {"family": family, "name": text, "nearest": nearest(text, known) or known},
    )


def _symbol(text: str) -> str:
    try:
        return str(Symbol.parse(text))
    except AlphaSwarmError as error:
        problem = f"{error.message} {error.hint}"
        raise PydanticCustomError("symbol", "{text}", {"text": problem}) from error


def _date(value: Any) -> Any:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            value = dt.date.fromisoformat(value)
        except ValueError as error:
            raise PydanticCustomError("date", "There is no such day.") from error
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise PydanticCustomError("date", "Write a day as YYYY-MM-DD.")
    if not FIRST_DAY <= value <= LAST_DAY:
        raise PydanticCustomError(
            "date",
            "Write a day from {first} to {last}.",
            {"first": FIRST_DAY.isoformat(), "last": LAST_DAY.isoformat()},
        )
    return value


SymbolText = Annotated[str, AfterValidator(_symbol)]
Day = Annotated[dt.date, BeforeValidator(_date), PlainSerializer(dt.date.isoformat)]


def choose(family: str, members: dict[str, type[Part]], *, key: str = "model") -> BeforeValidator:
    """Return the validator that picks the member whose name stands under ``key``."""

    def pick(value: Any) -> Any:
        if isinstance(value, Part):
            return value
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "mapping", "Write a mapping whose {key} is a name.", {"key": key}
            )
        name = value.get(key)
        if not isinstance(name, str) or name not in members:
            problem = unknown(family, name, sorted(members))
            line = InitErrorDetails(type=problem, loc=(key,), input=name)
            raise ValidationError.from_exception_data(family, [line])
        return members[name].model_validate(value)

    return BeforeValidator(pick)
