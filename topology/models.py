"""Section ``models``: the language models that a suite may ask, each under an alias.

There is no default: where no model is named nothing is asked. The origin of ``base_url`` is the
only place that a model's prompts may go, and ``egress`` says of what kind its address must be.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from topology.fields import Name, Seconds, Section, model_url, port_of

Reach = Literal["loopback", "lan", "cloud"]
Label = Literal["public", "internal", "proprietary"]
LABELS: tuple[Label, ...] = ("public", "internal", "proprietary")
"""How confidential data is, from what everybody may read to what must not leave this machine."""
_MOST: Mapping[Reach, Label] = {"loopback": "proprietary", "lan": "internal", "cloud": "public"}
ADDRESS: Mapping[Reach, str] = {"loopback": "loopback", "lan": "lan", "cloud": "public"}
"""What ``egress.allow`` calls the kind of address that each class may lead to."""
OPENAI_COMPATIBLE = "openai_compatible"


_EXAMPLE = Path(__file__).with_name("models.example.yaml")


def example() -> str:
    """Return the lines of ``topology.yaml`` that name a model of this machine."""
    return _EXAMPLE.read_text().rstrip()


class Capabilities(Section):
    """What a model can do, as its server's own documents say."""

    tools: bool = True
    json_schema: bool = True
    seed: bool = True
    stream: bool = True


class Price(Section):
    """US dollars per million tokens."""

    prompt: Annotated[Decimal, Field(ge=0, max_digits=12)]
    completion: Annotated[Decimal, Field(ge=0, max_digits=12)]


class Model(Section):
    """One model at one address.

    ``provider`` is ``openai_compatible`` (Ollama's ``/v1``, vLLM, llama.cpp, LM Studio) or
    ``litellm/NAME``. ``weights_sha256`` tells weights apart that share a name. ``max_label`` is the
    most confidential data that may go there; null: proprietary on this machine, internal in the
    ``lan``, public in the ``cloud``.
    """

    provider: Annotated[str, Field(pattern=r"^(openai_compatible|litellm/[a-z0-9_]{1,40})$")]
    base_url: Annotated[str, AfterValidator(model_url)]
    model: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    context_tokens: Annotated[int, Field(ge=256, le=100_000_000)] = 8192
    capabilities: Capabilities = Capabilities()
    price: Price | None = None
    egress: Reach = "loopback"
    credential: Name | None = None
    max_label: Label | None = None
    timeout_s: Seconds = 120

    @property
    def local(self) -> bool:
        """Tell whether the wire is the common one of model servers, not a vendor's own."""
        return self.provider == OPENAI_COMPATIBLE

    @property
    def place(self) -> tuple[str, int]:
        """Return host and port of the model's origin."""
        return urlsplit(self.base_url).hostname or "", port_of(self.base_url) or 0

    @property
    def origin(self) -> str:
        """Return scheme, host and port as a URL."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def most(self) -> Label:
        """Return the most confidential label that may go to this model."""
        return self.max_label or _MOST[self.egress]
