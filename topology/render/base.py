"""What every renderer shares: the first line, which says where a file comes from, and its form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from topology.errors import TopologyError
from topology.services import Topology

Files = dict[str, str]
"""File name -> text."""

_STAMP = re.compile(r"generated from topology\.yaml sha256:([0-9a-f]{64})")


def stamp(topology: Topology) -> str:
    """Return the words that name the map a file was made from, profile and port applied."""
    return f"generated from topology.yaml sha256:{topology.sha256}"


def stamped(text: str) -> str | None:
    """Return the hash that a rendered file names in its first line, None where it names none."""
    found = _STAMP.search(text.partition("\n")[0])
    return found.group(1) if found else None


def yaml_text(topology: Topology, documents: Sequence[Any], *, notes: Sequence[str] = ()) -> str:
    """Return YAML documents below the stamp; ``notes`` are comments for whoever installs it."""
    head = "".join(f"# {line}\n" for line in (stamp(topology), *notes))
    bodies = (
        yaml.dump(document, Dumper=_Plain, sort_keys=False, width=10_000, allow_unicode=True)
        for document in documents
    )
    return head + "---\n".join(bodies)


def refusal(path: str, problem: str, *, hint: str) -> TopologyError:
    """Return the error of a map that cannot be deployed so; nothing is wrong with it otherwise."""
    return TopologyError(
        f"{path}: {problem}.", hint=hint, errors=[{"path": path, "problem": problem}]
    )


def json_text(body: Any) -> str:
    """Return JSON as clients keep it: two spaces, a line feed at the end."""
    return json.dumps(body, indent=2) + "\n"


class _Plain(yaml.SafeDumper):
    """Writes every value out; a shared one is no anchor."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
