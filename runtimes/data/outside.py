"""The way out of an ingest: the endpoint of the topology that it asks, under the egress guard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lakehouse.providers.remote import Remote
from runtimes.specs.ingest import IngestSpec
from topology.canonical import sha256
from topology.credentials import CredentialRef
from topology.egress import Guard
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.services import Topology
from topology.sources import LibrarySource, Source

PURPOSE = "ingest"
ENDPOINT = "endpoint_sha256"
"""The input of a run that names how its endpoint was described when it was submitted."""
LIBRARIES = ("ccxt", "yfinance")
"""Providers that need no entry of the topology, unless something of them is to be changed."""


def source_of(topology: Topology, provider: str, endpoint: str | None) -> Source | None:
    """Return how the topology describes what is asked; None where nothing leaves the machine.

    An entry of another kind, or none of that name, raises ``unknown_name``.
    """
    if endpoint is None:
        library = provider in LIBRARIES
        return LibrarySource(kind=cast("Any", provider)) if library else None
    known = [name for name, source in topology.providers.items() if source.kind == provider]
    if endpoint not in known:
        raise UnknownNameError(
            f"The topology describes no {provider} source called {endpoint!r}.",
            hint=did_you_mean(endpoint, known) or "Describe it under providers in topology.yaml.",
            family="source",
            nearest=nearest(endpoint, known),
        )
    return topology.providers[endpoint]


def digest(source: Source) -> str:
    """Return the hash of a description: another one is another question to the world."""
    return sha256(source.model_dump(mode="json", by_alias=True))


def remote(topology: Topology, spec: IngestSpec, inputs: Mapping[str, Any]) -> Remote | None:
    """Return the way out of an ingest, None where it needs none.

    A description that has changed since the run was submitted raises ``invalid_arguments``.
    """
    source = source_of(topology, spec.provider, spec.endpoint)
    if source is None:
        return None
    wanted = inputs.get(ENDPOINT)
    if wanted is not None and wanted != digest(source):
        raise BadInputError(
            f"The topology describes {spec.endpoint or spec.provider!r} otherwise than when this "
            "was submitted.",
            hint="Submit it again: another description is other work.",
        )
    return Remote(
        guard=Guard(topology.egress, PURPOSE),
        name=spec.endpoint or spec.provider,
        source=source,
        secret=lambda name: CredentialRef.parse(topology.credentials[name].source).resolve(),
    )
