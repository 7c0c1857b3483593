"""A small writer of markup: elements that escape everything."""

from __future__ import annotations

import re
from html import escape

_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold (XML 1.0, 2.2), not even escaped."""


def element(tag: str, *children: str, **attributes: str | float | None) -> str:
    """Return ``<tag ...>children</tag>``; children are markup, attribute values are escaped.

    ``class_`` and names with ``_`` are written ``class`` and with ``-``; None leaves one out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value), quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def words(text: object) -> str:
    """Return ``text`` as escaped markup; what XML cannot hold becomes the replacement character."""
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", value)
    return f"{value:.1f}".removesuffix(".0")
