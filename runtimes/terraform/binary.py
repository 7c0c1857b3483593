"""The program that does the work: where it is, what it may know, and where it may look."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from topology.errors import BinaryMissingError

NAMES = ("tofu", "terraform")
CONFIG = "cli.tfrc"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Binary:
    """An executable and its SHA-256."""

    path: Path
    sha256: str


def find(configured: str | None, environ: Mapping[str, str] = os.environ) -> Binary:
    """Return the topology's binary, else `tofu`, else `terraform` from PATH.

    None of them there raises `BinaryMissingError`: there is no package of it to install.
    """
    if configured is not None:
        if os.access(configured, os.X_OK) and Path(configured).is_file():
            return _binary(Path(configured))
        raise BinaryMissingError(
            f"{configured!r} is not a program.",
            hint="Correct terraform.binary in topology.yaml, or remove it to use PATH.",
            binary=configured,
        )
    for name in NAMES:
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found:
            return _binary(Path(found).resolve())
    raise BinaryMissingError(
        "Neither 'tofu' nor 'terraform' is on this machine.",
        hint="Install OpenTofu, or name the program in topology.yaml: terraform.binary.",
        binary=NAMES[0],
    )


def environment(
    folder: Path, secrets: Mapping[str, SecretStr], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return all that the program knows: built from nothing, so that no secret slips in.

    Its home is ``folder``, the stack's own, so that nobody's settings count either.
    """
    return {
        "PATH": environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(folder / CONFIG),
        **{name: secret.get_secret_value() for name, secret in secrets.items()},
    }


def configuration(registries: tuple[str, ...], mirror: str | None) -> str:
    """Return the program's settings: providers come from ``mirror`` and listed registries only.

    With neither only providers that are built in can be used.
    """
    lines = ["disable_checkpoint = true", "provider_installation {"]
    if mirror is not None:
        lines.append(f"  filesystem_mirror {{ path = {json.dumps(mirror)} }}")
    if registries:
        patterns = json.dumps([f"{host}/*/*" for host in registries])
        lines.append(f"  direct {{ include = {patterns} }}")
    else:
        lines.append('  direct { exclude = ["*/*/*"] }')
    return "\n".join([*lines, "}", ""])


def facts(binary: Binary, version: Mapping[str, str]) -> dict[str, str]:
    """Return what a run row says of the program: which one, which build, on what machine."""
    return {
        "version": f"{binary.path.name} {version['terraform_version']}",
        "sources": binary.sha256,
        "fingerprint": version["platform"],
    }


def _binary(path: Path) -> Binary:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return Binary(path, digest.hexdigest())
