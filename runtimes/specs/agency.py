"""What specs of agents and of workflows share: limits, as-of, models, and tools that are held."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    model_validator,
)
from pydantic_core import PydanticCustomError

from runtimes.part import Finite, Integer, Part
from runtimes.words import at

SHA256 = r"^[0-9a-f]{64}$"
ALIAS = r"^[a-z][a-z0-9_-]{0,31}$"
NODE = r"^[a-z][a-z0-9_]{0,63}$"
Effect = Literal["read", "write", "destructive"]
EFFECTS: tuple[Effect, ...] = ("read", "write", "destructive")


def _money(value: Any) -> Any:
    """Take ``5``, ``5.0`` and ``"5.00"`` for the same; a float is read by its shortest text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise PydanticCustomError("money", "Write US dollars as a number.")
    try:
        found = Decimal(str(value))
    except ArithmeticError as error:
        raise PydanticCustomError("money", "Write US dollars as a number.") from error
    if not found.is_finite() or found < 0 or found > 1_000_000:
        raise PydanticCustomError("money", "Write US dollars from 0 to 1,000,000.")
    return found


def _written(value: Decimal) -> str:
    """Write one number in one way: ``1e6`` and ``1000000`` are the same text, ``-0`` is ``0``."""
    text = format(value.normalize(), "f")
    return "0" if value == 0 else text


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise PydanticCustomError("instant", "Write a time as 2019-03-01T16:00:00Z.") from error
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise PydanticCustomError("instant", "A time needs its zone: 2019-03-01T16:00:00Z.")
    return value.astimezone(dt.UTC)


Money = Annotated[Decimal, BeforeValidator(_money), PlainSerializer(_written, return_type=str)]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    PlainSerializer(lambda t: t.isoformat().replace("+00:00", "Z"), return_type=str),
]
Alias = Annotated[str, Field(pattern=ALIAS)]
NodeName = Annotated[str, Field(pattern=NODE)]
Digest = Annotated[str, Field(pattern=SHA256)]
Count = Annotated[Integer, Field(ge=0, le=10_000_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, strict=False, allow_inf_nan=False)]
_Scope = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*$")]
Scopes = Annotated[
    tuple[_Scope, ...], Strict(strict=False), AfterValidator(lambda s: tuple(sorted(set(s))))
]


class Limits(Part):
    """What a run may use, of everything; a child's use counts for its parent too.

    ``max_cost_usd`` 0 means models without a price only: those of this machine.
    """

    max_steps: Annotated[Integer, Field(ge=1, le=1_000)] = 40
    max_llm_calls: Count = 40
    max_tool_calls: Count = 60
    max_prompt_tokens: Annotated[Integer, Field(ge=0, le=2**40)] = 200_000
    max_completion_tokens: Annotated[Integer, Field(ge=0, le=2**40)] = 40_000
    max_wall_s: Seconds = 900.0
    idle_timeout_s: Seconds = 120.0
    max_parallel_tools: Annotated[Integer, Field(ge=1, le=8)] = 1
    max_cost_usd: Money = Decimal(0)


class AsOf(Part):
    """What the run may know: everything (``live``), or only what was known ``at`` a time.

    The model never sees the time's argument: the toolbox fills it in and takes it out of schemas.
    ``embargo_s`` moves what memory may hold further back. ``require_model_cutoff_before``: a model
    that was trained on later text is labelled contaminated.
    """

    mode: Literal["live", "as_of", "walk_forward"] = "live"
    at: Instant | None = None
    snapshot_ids: dict[str, Annotated[str, Field(pattern=r"^\d{1,19}$")]] = Field(
        default_factory=dict, max_length=64
    )
    embargo_s: Annotated[float, Field(ge=0, le=10**9, strict=False)] = 0.0
    require_model_cutoff_before: bool = True

    @model_validator(mode="after")
    def _has_a_time(self) -> Any:
        if (self.mode == "as_of") != (self.at is not None):
            problem = "belongs to mode as_of, which needs it."
            raise at("at", self.at, PydanticCustomError("as_of", problem))
        return self


class Params(Part):
    """How a model samples."""

    temperature: Annotated[Finite, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[Finite, Field(gt=0, le=1)] = 1.0


class ModelChoice(Part):
    """A model of the topology by ``alias``, pinned: another one behind the alias is refused.

    ``provider``, ``model`` and ``weights_sha256`` null: whatever the topology names when the spec
    is locked, which writes them here. ``knowledge_cutoff`` is the day after which it read nothing.
    """

    alias: Alias = "local"
    provider: str | None = Field(default=None, max_length=64)
    model: str | None = Field(default=None, max_length=200)
    weights_sha256: Digest | None = None
    params: Params = Params()
    max_tokens: Annotated[Integer, Field(ge=1, le=1_000_000)] = 1_024
    knowledge_cutoff: Instant | None = None
    fallbacks: Annotated[tuple[Alias, ...], Strict(strict=False), Field(max_length=4)] = ()


class ToolRetry(Part):
    """How often a call that only reads is made again where its server does not answer."""

    max_attempts: Annotated[Integer, Field(ge=1, le=5)] = 2
    backoff_s: Annotated[float, Field(ge=0, le=60, strict=False)] = 1.0


class HeldTool(Part):
    """A tool that may be called: ``server`` and ``name``.

    ``schema_sha256``, ``scopes`` and ``effect`` null: what the server says when the spec is locked,
    which writes them here; a tool that has changed since is refused (``tool_drift``). ``approval``
    null: ``always`` for what is destructive, else ``never``. A human's approval is bound to the
    call's arguments.
    """

    server: Annotated[str, Field(pattern=ALIAS)]
    name: Annotated[str, Field(pattern=NODE)]
    schema_sha256: Digest | None = None
    scopes: Scopes | None = None
    effect: Effect | None = None
    approval: Literal["never", "always"] | None = None
    timeout_s: Seconds = 60.0
    retry: ToolRetry = ToolRetry()

    @property
    def full(self) -> str:
        """Return ``server.name``."""
        return f"{self.server}.{self.name}"

    @property
    def asks(self) -> bool:
        """Tell whether a person must approve each call; destructive ones always."""
        return self.effect == "destructive" or self.approval == "always"
