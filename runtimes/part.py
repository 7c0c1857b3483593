"""The base of every model that a user writes: frozen, strict, and helpful about misspelt keys."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from topology.errors import nearest


def _integral(value: Any) -> Any:
    """Take 3.0 for 3: JSON does not tell them apart, and the spec's hash does not either."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(_integral)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Part(BaseModel):
    """A piece of a spec. Unknown keys are refused together with the nearest known one.

    Strict: ``"7"`` is not a number and ``true`` is not 1. All errors of a piece come at once.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_nearest_key(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            lines = [_line(dict(e), cls) for e in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None


class Grown(Part):
    """A piece that got keys after specs with it were locked and hashed.

    A key in ``later`` is left out of the body while it has its default, so that those specs keep
    their hashes; every other default is written out. A default of such a key never changes.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        body: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {
            name: value
            for name, value in body.items()
            if name not in self.later
            or getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }


def _line(error: dict[str, Any], model: type[BaseModel]) -> InitErrorDetails:
    """Return ``error`` again, an unknown key of ``model`` itself with its nearest names."""
    context = dict(error.get("ctx", {}))
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden" and len(error["loc"]) == 1:
        known = sorted(model.model_fields)
        kind, message = "unknown_key", "No key has this name here."
        context = {"nearest": nearest(str(error["loc"][0])[:64], known) or known}
    # A message may hold braces, so it goes in as a value of the template.
    problem = PydanticCustomError(kind, "{text}", {**context, "text": message})
    return InitErrorDetails(type=problem, loc=error["loc"], input=error["input"])
