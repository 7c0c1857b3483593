"""A drawing that stands alone: one SVG with its title, description, colours and nothing fetched."""

from __future__ import annotations

from importlib.resources import files

from tools.apps.svg import element, words

MARGIN = 28
TOP = 84
"""Where a drawing begins, below its heading and lead."""
GLYPH = 6.4
"""Width of a character of 11.5 px text, on the generous side; digits and capitals fit."""


def standalone(
    width: float, height: float, *children: str, heading: str, lead: str, description: str
) -> str:
    """Return the SVG; ``heading`` is its accessible name, ``description`` what it shows."""
    style = files("tools.apps").joinpath("picture.css").read_text()
    return element(
        "svg",
        element("title", words(heading), id="title"),
        element("desc", words(description), id="desc"),
        element("style", style),
        element("rect", width=width, height=height, class_="paper"),
        element("text", words(heading), x=MARGIN, y=42, class_="heading"),
        element("text", words(lead), x=MARGIN, y=63, class_="lead"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width,
        height=height,
        role="img",
        aria_labelledby="title desc",
    )


def fitted(text: str, width: float, *, glyph: float = GLYPH) -> str:
    """Return ``text``, cut in its middle where it is wider than ``width`` pixels."""
    room = max(int(width / glyph), 3)
    if len(text) <= room:
        return text
    head = (room - 1) * 2 // 3
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (room - 1 - head) :]}"
