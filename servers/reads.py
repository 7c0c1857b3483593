"""From a plain function to an MCP resource or template, and completions for their arguments."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.to_thread
import mcp_types as mt
from fastmcp.resources.base import Resource
from fastmcp.resources.function_resource import FunctionResource
from fastmcp.resources.template import ResourceTemplate
from pydantic import BaseModel
from pydantic_core import to_json

from servers import answers
from servers.calls import Call, Guard
from tools.registry import Office, ResourceSpec
from topology.errors import AlphaSwarmError

MOST_VALUES = 100
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
    }
    if "{" in spec.uri:
        return ResourceTemplate.from_function(read, uri_template=spec.uri, **shared)
    return FunctionResource.from_function(read, uri=spec.uri, **shared)


def completer(completions: dict[str, Callable[..., list[str]]], office: Office) -> Completer:
    """Return the handler that completes an argument by its name; an unknown one has no values."""

    async def complete(ref: Any, argument: mt.CompletionArgument, context: Any) -> list[str]:
        del ref, context
        values = completions.get(argument.name)
        if values is None:
            return []
        try:
            found = await anyio.to_thread.run_sync(partial(values, argument.value, office=office))
        except AlphaSwarmError as error:
            raise answers.protocol_error(error) from error
        return found[:MOST_VALUES]

    return complete


def _reader(spec: ResourceSpec, call: Call) -> Callable[..., Any]:
    async def read(**arguments: Any) -> str | bytes:
        try:
            return _text(await call(arguments))
        except AlphaSwarmError as error:
            raise answers.protocol_error(error) from error
        except Exception as error:
            _log.exception("a resource failed")
            raise answers.protocol_error(answers.INTERNAL) from error

    read.__name__ = read.__qualname__ = spec.fn.__name__
    shown = call.signature.replace(return_annotation=inspect.Signature.empty)
    read.__signature__ = shown  # type: ignore[attr-defined]  # read by inspect
    read.__annotations__ = {p.name: p.annotation for p in shown.parameters.values()}
    return read


def _text(value: Any) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True)
    return to_json(value, inf_nan_mode="null").decode()
