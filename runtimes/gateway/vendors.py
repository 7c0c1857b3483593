"""Other providers, by name, through `litellm`: imported inside the call, behind the same guard.

Some of its providers ignore the client that they are given. Therefore the process must be fenced
(`fence.install`) before the first call: then a connection that the topology does not name fails,
whoever opens it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from pydantic import SecretStr

from runtimes.gateway import fence
from runtimes.gateway.wire import Answer, Wire, translated
from runtimes.gateway.words import Delta
from topology.egress import Guard
from topology.errors import BadInputError
from topology.models import Model

_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
}
"""Without these the library downloads a price table, or reads ``./.env``, when it is imported."""
_LEAKY = ("_PROXY", "_proxy")


class VendorWire(Wire):
    """The connections to one model of a vendor; only whole answers, never streams."""

    def __init__(self, model: Model, sealed: Guard, secret: Callable[[str], SecretStr]) -> None:
        if not fence.standing():
            raise BadInputError(
                "Models of other providers are asked by fenced workers only.",
                hint="Submit an agent run; workers fence themselves before they ask.",
                model=model.model,
            )
        self._model = model
        self._sealed = sealed
        self._key = secret(model.credential).get_secret_value() if model.credential else None
        self._library = _library()

    async def ask(self, body: Mapping[str, Any]) -> Answer:
        """Return the whole response, in the shape of the common wire."""
        vendor = self._model.provider.removeprefix("litellm/")
        judged = self._sealed.check(self._model.origin)
        fence.learn(judged.addresses, judged.port)
        with translated(self._model):
            response = await self._library.acompletion(
                **copy.deepcopy(dict(body)),
                model=f"{vendor}/{self._model.model}",
                api_base=self._model.base_url,
                api_key=self._key,
                num_retries=0,
                max_retries=0,
                timeout=self._model.timeout_s,
            )
        whole = response.model_dump(mode="json", exclude_none=True)
        return Answer(response.model_dump_json(exclude_none=True), whole)

    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[Delta | Answer]:
        """Yield the whole answer at once: vendors' streams differ too much to be recorded."""
        whole = await self.ask(body)
        yield Delta(str(whole.body["choices"][0]["message"].get("content") or ""))
        yield whole

    async def close(self) -> None:
        """Do nothing: the library keeps its connections to itself."""


def _library() -> Any:
    """Return litellm, quiet: no price table, no ``.env``, no callback, no proxy, no telemetry."""
    os.environ.update(_QUIET)
    for name in [name for name in os.environ if name.endswith(_LEAKY)]:
        del os.environ[name]
    import litellm

    litellm.telemetry = False
    litellm.callbacks, litellm.success_callback, litellm.failure_callback = [], [], []
    litellm.suppress_debug_info = True
    return litellm
