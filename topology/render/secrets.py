"""Which secrets a deployment has to bring, by reference: the map names them and holds none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from topology.credentials import CredentialRef
from topology.render.base import refusal
from topology.services import Topology


@dataclass(frozen=True, slots=True)
class SecretNeed:
    """One credential: ``variable`` of the environment, or ``path`` of a file, where it arrives."""

    name: str
    variable: str | None
    path: PurePosixPath | None


def needs(topology: Topology) -> tuple[SecretNeed, ...]:
    """Return what the map's credentials ask for, in its order; one file is asked for once.

    A keyring does not exist in a container: `TopologyError` with the path of the credential.
    """
    found: dict[str, SecretNeed] = {}
    for name, credential in topology.credentials.items():
        reference = CredentialRef.parse(credential.source)
        if reference.scheme == "env":
            need = SecretNeed(name, reference.target, None)
        elif reference.scheme == "file":
            need = SecretNeed(name, None, PurePosixPath(reference.target.partition("#")[0]))
        else:
            raise refusal(
                f"credentials.{name}",
                f"a container has no {reference.scheme}",
                hint="Write env: or file: in the profile that you deploy.",
            )
        found.setdefault(str(need.variable or need.path), need)
    return tuple(found.values())
