"""Asking the person: a destructive tool waits for a yes to exactly what it would do.

A modern client gets an "input required" answer and calls again; its state is the hash of the call,
sealed by the library, so that a yes to one thing is none to another. A client of a session is asked
at once. One that cannot ask passes ``confirm="<target>"`` beside the arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mcp_types as mt
from fastmcp.server.context import Context

from topology.canonical import sha256
from topology.errors import RefusedError

KEY = "confirm"
"""Name of the argument and of the answer."""

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {KEY: {"type": "boolean", "title": "Yes, do it"}},
    "required": [KEY],
}


async def ask(
    context: Context, tool: str, title: str, target: str, arguments: Mapping[str, Any]
) -> mt.InputRequiredResult | None:
    """Return None once the person has said yes, or the question to send.

    Raises `RefusedError`: ``declined`` for a no, ``confirmation_required`` where the client can ask
    nobody.
    """
    given = arguments.get(KEY)
    if given is not None:
        if given == target:
            return None
        raise _required(tool, target)
    if not _asks(context):
        raise _required(tool, target)
    text = f"{title}: {target}. Do it?"
    if not context._is_modern_protocol():
        answer = await context.session.elicit_form(
            text, _SCHEMA, related_request_id=context.request_id
        )
        _judge(answer, tool, target)
        return None
    return _modern(context, text, tool, target, arguments)


def _modern(
    context: Context, text: str, tool: str, target: str, arguments: Mapping[str, Any]
) -> mt.InputRequiredResult | None:
    state = sha256({"tool": tool, "target": target, "arguments": dict(arguments)})
    answer = (context.input_responses or {}).get(KEY)
    if answer is not None and context.request_state == state:
        _judge(answer, tool, target)
        return None
    form = mt.ElicitRequestFormParams(message=text, requested_schema=_SCHEMA)
    question = mt.ElicitRequest(params=form)
    return mt.InputRequiredResult(input_requests={KEY: question}, request_state=state)


def _judge(answer: Any, tool: str, target: str) -> None:
    content = getattr(answer, "content", None) or {}
    if getattr(answer, "action", "") == "accept" and content.get(KEY) is True:
        return
    raise RefusedError(
        f"The person did not agree to {tool} {target!r}.",
        hint="Nothing was done.",
        code="declined",
        tool=tool,
        target=target,
    )


def _asks(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


def _required(tool: str, target: str) -> RefusedError:
    return RefusedError(
        f"{tool} of {target!r} must be confirmed.",
        hint=f"Ask the person, then call again with {KEY}={target!r}.",
        code="confirmation_required",
        tool=tool,
        target=target,
    )
