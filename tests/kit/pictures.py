"""Reads a picture as a reader would: what it says, where, and whether words cover words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

from tools.apps.picture import GLYPH

SIZES = {"heading": 1.8, "strong": 1.25, "lead": 1.13}
"""Height of text beside the usual one."""
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Words:
    """A text with the box that it takes, by the width that the drawing reckons with."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: Words) -> bool:
        """Tell whether the two boxes share more than a hair."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > 1
            and min(self.bottom, other.bottom) - max(self.top, other.top) > 1
        )


@dataclass(frozen=True)
class Picture:
    """A parsed SVG."""

    root: ElementTree.Element
    width: float
    height: float
    texts: list[Words]

    @property
    def said(self) -> str:
        """Return all visible words."""
        return "\n".join(words.text for words in self.texts)

    def named(self, tag: str) -> str:
        """Return the text of the first element ``tag``."""
        found = self.root.find(f"{SVG}{tag}")
        assert found is not None
        return found.text or ""

    def paths(self, name: str) -> list[str]:
        """Return the data of the paths of a class."""
        every = self.root.iter(f"{SVG}path")
        return [p.get("d", "") for p in every if name in p.get("class", "").split()]


def read(text: str) -> Picture:
    """Parse an SVG and check what holds of all of ours: valid, alone, accessible, legible."""
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title desc")
    _, _, width, height = (float(part) for part in root.get("viewBox", "").split())
    for item in root.iter():
        assert item.tag.removeprefix(SVG) not in ("script", "image", "foreignObject", "a", "use")
        assert not [name for name in item.attrib if name.startswith("on") or "href" in name]
    assert "url(" not in text
    assert "@import" not in text
    picture = Picture(root, width, height, [_words(item) for item in root.iter(f"{SVG}text")])
    for words in picture.texts:
        assert words.left >= 0, words
        assert words.right <= width, words
        assert words.bottom <= height, words
    for one, other in combinations(picture.texts, 2):
        assert not one.covers(other), (one, other)
    return picture


def _words(item: ElementTree.Element) -> Words:
    inner = item.find(f"{SVG}title")
    text = (item.text or "") if inner is None else (inner.tail or "")
    x, y = float(item.get("x", "0")), float(item.get("y", "0"))
    classes = item.get("class", "").split()
    size = next((scale for name, scale in SIZES.items() if name in classes), 1.0)
    width = len(text) * GLYPH * (1.2 if "strong" in classes else 1.0)
    left = x - width if "end" in classes else x - width / 2 if "middle" in classes else x
    return Words(text, left, y - 8.5 * size, left + width, y + 2.5 * size)
