"""The wire of OpenAI-compatible servers, through the `openai` SDK and the guarded client."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr

from runtimes.gateway import guard
from runtimes.gateway.words import Delta, ModelSilentError
from topology.egress import Guard
from topology.errors import EgressDeniedError
from topology.models import Model

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_NO_KEY = "none"
"""The SDK wants a key; servers of this machine ignore it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response: ``text`` as it came, ``body`` its JSON."""

    text: str
    body: Mapping[str, Any]


class Wire:
    """The connections to one model, inside one event loop."""

    def __init__(self, model: Model, sealed: Guard, secret: Callable[[str], SecretStr]) -> None:
        self._model = model
        self._http = guard.client(sealed, model.origin, timeout_s=model.timeout_s)
        key = secret(model.credential).get_secret_value() if model.credential else _NO_KEY
        self._client = _sdk(self._http, model, key)
        self._raw = self._client.chat.completions.with_raw_response  # loads what a call needs

    async def ask(self, body: Mapping[str, Any]) -> Answer:
        """Return the whole response; see `translated` for what is raised."""
        sent = {**copy.deepcopy(dict(body)), "model": self._model.model}
        with translated(self._model):
            raw = await self._raw.create(**sent)
            return _answer(raw.http_response.text, self._model)

    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[Delta | Answer]:
        """Yield pieces of the answer, then the response that they make, usage where given."""
        sent = {**copy.deepcopy(dict(body)), "model": self._model.model, "stream": True}
        sent["stream_options"] = {"include_usage": True}
        whole = _Assembly()
        with translated(self._model):
            async for chunk in await self._client.chat.completions.create(**sent):
                piece = whole.add(chunk.model_dump(mode="json", exclude_none=True))
                if piece:
                    yield Delta(piece)
            body_whole = whole.body()
            yield _answer(json.dumps(body_whole, ensure_ascii=False), self._model)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class _Assembly:
    """A streamed response put together again, in the shape of a whole one."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._text: list[str] = []
        self._tools: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Take one chunk in; return the text that it adds."""
        self._top |= {k: v for k, v in chunk.items() if k in {"id", "model", "created", "usage"}}
        for choice in chunk.get("choices", ())[:1]:
            delta = choice.get("delta", {})
            self._finish = choice.get("finish_reason") or self._finish
            for part in delta.get("tool_calls", ()):
                self._tool(part)
            text = str(delta.get("content") or "")
            self._text.append(text)
            return text
        return ""

    def body(self) -> dict[str, Any]:
        """Return the response as a server that does not stream would have sent it."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or None}
        if self._tools:
            message["tool_calls"] = [self._tools[index] for index in sorted(self._tools)]
        choice = {"index": 0, "message": message, "finish_reason": self._finish or "stop"}
        return {**self._top, "object": "chat.completion", "choices": [choice]}

    def _tool(self, part: Mapping[str, Any]) -> None:
        empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._tools.setdefault(int(part.get("index", 0)), empty)
        call["id"] = part.get("id") or call["id"]
        function = part.get("function", {})
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


class translated:  # noqa: N801  reads as a clause: with translated(model)
    """Turn what the SDK raises into our errors; none repeats a word of a prompt.

    `EgressDeniedError` where the guard refused, however deep the SDK wrapped it; `ModelSilentError`
    where the server cannot be reached, is silent, says too much, redirects or refuses.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        for cause in _causes(error):
            if isinstance(cause, EgressDeniedError | ModelSilentError):
                raise cause from error
            if isinstance(cause, guard.TooLargeError):
                raise silent(self._model, "sent more than 8 MB") from error
        if status := getattr(error, "status_code", None):
            raise silent(self._model, f"answered with HTTP {status}", status=status) from error
        if isinstance(error, httpx.HTTPError | OSError) or _is_of_sdk(error):
            raise silent(self._model, _why(error)) from error


def silent(model: Model, what: str, **facts: Any) -> ModelSilentError:
    """Return the error of a model's server that did ``what``."""
    return ModelSilentError(
        f"The model's server at {model.origin} {what}.",
        hint="See whether it runs, and has loaded the model.",
        origin=model.origin,
        model=model.model,
        **facts,
    )


def _answer(text: str, model: Model) -> Answer:
    try:
        body = json.loads(text)
        body["choices"][0]["message"]["role"]
    except (ValueError, LookupError, TypeError) as error:
        raise silent(model, "sent something else than a chat completion") from error
    return Answer(text, body)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_of_sdk(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in {"openai", "litellm"}


def _why(error: Exception) -> str:
    timeouts = (TimeoutError, httpx.TimeoutException)
    late = any(isinstance(cause, timeouts) for cause in _causes(error))
    return "said nothing for too long" if late else "cannot be reached"


def _sdk(http: httpx.AsyncClient, model: Model, key: str) -> AsyncOpenAI:
    """Return the SDK's client; its own settings in the environment are taken away first."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        del os.environ[name]
    from openai import AsyncOpenAI

    return AsyncOpenAI(
        api_key=key,
        base_url=model.base_url,
        http_client=http,
        max_retries=0,
        timeout=http.timeout,
    )
