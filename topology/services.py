"""The map of a suite: read ``topology.yaml``, check it, and derive every address from it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from topology import canonical, checks, marks, shape
from topology.errors import BadInputError, TopologyError, UnknownNameError, did_you_mean, nearest
from topology.fields import Section
from topology.issuers import EmbeddedIssuer, ExternalIssuer
from topology.sections import Map, Server

PACKAGED = Path(__file__).with_name("topology.yaml")
LARGEST = 1_048_576
"""Bytes of a topology file; a larger one is not a topology."""


class Face(Section):
    """One MCP server as the outside sees it; all URLs are absolute.

    ``issuer`` is where people sign in, ``issuers`` everybody whose tokens are taken. ``acr`` are
    the names that external ones have for kinds of sign-in, with their worth; ``own`` tells whether
    ours is among them, ``foreign`` that people sign in elsewhere. ``asked`` is false where scopes
    follow from roles: naming them is useless.
    """

    name: str
    path: str
    url: str
    audience: str
    issuer: str
    issuers: tuple[str, ...]
    prm_url: str
    scopes: tuple[str, ...]
    read_scope: str
    actors: tuple[str, ...] = ()
    acr: tuple[tuple[str, int], ...] = ()
    own: bool = True
    foreign: bool = False
    asked: bool = True


class Topology(Map):
    """A checked map with what follows from it; it knows no home."""

    @cached_property
    def faces(self) -> dict[str, Face]:
        """Every declared server, in the order of the file."""
        return {name: self._face(name) for name in self.servers}

    def face(self, name: str) -> Face:
        """Return the server called ``name``; an unknown one raises `UnknownNameError`."""
        if name not in self.faces:
            raise UnknownNameError(
                f"No server is called {name[:64]!r}.",
                hint=did_you_mean(name, self.faces),
                family="server",
                nearest=nearest(name, self.faces),
            )
        return self.faces[name]

    @cached_property
    def embedded(self) -> str | None:
        """The name of our own issuer, or None where no server takes its tokens."""
        used = {name for server in self.servers.values() for name in _issuers(server)}
        ours = (n for n in used if isinstance(self.issuers.get(n), EmbeddedIssuer))
        return next(ours, None)

    def issuer_url(self, issuer: str | None = None) -> str:
        """Return an issuer's identifier, that of our own or of the first server by default."""
        name = issuer or self.embedded or next(iter(self.servers.values())).issuer
        found = self.issuers[name]
        return found.issuer if isinstance(found, ExternalIssuer) else self.base_url + found.path

    def external(self, server: str) -> dict[str, ExternalIssuer]:
        """Return the external issuers whose tokens a server takes, by name."""
        found = {name: self.issuers[name] for name in _issuers(self.servers[server])}
        return {n: one for n, one in found.items() if isinstance(one, ExternalIssuer)}

    def audience(self, target: str) -> str:
        """Return the audience of a server, or of a resource elsewhere."""
        known = self.faces.get(target)
        return known.audience if known else self.resources[target].audience

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical map, overlay and port applied."""
        return canonical.sha256(self.model_dump(mode="json", by_alias=True))

    def _face(self, name: str) -> Face:
        server = self.servers[name]
        url = server.url or self.base_url + server.path
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        foreign = self.external(name)
        signs = [one.step_up for one in foreign.values() if one.step_up]
        return Face(
            name=name,
            path=server.path,
            url=url,
            audience=server.audience or url,
            issuer=self.issuer_url(server.issuer),
            issuers=tuple(self.issuer_url(one) for one in _issuers(server)),
            prm_url=f"{origin}/.well-known/oauth-protected-resource{parts.path}",
            scopes=server.scopes,
            read_scope=f"{name}:read",
            actors=_actors(self, server),
            acr=tuple(kind for one in signs for kind in one.acr.items()),
            own=len(foreign) < len(_issuers(server)),
            foreign=server.issuer in foreign,
            asked=not any(one.scopes for key, one in foreign.items() if key == server.issuer),
        )


def _issuers(server: Server) -> tuple[str, ...]:
    return server.issuer, *server.trusts


def _actors(topology: Map, server: Server) -> tuple[str, ...]:
    """Return the clients that may act for a person at a server: those that can prove themselves."""
    if server.allowed_actors is not None:
        return server.allowed_actors
    return tuple(name for name, client in topology.clients.items() if client.keys)


def load(
    environ: Mapping[str, str] = os.environ,
    *,
    path: Path | None = None,
    profile: str | None = None,
    port: int | None = None,
) -> Topology:
    """Return the checked topology: file, then overlay, then port.

    The file is ``path``, else ``ALPHASWARM_TOPOLOGY``, else the packaged one; the overlay
    ``profile`` or ``ALPHASWARM_PROFILE`` (``embedded``, the default, needs none); the port
    ``port`` or ``ALPHASWARM_PORT``. All errors come at once in one `TopologyError`, each as
    ``file:line:column: path: what``.
    """
    file = path or Path(environ.get("ALPHASWARM_TOPOLOGY") or PACKAGED)
    profile = profile or environ.get("ALPHASWARM_PROFILE") or "embedded"
    document = marks.read(_text(file))
    problems = list(document.problems)
    if document.data is None:
        raise _refusal(file, problems)
    data = _overlaid(document.data, profile, environ)
    data = _with_port(data, port if port is not None else _port(environ))
    topology, shapes = shape.validate(Topology, data, spare=_packaged())
    rules = checks.findings(topology, profile=profile) if topology is not None else ()
    problems += _located([checks.secrets(data), shapes, rules], document, profile)
    if problems or topology is None:
        raise _refusal(file, problems)
    return topology


@cache
def _packaged() -> Any:
    return marks.read(_text(PACKAGED)).data


def merge(base: Any, overlay: Any) -> Any:
    """Return ``base`` with ``overlay`` laid over it (RFC 7396): lists replace, null deletes."""
    if not isinstance(overlay, dict):
        return overlay
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in overlay.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
        if len(raw) <= LARGEST:
            return raw.decode("utf-8-sig")
        what = f"is larger than {LARGEST} bytes"
    except UnicodeDecodeError:
        what = "is not UTF-8 text"
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "cannot be read"
    raise TopologyError(
        f"{file}: {what}.",
        hint="Set ALPHASWARM_TOPOLOGY to a topology.yaml, or unset it to use the packaged one.",
        errors=[{"file": str(file), "line": 1, "column": 1, "path": "", "problem": what}],
    )


def _overlaid(data: dict[str, Any], profile: str, environ: Mapping[str, str]) -> dict[str, Any]:
    declared = data.get("profiles")
    profiles = declared if isinstance(declared, dict) else {}
    if profile in profiles:
        return {**merge(data, profiles[profile]), "profiles": profiles}
    if profile == "embedded":
        return data
    source = "ALPHASWARM_PROFILE" if environ.get("ALPHASWARM_PROFILE") == profile else "profile"
    raise UnknownNameError(
        f"No profile is called {profile[:64]!r}.",
        hint=did_you_mean(profile, ["embedded", *map(str, profiles)]),
        family="profile",
        source=source,
        nearest=nearest(profile, ["embedded", *map(str, profiles)]),
    )


def _port(environ: Mapping[str, str]) -> int | None:
    text = environ.get("ALPHASWARM_PORT")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise _bad_port(text[:16])
    return int(text)


def _with_port(data: dict[str, Any], port: int | None) -> dict[str, Any]:
    """Replace ``listen.port``, and the port of ``base_url`` where it names the same door."""
    listen, base_url = data.get("listen"), data.get("base_url")
    if port is None or not isinstance(listen, dict):
        return data
    if not 1 <= port <= 65_535:
        raise _bad_port(port)
    old = f":{listen.get('port')}"
    if isinstance(base_url, str) and base_url.endswith(old):
        base_url = f"{base_url.removesuffix(old)}:{port}"
    return {**data, "listen": {**listen, "port": port}, "base_url": base_url}


def _bad_port(value: object) -> BadInputError:
    return BadInputError(
        f"{value!r} is not a port.",
        hint="Give --port or ALPHASWARM_PORT a number from 1 to 65535.",
        path="listen.port",
        value=value,
    )


def _located(
    stages: list[Iterable[checks.Finding]], document: marks.Document, profile: str
) -> list[marks.Problem]:
    """Give each finding the place in the file that it comes from, the overlay's first.

    What an earlier stage, or the reader, has said about a path a later one does not say again.
    """
    problems: list[marks.Problem] = []
    said = {problem.path for problem in document.problems}
    for stage in stages:
        found = [(_source(path, document, profile), text) for path, text in stage]
        fresh = [(path, text) for path, text in found if marks.dotted(path) not in said]
        problems += [
            marks.Problem(*document.place(path), marks.dotted(path), text) for path, text in fresh
        ]
        said |= {marks.dotted(path) for path, _ in fresh}
    return problems


def _source(path: marks.Path, document: marks.Document, profile: str) -> marks.Path:
    overlay: marks.Path = ("profiles", profile, *path)
    return overlay if path and overlay in document.marks else path


def _refusal(file: Path, problems: list[marks.Problem]) -> TopologyError:
    ordered = sorted(set(problems))
    lines = [
        f"{file}:{p.line}:{p.column}: {f'{p.path}: ' if p.path else ''}{p.text}" for p in ordered
    ]
    return TopologyError(
        "\n".join(lines),
        hint="Correct the topology and try again; nothing was started.",
        errors=[
            {
                "file": str(file),
                "line": p.line,
                "column": p.column,
                "path": p.path,
                "problem": p.text,
            }
            for p in ordered
        ],
    )
