"""`router_complete`: resolve, judge, stop if halted, reserve, look in the cassette, ask, record."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from runtimes.gateway import keys, policy, pricing, schema
from runtimes.gateway.wire import Answer, Wire
from runtimes.gateway.words import (
    Book,
    Delta,
    Kept,
    LLMRequest,
    LLMResponse,
    Mode,
    ModelSilentError,
    OutputInvalidError,
    Place,
    ReplayError,
    Usage,
    Wanted,
)
from topology.egress import Guard
from topology.errors import FaultError
from topology.frames import Progress
from topology.models import Model

REPAIR = (
    "Your answer does not fit the schema: at {pointer} {problem} Answer again with one JSON value "
    "that fits, and nothing else."
)
_REPAIRS = 1_000_000
"""Occurrences from here on are repairs of the call at the occurrence below."""


@dataclass
class Calls:
    """On whose behalf calls are made; one per run, inside one event loop."""

    models: Mapping[str, Model]
    guard: Guard
    secret: Callable[[str], SecretStr]
    progress: Progress
    book: Book | None = None
    cloud_granted: bool = False
    _wires: dict[str, Wire] = field(default_factory=dict)
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def wire(self, alias: str) -> Wire:
        """Return the connections to a model, opened once, by whichever thread comes first."""
        with self._opening:
            if alias not in self._wires:
                self._wires[alias] = _wire(self.models[alias], self.guard, self.secret)
            return self._wires[alias]

    async def close(self) -> None:
        """Close every connection."""
        for wire in self._wires.values():
            await wire.close()
        self._wires.clear()


async def router_complete(req: LLMRequest, *, ctx: Calls, mode: Mode) -> LLMResponse:
    """Return a model's answer, from the record or from its server.

    Raises ``egress_denied``, ``budget_exceeded``, ``model_unresponsive``, ``replay_diverged``,
    ``output_invalid`` (after one repair, which is a call of its own) and what a checkpoint raises.
    A fallback is asked only where the model before it did not answer.
    """
    response = await _answered(req, ctx, mode)
    if req.output_schema is None:
        return response
    output, wrong = _fits(req.output_schema, response)
    if wrong is None:
        return replace(response, output=output)
    again = await _answered(_repaired(req, response, wrong), ctx, mode)
    output, wrong = _fits(req.output_schema, again)
    if wrong is None:
        return replace(again, output=output)
    pointer, problem = wrong
    raise OutputInvalidError(
        f"The model's answer broke the schema twice: {problem}",
        hint="Give it a simpler schema, more tokens or another model.",
        pointer=pointer or "/",
        node=req.place.node,
        step=req.place.step,
    )


async def stream(req: LLMRequest, *, ctx: Calls, mode: Mode) -> AsyncIterator[Delta | LLMResponse]:
    """Yield the pieces of an answer, then the answer; a replayed one is a single piece.

    The record holds the assembled answer, so that it replays like any other.
    """
    model = policy.resolve(ctx.models, req.alias)
    if mode.startswith("replay") and (found := await _replayed(req, ctx, mode)) is not None:
        yield Delta(found.content)
        yield found
        return
    wire = await asyncio.to_thread(ctx.wire, req.alias)
    asked = await _begin(req, model, ctx)
    answer: Answer | None = None
    try:
        async for piece in wire.stream(asked.body):
            if isinstance(piece, Delta):
                ctx.progress.emit("llm.delta", piece.text, node=req.place.node, step=req.place.step)
                yield piece
            else:
                answer = piece
    except Exception as error:
        await asked.failed(error)
        raise
    if answer is not None:
        yield await asked.settled(answer)


@dataclass
class _Asked:
    """A call that has begun: reserved, recorded, on its way."""

    request: LLMRequest
    model: Model
    ctx: Calls
    wanted: Wanted
    body: dict[str, Any]
    attempt: int
    started: float

    async def settled(self, answer: Answer) -> LLMResponse:
        kept = Kept(
            place=self.wanted.place,
            alias=self.request.alias,
            origin=self.model.origin,
            request=self.wanted.request,
            request_sha256=self.wanted.request_sha256,
            text=answer.text,
            usage=_usage(answer, self.wanted),
            cost=pricing.cost(self.model, _usage(answer, self.wanted)),
            latency_ms=(time.perf_counter() - self.started) * 1e3,
        )
        if self.ctx.book is not None:
            await asyncio.to_thread(self.ctx.book.settle, kept, self.attempt)
        return _told(self.ctx, self.wanted.place, _response(kept))

    async def failed(self, error: Exception) -> None:
        if self.ctx.book is not None:
            code = getattr(error, "wire_code", "internal")
            await asyncio.to_thread(self.ctx.book.fail, self.wanted.place, self.attempt, code=code)


async def _answered(req: LLMRequest, ctx: Calls, mode: Mode) -> LLMResponse:
    if mode.startswith("replay") and (found := await _replayed(req, ctx, mode)) is not None:
        return found
    first = policy.resolve(ctx.models, req.alias)
    aliases = (req.alias, *req.fallbacks)
    for position, alias in enumerate(aliases):
        model = policy.resolve(ctx.models, alias)
        policy.require_no_wider(first, alias, model)
        try:
            return await _asked(replace(req, alias=alias), model, ctx)
        except ModelSilentError:
            if position == len(aliases) - 1:
                raise
    raise FaultError("A request names no model.")


async def _asked(req: LLMRequest, model: Model, ctx: Calls) -> LLMResponse:
    wire = await asyncio.to_thread(ctx.wire, req.alias)  # a vendor's library takes seconds to load
    asked = await _begin(req, model, ctx)
    try:
        answer = await asyncio.wait_for(wire.ask(asked.body), model.timeout_s)
    except TimeoutError:
        error = ModelSilentError(
            f"The model's server at {model.origin} did not answer within {model.timeout_s:g} s.",
            hint="Give it more time (models.NAME.timeout_s) or fewer tokens.",
            origin=model.origin,
            model=model.model,
        )
        await asked.failed(error)
        raise error from None
    except Exception as error:
        await asked.failed(error)
        raise
    return await asked.settled(answer)


async def _begin(req: LLMRequest, model: Model, ctx: Calls) -> _Asked:
    policy.require(req.alias, model, req, cloud_granted=ctx.cloud_granted)
    ctx.progress.checkpoint()
    request = keys.request_bytes(req, model)
    most = Usage(pricing.estimate(request), req.max_tokens, estimated=True)
    wanted = Wanted(
        place=req.place,
        alias=req.alias,
        origin=model.origin,
        request=request,
        request_sha256=keys.digest(request),
        usage=most,
        cost=pricing.cost(model, most),
    )
    attempt = await asyncio.to_thread(ctx.book.begin, wanted) if ctx.book else 1
    return _Asked(req, model, ctx, wanted, keys.body_of(req), attempt, time.perf_counter())


async def _replayed(req: LLMRequest, ctx: Calls, mode: Mode) -> LLMResponse | None:
    """Return the recorded answer; in ``replay_or_live`` None where there is none yet."""
    kept = await asyncio.to_thread(ctx.book.find, req.place) if ctx.book else None
    if kept is None:
        if mode == "replay_or_live":
            return None
        raise _diverged(req.place, "$", "holds no call at this place")
    model = policy.resolve(ctx.models, kept.alias)
    asked = keys.request_bytes(req, model)
    if keys.digest(asked) != kept.request_sha256:
        path = keys.first_difference(kept.request, asked)
        raise _diverged(req.place, path, f"was asked something else: {path} differs")
    ctx.progress.checkpoint()
    assert ctx.book is not None  # noqa: S101  it held the call
    await asyncio.to_thread(ctx.book.copy, kept)
    return _told(ctx, req.place, replace(_response(kept), replayed=True))


def _diverged(place: Place, path: str, what: str) -> ReplayError:
    return ReplayError(
        f"The record {what} (node {place.node}, step {place.step}).",
        hint="A prompt, a tool, a parameter or the code has changed; replay `what_if` from here.",
        node=place.node,
        step=place.step,
        occurrence=place.occurrence,
        path=path,
    )


def _response(kept: Kept) -> LLMResponse:
    choice = json.loads(kept.text)["choices"][0]
    return LLMResponse(
        message=choice["message"],
        finish=str(choice.get("finish_reason") or "stop"),
        usage=kept.usage,
        cost=kept.cost,
        alias=kept.alias,
        origin=kept.origin,
        request_sha256=kept.request_sha256,
        text=kept.text,
        latency_ms=kept.latency_ms,
    )


def _told(ctx: Calls, place: Place, response: LLMResponse) -> LLMResponse:
    ctx.progress.emit(
        "llm.done",
        f"{response.usage.completion} tokens from {response.alias}.",
        node=place.node,
        step=place.step,
        model=response.alias,
        prompt_tokens=response.usage.prompt,
        completion_tokens=response.usage.completion,
        cost=str(response.cost),
    )
    return response


def _usage(answer: Answer, wanted: Wanted) -> Usage:
    return pricing.used(answer.body, asked=wanted.request, answered=answer.text)


def _fits(wanted: Mapping[str, Any], response: LLMResponse) -> tuple[Any, tuple[str, str] | None]:
    try:
        output = schema.parsed(response.content)
    except ValueError:
        return None, ("", "it is no JSON value.")
    return output, schema.problem(wanted, output)


def _repaired(req: LLMRequest, response: LLMResponse, wrong: tuple[str, str]) -> LLMRequest:
    pointer, problem = wrong
    said = REPAIR.format(pointer=pointer or "/", problem=problem)
    return replace(
        req,
        messages=[
            *req.messages,
            {"role": "assistant", "content": response.content},
            {"role": "user", "content": said},
        ],
        place=replace(req.place, occurrence=req.place.occurrence + _REPAIRS),
    )


def _wire(model: Model, guard: Guard, secret: Callable[[str], SecretStr]) -> Wire:
    if model.local:
        return Wire(model, guard, secret)
    from runtimes.gateway.vendors import VendorWire

    return VendorWire(model, guard, secret)
