"""Mapping files: how the data beside them is to be read, in the words of a spec's ``reading``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from lakehouse.errors import UnreadableFileError
from lakehouse.providers import paths
from lakehouse.providers.base import Reading
from topology.errors import did_you_mean, nearest
from topology.home import FILE_MAPPING, FOLDER_MAPPING

MOST_BYTES = 65_536
KEYS = tuple(field.name for field in fields(Reading))
_NULL = "tag:yaml.org,2002:null"


class _Words(yaml.SafeLoader):
    """YAML whose values are the words that stand there: ``17:30``, ``Y`` and days stay text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as in the class above it
        first: [(tag, pattern) for tag, pattern in known if tag == _NULL]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def beside(source: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Return what the mapping file beside ``source`` says, or nothing where there is none.

    Beside ``bars.csv`` that is ``bars.csv.mapping.yaml``, else ``bars.mapping.yaml``, else
    ``alphaswarm-mapping.yaml`` in its folder; for a folder or a glob the latter in that folder.
    It is read when an ingest is submitted, under what the caller says, so that the locked spec
    holds all of it. A key that is none of a reading's raises ``unreadable_file``.
    """
    place, names = _places(source, folders)
    file = paths.beside(place, names, folders)
    if file is None:
        return {}
    with file.open() as stream:
        data = stream.read(MOST_BYTES + 1)
    return _checked(file.name, data)


def _places(source: str, folders: Sequence[Path]) -> tuple[Path, list[str]]:
    base, pattern = paths.split(source, folders)
    if pattern:
        return paths.resolved(f"{base}/x", folders).parent, [FOLDER_MAPPING]
    place = paths.resolved(base, folders)
    if place.is_dir():
        return place, [FOLDER_MAPPING]
    stem = place.name.partition(".")[0]
    return place.parent, [place.name + FILE_MAPPING, stem + FILE_MAPPING, FOLDER_MAPPING]


def _checked(name: str, data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise _wrong(name, f"is larger than {MOST_BYTES} bytes")
    try:
        said = yaml.load(data.decode("utf-8"), Loader=_Words)  # noqa: S506  a safe loader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(name, "is no YAML in UTF-8") from error
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise _wrong(name, "holds no keys")
    for key in said:
        if key not in KEYS:
            raise UnreadableFileError(
                f"The mapping file {name[:128]!r} has an unknown key {str(key)[:64]!r}.",
                hint=did_you_mean(str(key)[:64], KEYS),
                key=str(key)[:64],
                nearest=nearest(str(key)[:64], KEYS),
            )
    return dict(said)


def _wrong(name: str, what: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"The mapping file {name[:128]!r} {what}.",
        hint=f"Write keys of a reading, for example: timezone: America/New_York. Known: "
        f"{', '.join(KEYS)}.",
    )
