"""What a caller may ask for: each tool with its rule beside it, in one table.

A tool is a plain function, ``def`` (runs in a thread) or ``async def``. Its parameters are what
the caller sees; keyword-only ``office``, ``caller`` and ``report`` are handed in by the server and
never shown. Its docstring is the description, its return annotation (a pydantic model) the output
schema. What it raises from `topology.errors` reaches the caller as the error object.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from auth.policy import Rule
from topology.clock import Clock
from topology.errors import UnknownNameError, did_you_mean, nearest
from topology.home import Home
from topology.services import Topology

if TYPE_CHECKING:
    from lakehouse.lake import Lake
    from ledger.halts import Halts
    from ledger.pool import Pool
    from ledger.progress.bus import Bus

Function = TypeVar("Function", bound=Callable[..., Any])
Report = Callable[[float, float | None, str], Awaitable[None]]
"""Tell the caller how far we are: value (must grow), total or None, message."""

INJECTED = frozenset({"office", "caller", "report"})
"""Parameters that a server hands in; no caller sees or sets them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """What tools work with: the map, the home, the record, the lake and the time."""

    topology: Topology
    home: Home
    pool: Pool
    bus: Bus
    lake: Lake
    halts: Halts
    clock: Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSpec:
    """One tool of one server: the function, who may call it, and what a client is told."""

    server: str
    name: str
    fn: Callable[..., Any]
    auth: Rule
    title: str
    description: str
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool
    job: bool
    """Whether it returns a run handle, which a client may ask for as a task."""
    app: str | None = None
    """The ``ui://`` page that shows its result (MCP Apps), a resource of the same server."""
    confirm: Callable[[Mapping[str, Any]], str | None] | None = None
    """From checked arguments to the target that a person must confirm; None asks nothing."""
    stricter: Callable[[Mapping[str, Any]], Rule | None] | None = None
    """From arguments, sent or checked, to a rule that they need instead of ``auth``."""

    def rule(self, arguments: Mapping[str, Any]) -> Rule:
        """Return what a call with these arguments needs of its caller."""
        return (self.stricter(arguments) if self.stricter else None) or self.auth


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceSpec:
    """One resource, or a family of them when ``uri`` holds ``{names}``."""

    server: str
    uri: str
    fn: Callable[..., Any]
    auth: Rule
    title: str
    description: str
    mime: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSpec:
    """One prompt: a text for a model that a person picks, made for its arguments."""

    server: str
    name: str
    fn: Callable[..., str]
    auth: Rule
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Served:
    """Everything that one server offers."""

    tools: dict[str, ToolSpec] = field(default_factory=dict)
    resources: dict[str, ResourceSpec] = field(default_factory=dict)
    prompts: dict[str, PromptSpec] = field(default_factory=dict)
    completions: dict[str, Callable[..., list[str]]] = field(default_factory=dict)


_TABLE: dict[str, Served] = {}


def tool(
    *,
    server: str,
    auth: Rule,
    title: str,
    read_only: bool,
    destructive: bool = False,
    idempotent: bool | None = None,
    open_world: bool = False,
    job: bool = False,
    app: str | None = None,
    confirm: Callable[[Mapping[str, Any]], str | None] | None = None,
    stricter: Callable[[Mapping[str, Any]], Rule | None] | None = None,
) -> Callable[[Function], Function]:
    """Offer a function as a tool of ``server``; what only reads is idempotent unless told.

    A tool with ``confirm`` has a parameter ``confirm: str | None`` too: see `servers.confirm`.
    ``stricter`` sees arguments as they were sent: what it cannot read it takes for the worst.
    """

    def offer(fn: Function) -> Function:
        spec = ToolSpec(
            server=server,
            name=fn.__name__,
            fn=fn,
            auth=auth,
            title=title,
            description=_described(fn),
            read_only=read_only,
            destructive=destructive,
            idempotent=read_only if idempotent is None else idempotent,
            open_world=open_world,
            job=job,
            app=app,
            confirm=confirm,
            stricter=stricter,
        )
        _put(_served(server).tools, spec.name, spec)
        return fn

    return offer


def resource(
    *, server: str, uri: str, auth: Rule, title: str, mime: str = "application/json"
) -> Callable[[Function], Function]:
    """Offer what a function returns under a URI or URI template (RFC 6570 ``{name}``).

    The function takes the template's names; it returns a model or dict (JSON), text or bytes. Keep
    it small: a result that can grow is capped with `tools.results`.
    """

    def offer(fn: Function) -> Function:
        spec = ResourceSpec(
            server=server,
            uri=uri,
            fn=fn,
            auth=auth,
            title=title,
            description=_described(fn),
            mime=mime,
        )
        _put(_served(server).resources, uri, spec)
        return fn

    return offer


def prompt(*, server: str, auth: Rule, title: str) -> Callable[[Function], Function]:
    """Offer a function that returns the text of a prompt; its parameters are texts (str).

    A parameter's description (``Annotated[str, Field(..)]``) is what a person reads beside it.
    """

    def offer(fn: Function) -> Function:
        spec = PromptSpec(
            server=server,
            name=fn.__name__,
            fn=fn,
            auth=auth,
            title=title,
            description=_described(fn),
        )
        _put(_served(server).prompts, spec.name, spec)
        return fn

    return offer


def completion(*, server: str, argument: str) -> Callable[[Function], Function]:
    """Offer values for an argument of that name: ``fn(value) -> list[str]``.

    The function may ask for ``office``, and for ``given``: the arguments that are filled in
    already, by name, for values that depend on them.
    """

    def offer(fn: Function) -> Function:
        _put(_served(server).completions, argument, fn)
        return fn

    return offer


def served(server: str) -> Served:
    """Return what ``server`` offers, loading ``tools.<server>``; unknown: `UnknownNameError`."""
    try:
        importlib.import_module(f"tools.{server}")
    except ModuleNotFoundError as error:
        if error.name != f"tools.{server}":
            raise
    if server not in _TABLE:
        raise UnknownNameError(
            f"No server is called {server[:64]!r}.",
            hint=did_you_mean(server, _TABLE),
            family="server",
            nearest=nearest(server, _TABLE),
        )
    return _TABLE[server]


def about(server: str) -> str:
    """Return what the module of a server says of itself, as a plain sentence for its clients."""
    module = sys.modules.get(f"tools.{server}")
    text = inspect.getdoc(module) or "" if module else ""
    return " ".join(text.replace("`", "").split())


def _served(server: str) -> Served:
    return _TABLE.setdefault(server, Served())


def _described(fn: Callable[..., Any]) -> str:
    text = inspect.getdoc(fn)
    if not text:
        msg = f"{fn.__module__}.{fn.__qualname__} has no docstring; it is what a caller reads."
        raise TypeError(msg)
    return text


def _put(table: dict[str, Any], name: str, member: Any) -> None:
    if name in table:
        msg = f"{name!r} is offered twice."
        raise TypeError(msg)
    table[name] = member
