"""StackSpec: a Terraform module tree with its lock file, variables and references to secrets."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from runtimes.specs.base import Spec

LOCK = ".terraform.lock.hcl"
"""The file that pins every provider by version and hash; it belongs to the tree."""
FILES = 500
_PART = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,127}")
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = re.compile(
    r"PATH|HOME|LANG|LD_.*|TF_(?!VAR_|TOKEN_).*|CHECKPOINT_DISABLE|TOFU_.*|SSL_CERT_.*|.*_PROXY",
    re.IGNORECASE,
)
_STATE = re.compile(r"\.terraform|.*\.tfstate(\..*)?|.*\.tfplan|\.terraform\.tfstate\.lock\.info")


def _files(files: dict[str, str]) -> dict[str, str]:
    for path in files:
        parts = PurePosixPath(path).parts
        if "/".join(parts) != path or not all(_PART.fullmatch(part) for part in parts):
            raise _refused("file", path, "is not a relative path of plain names.")
        if ".." in parts or "." in parts:
            raise _refused("file", path, "leads out of the tree.")
        if any(_STATE.fullmatch(part) for part in parts):
            raise _refused("file", path, "is state, and state is no part of a stack.")
    if not any("/" not in path and path.endswith((".tf", ".tf.json", ".tofu")) for path in files):
        raise PydanticCustomError("file", "There is no .tf file at the top of the tree.")
    return dict(sorted(files.items()))


def _variables(variables: dict[str, Any]) -> dict[str, Any]:
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise _refused("variable", name, "is not the name of a variable.")
    return dict(sorted(variables.items()))


def _credentials(credentials: dict[str, str]) -> dict[str, str]:
    for name in credentials:
        if not _ENVIRONMENT.fullmatch(name):
            raise _refused("environment", name, "is not the name of an environment variable.")
        if _OURS.fullmatch(name):
            raise _refused("environment", name, "is set by the runtime alone.")
    return dict(sorted(credentials.items()))


def _refused(kind: str, name: str, why: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "'{name}' {why}", {"name": name[:80], "why": why})


Files = Annotated[
    dict[str, Annotated[str, Field(max_length=200_000)]],
    AfterValidator(_files),
    Field(min_length=1, max_length=FILES),
]
Variables = Annotated[dict[str, Any], AfterValidator(_variables), Field(max_length=200)]
Credentials = Annotated[
    dict[str, Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]],
    AfterValidator(_credentials),
    Field(max_length=50),
]


class StackSpec(Spec):
    """A stack: the text of every file of its module tree, so that the hash covers all of it.

    ``files`` maps a path inside the tree to its text, ``.terraform.lock.hcl`` among them wherever
    a provider is used. ``vars`` are JSON values; a secret is no variable but a credential:
    ``credentials`` maps an environment variable (``TF_VAR_name`` for a variable) to the name of a
    credential of the topology. ``mode`` says what a plan is for: to ``apply`` the tree, to
    ``destroy`` what it made, or to ``refresh`` the state from the world, which shows drift alone.
    """

    kind: Literal["terraform"] = "terraform"
    files: Files
    vars: Variables = Field(default_factory=dict)
    credentials: Credentials = Field(default_factory=dict)
    mode: Literal["apply", "destroy", "refresh"] = "apply"
