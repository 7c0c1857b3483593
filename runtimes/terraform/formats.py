"""What the program says, as models of its documented JSON: the stream, a plan, a state.

Unknown keys are left aside, as both projects ask (machine-readable UI and JSON output format,
"ignore any object properties with unrecognized names"); an unknown major version is refused.
Attributes of resources are never read: they hold secrets in clear.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topology.errors import FaultError

UI_MAJORS = ("0", "1")
"""``ui`` of the stream's first message; the first releases of the format said 0.1."""
PLAN_MAJORS = ("0", "1")
"""``format_version`` of ``show -json``: 0.1 and 0.2 read like 1.x for what is used here."""
STATE_VERSION = 4

REPLACED = "replace"
_ACTIONS = {
    ("no-op",): "no-op",
    ("create",): "create",
    ("read",): "read",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): REPLACED,
    ("create", "delete"): REPLACED,
    ("forget",): "forget",
    ("create", "forget"): REPLACED,
}
DESTROYS = frozenset({"delete", REPLACED})
QUIET = frozenset({"no-op", "read"})


class Loose(BaseModel):
    """A part of somebody else's JSON: what we do not know is none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Resource(Loose):
    """Which resource a message of the stream is about."""

    addr: str
    resource_type: str = ""


class Hook(Loose):
    """What happens to a resource while a plan is applied."""

    resource: Resource
    action: str = ""


class Position(Loose):
    """A place in a file."""

    line: int


class Range(Loose):
    """Where in the module tree something is wrong."""

    filename: str
    start: Position


class Diagnostic(Loose):
    """An error or warning; its detail and snippet may quote values, so they are not read."""

    severity: str
    summary: str
    address: str = ""
    range: Range | None = None


class Message(Loose):
    """One line of the stream; ``type`` says which of the parts is there."""

    type: str
    ui: str = ""
    hook: Hook | None = None
    change: Hook | None = None
    diagnostic: Diagnostic | None = None


class Change(Loose):
    """What a plan does to one resource."""

    actions: tuple[str, ...]
    importing: Loose | None = None


class ResourceChange(Loose):
    """One line of a plan."""

    address: str
    type: str
    mode: str = "managed"
    previous_address: str = ""
    change: Change

    @property
    def action(self) -> str:
        """Return create, read, update, delete, replace, forget or no-op; others are refused."""
        known = _ACTIONS.get(self.change.actions)
        if known is None:
            raise unreadable("plan", f"the actions {list(self.change.actions)!r} are unknown")
        return known


class Module(Loose):
    """A module's configuration, for where the modules that it calls come from."""

    module_calls: dict[str, Call] = Field(default_factory=dict)

    def sources(self) -> Iterator[tuple[str, str]]:
        """Yield name and source of every module that is called, at any depth."""
        for name, call in self.module_calls.items():
            yield name, call.source
            yield from call.module.sources() if call.module else ()


class Call(Loose):
    """A call of a module."""

    source: str = ""
    module: Module | None = None


class Configuration(Loose):
    """The configuration that a plan was made of."""

    root_module: Module = Module()


class PlanShown(Loose):
    """``show -json`` of a plan, without a single value."""

    format_version: str
    resource_changes: tuple[ResourceChange, ...] = ()
    resource_drift: tuple[ResourceChange, ...] = ()
    output_changes: dict[str, Change] = Field(default_factory=dict)
    configuration: Configuration = Configuration()
    errored: bool = False


class Instance(Loose):
    """One instance of a resource in a state."""

    index_key: str | int | None = None


class Kept(Loose):
    """A resource of a state."""

    mode: str = "managed"
    module: str = ""
    type: str
    name: str
    instances: tuple[Instance, ...] = ()

    def addresses(self) -> Iterator[str]:
        """Yield the address of every instance, as plans write it."""
        base = ".".join(part for part in (self.module, self.type, self.name) if part)
        for instance in self.instances:
            key = instance.index_key
            yield base if key is None else f"{base}[{json.dumps(key)}]"


class State(Loose):
    """``state pull``: how often it was written, which one it is, and what is in it."""

    version: int = STATE_VERSION
    serial: int = 0
    lineage: str = ""
    resources: tuple[Kept, ...] = ()

    def addresses(self) -> frozenset[str]:
        """Return the addresses of everything that the stack owns."""
        return frozenset(a for r in self.resources if r.mode == "managed" for a in r.addresses())


class Version(Loose):
    """``version -json``; OpenTofu calls its own version by Terraform's name too."""

    terraform_version: str = "unknown"
    platform: str = "unknown"


def message(line: bytes) -> Message | None:
    """Return one message of the stream; what is no JSON object with a type is no message."""
    try:
        found = Message.model_validate_json(line)
    except ValidationError:
        return None
    if found.type == "version":
        _major("stream", found.ui, UI_MAJORS)
    return found


def plan(text: bytes) -> PlanShown:
    """Return a plan of ``show -json``."""
    found: PlanShown = _read("plan", PlanShown, text)
    _major("plan", found.format_version, PLAN_MAJORS)
    return found


def state(text: bytes) -> State:
    """Return a state of ``state pull``; before the first apply there is none, and it is empty."""
    if not text.strip():
        return State()
    found: State = _read("state", State, text)
    if found.version != STATE_VERSION:
        raise unreadable("state", f"its version {found.version} is unknown")
    return found


def version(text: bytes) -> dict[str, str]:
    """Return what ``version -json`` says: the program's version and platform."""
    found: Version = _read("version", Version, text)
    return found.model_dump()


def unreadable(what: str, why: str) -> FaultError:
    """Return the refusal of output that is not what the program's documents describe."""
    return FaultError(
        f"The program's {what} cannot be read: {why}.",
        hint="Use OpenTofu 1.6 or later, or Terraform 1.1 or later.",
        code="stack_format",
        what=what,
    )


def _read(what: str, model: type[Any], text: bytes) -> Any:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise unreadable(what, f"{place or 'it'}: {first['type']}") from None


def _major(what: str, version: str, known: tuple[str, ...]) -> None:
    if version.partition(".")[0] not in known:
        raise unreadable(what, f"its format {version[:20]!r} is unknown")
