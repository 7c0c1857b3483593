"""What `connect` writes, and what it would undo: entries of this suite in one client's file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clients.connect import jsontext
from clients.connect.places import Place
from topology.errors import BadInputError
from topology.render.clients import entry, name_in
from topology.services import Face

NOTHING = "{}\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Our entries by the names that the client knows them by."""

    place: Place
    entries: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paste(self) -> str:
        """Return what a person would paste into the file by hand."""
        return json.dumps({self.place.key: dict(self.entries)}, indent=2)


def wanted(
    place: Place, faces: Sequence[Face], *, command: str, environ: Mapping[str, str]
) -> Wanted:
    """Return the entries of ``faces``; a bridge is told the home where it is not the usual one."""
    found: dict[str, Any] = {}
    for face in faces:
        body = entry(face, place.client, command=command)
        if "env" in body:
            names = ("ALPHASWARM_HOME", "ALPHASWARM_TOPOLOGY", "ALPHASWARM_PORT")
            body = {**body, "env": {name: environ[name] for name in names if environ.get(name)}}
        found[name_in(place.client, face)] = body
    return Wanted(place, found)


def entered(text: str, want: Wanted, ours: Mapping[str, Any], *, force: bool = False) -> str:
    """Return the file's text with our entries, everything else byte for byte.

    ``ours`` are the entries that we wrote here before; an entry of our name that is none of them
    raises `BadInputError`, unless ``force``. So does a text that is not plain JSON.
    """
    at = _root(text, want)
    key = want.place.key
    if jsontext.find(text, at, key) is None:
        text = jsontext.put(text, at, key, {})
    for name, body in want.entries.items():
        table = _table(text, want)
        there = jsontext.find(text, table, name)
        held = None if there is None else json.loads(text[there.value_at : there.end])
        if held == body:
            continue
        if held is not None and held != ours.get(name) and not force:
            raise BadInputError(
                f"{want.place.file} has an entry {name!r} that is not ours.",
                hint="Rename it, or replace it with --force.",
                path=f"{key}.{name}",
                file=str(want.place.file),
            )
        text = jsontext.put(text, table, name, body)
    return text


def left(text: str, want: Wanted, ours: Mapping[str, Any], *, made_table: bool) -> str:
    """Return the text without our entries; the table goes too where we made it and it is empty."""
    at = _root(text, want)
    key = want.place.key
    if jsontext.find(text, at, key) is None:
        return text
    for name, body in {**want.entries, **ours}.items():
        table = _table(text, want)
        there = jsontext.find(text, table, name)
        if there is not None and json.loads(text[there.value_at : there.end]) in (
            body,
            want.entries.get(name),
        ):
            text = jsontext.drop(text, table, name)
    if made_table and not jsontext.members(text, _table(text, want)):
        text = jsontext.drop(text, at, key)
    return text


def _root(text: str, want: Wanted) -> int:
    try:
        return jsontext.root(text)
    except json.JSONDecodeError as error:
        problem = f"{error.lineno}:{error.colno}: {error.msg}"
    except (ValueError, IndexError) as error:
        problem = f"1:1: {error}"
    raise BadInputError(
        f"{want.place.file}:{problem}.",
        hint=f"It is not plain JSON, so it was left alone. Paste this yourself:\n{want.paste}",
        file=str(want.place.file),
    )


def _table(text: str, want: Wanted) -> int:
    found = jsontext.find(text, _root(text, want), want.place.key)
    if found is None or text[found.value_at] != "{":
        raise BadInputError(
            f"{want.place.file}: {want.place.key} is not an object.",
            hint=f"Correct it first, or paste this yourself:\n{want.paste}",
            path=want.place.key,
            file=str(want.place.file),
        )
    return found.value_at
