"""What workloads may use and where they run: the section ``workload`` of the map."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field

from topology.errors import did_you_mean
from topology.fields import AbsolutePath, BaseUrl, Name, Section
from topology.marks import Path

Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Cluster(Section):
    """A Kubernetes API server, the token for it, and the file of its authority if it has its own.

    It is a place of ``egress`` that must be allowed for ``workloads``.
    """

    url: BaseUrl
    credential: Name | None = None
    ca: AbsolutePath | None = None
    namespace: Namespace = "alphaswarm"


class Workloads(Section):
    """Which credentials workloads may have, and the two places that are not this machine.

    Workloads may use the ``credentials`` that are listed here and no others. ``docker`` is the
    socket of the engine. What is left of an ended workload is kept for ``keep_s`` seconds.
    """

    credentials: tuple[Name, ...] = ()
    docker: AbsolutePath = "/var/run/docker.sock"
    kubernetes: Cluster | None = None
    keep_s: Annotated[int, Field(ge=60, le=31_536_000)] = 604_800


def findings(section: Workloads, credentials: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield each credential that the map does not describe."""
    used: list[tuple[Path, str]] = [
        (("workload", "credentials", place), name) for place, name in enumerate(section.credentials)
    ]
    if section.kubernetes and section.kubernetes.credential:
        used.append((("workload", "kubernetes", "credential"), section.kubernetes.credential))
    for path, name in used:
        if name not in credentials:
            yield path, f"no such credential. {did_you_mean(name, credentials)}".rstrip()
