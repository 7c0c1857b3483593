"""One page that holds everything, fetches nothing, and trusts nobody's text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.kit.sheets import sheet
from tools.apps.tearsheet import LARGEST, page

EVIL = "</script><script>alert('x')</script><!--\u2028\" onload=\"y"
SVG = "http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """Keeps the tags, what they point at, and the text of the data script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.data = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [f"{n}={v}" for n, v in attrs if n in ("src", "href") or n.startswith("on")]
        self._inside = ("id", "sheet") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data += data


@pytest.mark.parametrize("held", [None, sheet()], ids=["the app", "a page with its sheet"])
def test_the_page_stands_alone(held: dict[str, Any] | None) -> None:
    text = page(held, summary="in words" if held else "")
    found = Page(text)
    assert found.links == []
    assert not set(found.tags) & {"link", "img", "iframe", "object", "base", "form"}
    assert re.findall(r"https?://[^\"'`\s]*", text) == [SVG]
    assert not re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|import\(|eval\(", text)
    assert "prefers-color-scheme: dark" in text


def test_the_app_is_small_and_listens_to_its_parent_only() -> None:
    text = page()
    assert len(text.encode()) < 60_000
    assert "source !== parent" in text
    assert 'id="sheet"' not in text


def test_a_page_of_two_thousand_points_and_five_hundred_trades_fits() -> None:
    assert len(page(sheet(points=2_000, trades=500)).encode()) < LARGEST


def test_no_text_of_a_sheet_ends_a_script_or_starts_a_tag() -> None:
    held = sheet()
    held["run"]["name"] = held["lead"] = EVIL
    held["warnings"] = [{"code": EVIL, "message": EVIL}]
    text = page(held, summary=EVIL)
    found = Page(text)
    assert found.tags.count("script") == 2
    assert found.links == []
    assert json.loads(found.data) == held
    assert EVIL not in text


def test_who_runs_no_script_reads_the_summary() -> None:
    assert "<noscript><pre>Sharpe &lt;1&gt;</pre></noscript>" in page(sheet(), summary="Sharpe <1>")
