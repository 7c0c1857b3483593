"""WorkloadSpec: a process or a container, what it may use, and how one knows that it is well."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from runtimes.part import Integer, Part
from runtimes.specs.base import Spec
from runtimes.words import at, choose

IMAGE = re.compile(
    r"[a-z0-9]+([._-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*@sha256:[0-9a-f]{64}"
)
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = re.compile(r"PATH|HOME|LANG|LC_ALL|LD_.*|PYTHON.*|ALPHASWARM_.*")
"""Environment that the runtime alone sets."""


def _image(text: str) -> str:
    if not IMAGE.fullmatch(text):
        raise PydanticCustomError(
            "image", "Name the image by digest: name@sha256:<64 hex digits>; a tag can move."
        )
    return text


def _credentials(credentials: dict[str, str]) -> dict[str, str]:
    for name in credentials:
        if not _ENVIRONMENT.fullmatch(name) or _OURS.fullmatch(name):
            problem = "'{name}' is no environment variable that a workload may set."
            raise PydanticCustomError("environment", problem, {"name": name[:80]})
    return dict(sorted(credentials.items()))


def _argument(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("argument", "An argument holds no NUL character.")
    return text


Argument = Annotated[str, Field(max_length=4_096), AfterValidator(_argument)]
Argv = Annotated[tuple[Argument, ...], Strict(strict=False), Field(min_length=1, max_length=256)]
Port = Annotated[Integer, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=3_600, strict=False)]


class Resources(Part):
    """What it may use: memory in MB, processors, seconds of processor, open files, MB per file."""

    memory_mb: Annotated[Integer, Field(ge=16, le=1_048_576)] = 1_024
    cpus: Annotated[float, Field(gt=0, le=1_024, strict=False)] | None = None
    cpu_s: Annotated[Integer, Field(ge=1, le=31_536_000)] | None = None
    files: Annotated[Integer, Field(ge=16, le=1_048_576)] | None = None
    file_mb: Annotated[Integer, Field(ge=1, le=1_048_576)] | None = None


class Restart(Part):
    """When it is started again by itself: at most ``most`` times in a row, after a growing pause.

    The pause doubles from ``pause_s`` up to 60 s; whoever lived 30 s begins anew.
    """

    policy: Literal["never", "on_failure", "always"] = "on_failure"
    most: Annotated[Integer, Field(ge=0, le=1_000)] = 5
    pause_s: Seconds = 1.0


class Probe(Part):
    """Asked each ``every_s`` after ``start_s``; ``failures`` in a row make the workload unwell."""

    every_s: Seconds = 5.0
    timeout_s: Seconds = 2.0
    start_s: Seconds = 30.0
    failures: Annotated[Integer, Field(ge=1, le=100)] = 3


class HttpProbe(Probe):
    """Well is who answers GET with a status below 400."""

    kind: Literal["http"] = "http"
    port: Port
    path: Annotated[str, Field(pattern=r"^/[!-~]{0,1000}$")] = "/"


class TcpProbe(Probe):
    """Well is who takes a connection."""

    kind: Literal["tcp"] = "tcp"
    port: Port


class ArgvProbe(Probe):
    """Well is whose command ends with 0."""

    kind: Literal["argv"] = "argv"
    argv: Argv


Health = Annotated[
    HttpProbe | TcpProbe | ArgvProbe,
    choose("probe", {"http": HttpProbe, "tcp": TcpProbe, "argv": ArgvProbe}, key="kind"),
]
LACKS: dict[str, tuple[str, ...]] = {
    "process": ("image", "resources.cpus"),
    "docker": (),
    "kubernetes": ("resources.cpu_s", "resources.files", "resources.file_mb"),
}
"""What a provider cannot do: a key that is set anyway is refused."""


class WorkloadSpec(Spec):
    """A workload: ``argv`` on this machine, or an ``image`` by digest with another command.

    ``credentials`` are the environment: names of the topology's credentials by variable. Nothing
    else of the environment is passed on. ``halt_grace_s`` lies between SIGTERM and SIGKILL when a
    halt covers it.
    """

    kind: Literal["workload"] = "workload"
    provider: Literal["process", "docker", "kubernetes"] = "process"
    image: Annotated[str, AfterValidator(_image)] | None = None
    argv: Argv | None = None
    credentials: Annotated[dict[str, str], AfterValidator(_credentials)] = Field(
        default_factory=dict, max_length=64
    )
    resources: Resources = Resources()
    restart: Restart = Restart()
    ports: Annotated[tuple[Port, ...], Strict(strict=False), Field(max_length=32)] = ()
    health: Health | None = None
    halt_grace_s: Annotated[float, Field(ge=0, le=60, strict=False)] = 3.0

    @model_validator(mode="after")
    def _fits_the_provider(self) -> Any:
        here = self.provider == "process"
        if here and self.argv is None:
            raise at("argv", None, PydanticCustomError("missing", "A process needs its argv."))
        if not here and self.image is None:
            raise at("image", None, PydanticCustomError("missing", "A container needs an image."))
        for path in LACKS[self.provider]:
            self._refuse(path)
        if len(set(self.ports)) != len(self.ports):
            raise at("ports", list(self.ports), PydanticCustomError("twice", "One port is twice."))
        return self

    def _refuse(self, path: str) -> None:
        head, _, tail = path.partition(".")
        value = getattr(self, head)
        value = getattr(value, tail) if tail else value
        if value is not None:
            problem = "The provider {provider} has nothing like this."
            raise at(
                path, value, PydanticCustomError("lacks", problem, {"provider": self.provider})
            )
