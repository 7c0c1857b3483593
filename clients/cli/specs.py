"""Spec files as the command line reads them: the text goes to the server, which judges it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from clients.cli.calling import pair
from topology.errors import BadInputError, InvalidSpecError, MissingError

DEMO = "momentum.yaml"
LARGEST = 1_048_576
"""Bytes of a file that is read at all; the server's own limit is far below."""


def packaged(name: str = DEMO) -> str:
    """Return the text of a spec that ships with the command line."""
    return (resources.files("clients.cli") / "examples" / name).read_text(encoding="utf-8")


def read(path: Path) -> str:
    """Return the text of a spec file."""
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidSpecError(
                f"{str(path)!r} has more than {LARGEST} bytes; a spec is small.",
                hint="Move data into tables and name them in the spec.",
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSpecError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8."
        ) from None
    except OSError as error:
        raise MissingError(
            f"The spec {str(path)!r} cannot be read: {error.strerror}.", hint="Check the path."
        ) from None


def kind_of(text: str) -> str:
    """Return the kind that a spec text names at its top level; what else is wrong stays unseen."""
    import yaml

    depth, key = 0, ""
    try:
        for event in yaml.parse(text, Loader=_loader()):
            if isinstance(event, yaml.ScalarEvent) and depth == 1:
                if key == "kind":
                    return str(event.value)
                key = "" if key else str(event.value)
            elif isinstance(event, yaml.SequenceStartEvent) and depth == 0:
                break
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                depth += 1
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                depth -= 1
                key = "" if depth == 1 else key
    except yaml.YAMLError as error:
        raise InvalidSpecError(f"The spec is not YAML: {error}.", hint="Correct it.") from None
    raise InvalidSpecError(
        "The spec does not say which kind it is.",
        hint="Begin it with, for example, kind: backtest.",
    )


def changed(text: str, settings: Sequence[str]) -> str | dict[str, Any]:
    """Return the spec with ``--set`` applied: ``strategy.params.top=5``.

    Without settings the text itself, so that the server's errors name its lines.
    """
    if not settings:
        return text
    data = _plain(text)
    for setting in settings:
        path, value = pair(setting)
        place: Any = data
        *parents, last = path.split(".")
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise BadInputError(
                    f"--set {setting!r}: {name!r} is not a mapping.",
                    hint="Set the whole value instead.",
                )
        place[last] = value
    return data


def _plain(text: str) -> dict[str, Any]:
    """Read YAML by the core schema of YAML 1.2, as the server does: dates stay text."""
    import yaml

    try:
        if any(isinstance(t, _refused(yaml)) for t in yaml.scan(text, Loader=_loader())):
            raise InvalidSpecError("Anchors and tags are not allowed.", hint="Write it out.")
        data = _value(yaml.compose(text, Loader=_loader()))
    except RecursionError:
        raise InvalidSpecError("The spec is nested too deep.", hint="Flatten it.") from None
    except yaml.YAMLError as error:
        raise InvalidSpecError(f"The spec is not YAML: {error}.", hint="Correct it.") from None
    if not isinstance(data, dict):
        raise InvalidSpecError("A spec is a mapping of keys to values.", hint="Correct it.")
    return data


def _loader() -> Any:
    """Return the loader of libyaml, which is far quicker, where PyYAML was built with it."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _refused(yaml: Any) -> tuple[type, ...]:
    return (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)


def _value(node: Any) -> Any:
    if node is None:
        return None
    if node.id == "mapping":
        return {str(key.value): _value(item) for key, item in node.value}
    if node.id == "sequence":
        return [_value(item) for item in node.value]
    return node.value if node.style else _scalar(node.value)


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
