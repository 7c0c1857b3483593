"""How `ingest` becomes a run: a source is a provider's name, a file, a folder or a glob."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtimes.specs.base import Spec
from tools.registry import Office
from tools.runs import Submitted
from tools.submitting import parsed, started
from topology.errors import MissingError, UnknownNameError, did_you_mean, nearest
from topology.principal import Principal
from topology.services import Topology

FILES = "files"
PAYLOAD = "payload_sha256"
"""The input of a run that names the bytes of its files."""


def submit(
    office: Office,
    caller: Principal,
    wanted: Mapping[str, Any],
    *,
    dry_run: bool,
    dispatch_key: str | None,
) -> Submitted:
    """Check what is wanted, and unless ``dry_run`` lock it and start the run.

    The digest of the files' bytes is part of the run's inputs: a run that finds other bytes is
    refused, and the same path with other content is other work.
    """
    spec, inputs = _spec(office, wanted)
    return started(
        office,
        caller,
        spec,
        action="ingest",
        inputs=inputs,
        dry_run=dry_run,
        dispatch_key=dispatch_key,
    )


def _spec(office: Office, wanted: Mapping[str, Any]) -> tuple[Spec, dict[str, str]]:
    from lakehouse.providers.mapping import beside

    source = str(wanted["source"])
    kind = kind_of(source, office.topology)
    provider, path = divided(source) if kind is None else (kind, None)
    keys = ("table", "symbols", "start", "end")
    body = {
        "provider": provider,
        "endpoint": source if kind else None,
        "name": wanted.get("name") or named_after(path or source),
        "reading": wanted.get("reading"),
        **{key: wanted.get(key) for key in keys},
    }
    if path is None:
        return _asked(office, body)
    allowed = (office.home.inbox, *(Path(f) for f in office.topology.ingest.folders))
    body["path"] = written(path, allowed[0])
    body["reading"] = {**beside(path, allowed), **(wanted.get("reading") or {})}
    spec = parsed(office, body)
    return spec, {PAYLOAD: digest(spec.body(), allowed, office.topology.providers)}


def _asked(office: Office, body: Mapping[str, Any]) -> tuple[Spec, dict[str, str]]:
    """Return the spec of what no file holds; how its endpoint is described belongs to the run."""
    from runtimes.data import outside

    spec = parsed(office, body)
    asked = spec.body()
    source = outside.source_of(office.topology, asked["provider"], asked["endpoint"])
    return spec, {} if source is None else {outside.ENDPOINT: outside.digest(source)}


def kind_of(source: str, topology: Topology) -> str | None:
    """Return the provider of a source that the topology describes; ours keep their own names."""
    from lakehouse.providers import PROVIDERS

    described = topology.providers.get(source)
    if described is None or (source in PROVIDERS and source != described.kind):
        return None
    return described.kind


def divided(source: str) -> tuple[str, str | None]:
    """Return the provider and the path that a source names: ``sample``, ``a.csv``, ``lean:PATH``.

    What is no provider's name is a path of the provider ``files``.
    """
    from lakehouse.providers import PROVIDERS, WITH_PATH

    if source in PROVIDERS and source not in WITH_PATH:
        return source, None
    name, mark, path = source.partition(":")
    return (name, path) if mark and name in WITH_PATH else (FILES, source)


def digest(spec: Mapping[str, Any], allowed: Sequence[Path], others: Iterable[str] = ()) -> str:
    """Return the fingerprint of the files that a spec's body asks for.

    A path that leads nowhere but is almost the name of a provider, or of one of the ``others``
    that the topology describes, raises `UnknownNameError` with it.
    """
    from lakehouse.providers import PROVIDERS
    from lakehouse.providers.base import FromPath, Request

    request = Request.of(spec, allowed)
    path = str(request.path)
    provider = PROVIDERS.load(request.provider)()
    assert isinstance(provider, FromPath)  # noqa: S101  its kind of spec alone has a path
    try:
        return provider.fingerprint(request)
    except MissingError as error:
        known = [*PROVIDERS, *others]
        name = path.partition(":")[0]  # perhaps a provider's with its path behind
        close = nearest(name, known)
        if not close:
            raise
        raise UnknownNameError(
            f"{name[:64]!r} is neither a provider nor a file in the inbox.",
            hint=did_you_mean(name, known),
            nearest=close,
        ) from error


def written(source: str, inbox: Path) -> str:
    """Return how a spec names a file that may be read: below the inbox relative to it."""
    place, root = Path(os.path.realpath(inbox / source)), Path(os.path.realpath(inbox))
    return str(place.relative_to(root)) if place.is_relative_to(root) else str(place)


def named_after(source: str) -> str:
    """Return a spec name for a source: ``ingest-`` and what names allow of the file's stem."""
    stem = Path(source).name.partition(".")[0].lower()
    return f"ingest-{re.sub(r'[^a-z0-9_-]+', '-', stem).strip('-')[:50] or 'file'}"
