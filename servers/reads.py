"""From a plain function to an MCP resource, template or prompt, and completions for arguments."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio.to_thread
import mcp_types as mt
from fastmcp.prompts.base import Prompt as BasePrompt
from fastmcp.prompts.base import PromptArgument, PromptResult
from fastmcp.resources.base import Resource
from fastmcp.resources.function_resource import FunctionResource
from fastmcp.resources.template import ResourceTemplate
from pydantic import BaseModel, PrivateAttr, TypeAdapter, ValidationError
from pydantic_core import to_json

from servers import answers
from servers.calls import Call, Guard
from tools.registry import Office, PromptSpec, ResourceSpec
from topology.errors import AlphaSwarmError

MOST_VALUES = 100
PAGE = "ui://"
"""Scheme of the pages that a host shows (MCP Apps); each is whole and may fetch nothing."""
PAGE_META = {"ui": {"csp": {}, "prefersBorder": True}}
_log = logging.getLogger(__name__)

Completer = Callable[..., Any]


def resource(spec: ResourceSpec, office: Office, guard: Guard) -> Resource | ResourceTemplate:
    """Return the resource of a spec, or the template where its URI holds names."""
    call = Call(spec.fn, spec.auth, office, guard)
    read = _reader(spec, call)
    shared: dict[str, Any] = {
        "name": spec.fn.__name__,
        "title": spec.title,
        "description": spec.description,
        "mime_type": spec.mime,
        "meta": PAGE_META if spec.uri.startswith(PAGE) else None,
    }
    if "{" in spec.uri:
        return ResourceTemplate.from_function(read, uri_template=spec.uri, **shared)
    return FunctionResource.from_function(read, uri=spec.uri, **shared)


class Prompt(BasePrompt):
    """A prompt whose arguments are checked by the function's signature, errors as the rest's."""

    _call: Call = PrivateAttr()
    _arguments: TypeAdapter[Any] = PrivateAttr()

    @classmethod
    def of(cls, spec: PromptSpec, office: Office, guard: Guard) -> Prompt:
        """Return the prompt of a spec."""
        call = Call(spec.fn, spec.auth, office, guard)
        stub: Any = call.stub(spec.name)
        adapter: TypeAdapter[Any] = TypeAdapter(stub)
        schema = adapter.json_schema()
        arguments = [
            PromptArgument(
                name=name,
                description=field.get("description"),
                required=name in schema.get("required", ()),
            )
            for name, field in schema.get("properties", {}).items()
        ]
        made = cls(
            name=spec.name, title=spec.title, description=spec.description, arguments=arguments
        )
        made._call, made._arguments = call, adapter
        return made

    def get_meta(self) -> dict[str, Any] | None:  # type: ignore[override]  # None is left out
        """Return nothing: the library's own metadata says nothing to a client."""
        return self.meta

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        """Check the arguments and return the text as one message of the user."""
        known = {one.name: one for one in self.arguments or ()}
        checked = _checked(self._arguments, dict(arguments or {}), known)
        return PromptResult(await _answered(self._call, checked, "a prompt"))


def completer(
    completions: dict[str, Callable[..., list[str]]], office: Office, guard: Guard
) -> Completer:
    """Return the handler that completes an argument by its name; an unknown one has no values."""

    async def complete(
        ref: Any, argument: mt.CompletionArgument, context: mt.CompletionContext | None
    ) -> list[str]:
        del ref
        values = completions.get(argument.name)
        if values is None:
            return []
        given = dict(context.arguments or {}) if context is not None else {}
        offered = {"office": office, "given": given}
        asked = {
            key: offered[key] for key in offered if key in inspect.signature(values).parameters
        }
        try:
            async with guard.place(guard.caller()):
                found = await anyio.to_thread.run_sync(partial(values, argument.value, **asked))
        except AlphaSwarmError as error:
            raise answers.protocol_error(error) from error
        return found[:MOST_VALUES]

    return complete


def _reader(spec: ResourceSpec, call: Call) -> Callable[..., Any]:
    stub: Any = call.stub(spec.fn.__name__)
    adapter: TypeAdapter[Any] = TypeAdapter(stub)

    async def read(**arguments: Any) -> str | bytes:
        checked = _checked(adapter, arguments, call.signature.parameters)
        return _text(await _answered(call, checked, "a resource"))

    read.__name__ = read.__qualname__ = spec.fn.__name__
    # The library passes everything on as it came: what is wrong gets our error, not its own.
    parameters = [p.replace(annotation=Any) for p in call.signature.parameters.values()]
    shown = inspect.Signature(parameters)
    read.__signature__ = shown  # type: ignore[attr-defined]  # read by inspect
    read.__annotations__ = {p.name: p.annotation for p in shown.parameters.values()}
    return read


def _checked(
    adapter: TypeAdapter[Any], arguments: dict[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = adapter.validate_python(arguments)
    except ValidationError as error:
        raise answers.protocol_error(answers.invalid_arguments(error, known)) from error
    return checked


async def _answered(call: Call, arguments: dict[str, Any], what: str) -> Any:
    try:
        return await call(arguments)
    except AlphaSwarmError as error:
        raise answers.protocol_error(error) from error
    except Exception as error:
        _log.exception("%s failed", what)
        raise answers.protocol_error(answers.INTERNAL) from error


def _text(value: Any) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True)
    return to_json(value, inf_nan_mode="null").decode()
