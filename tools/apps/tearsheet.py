"""The tear sheet's page: one HTML file that draws a sheet, by itself or inside an MCP host.

Without a sheet it is the MCP App, which gets its sheet from the host. With one it stands alone,
for a browser and ``file://``. Both fetch nothing: style and script are in it, and every text of a
sheet reaches the page as text, never as markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from tools.apps.labels import GROUPS, TILES
from tools.apps.svg import element, words

PARTS = ("bridge.js", "words.js", "chart.js", "sheet.js")
MIME = "text/html;profile=mcp-app"
LARGEST = 300_000
"""Bytes of a page, with its sheet."""


def page(sheet: Mapping[str, Any] | None = None, *, summary: str = "") -> str:
    """Return the page; ``sheet`` holds JSON values, ``summary`` is for readers without script."""
    name = sheet["run"]["name"] if sheet else "Tear sheet"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        + element("title", words(name))
        + f"<style>{_source('style.css')}</style>"
    )
    waiting = element("p", "Waiting for a run.", class_="lead")
    plain = f"<noscript>{element('pre', words(summary))}</noscript>" if summary else ""
    data = f'<script type="application/json" id="sheet">{_inline(sheet)}</script>' if sheet else ""
    script = f"<script>(() => {{\n{_script()}}})();</script>"
    body = f'<main data-state="waiting">{waiting}</main>{plain}{data}{script}'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


@cache
def _script() -> str:
    labels = json.dumps({"tiles": TILES, "groups": GROUPS})
    return f"const LABELS = {labels};\n" + "".join(_source(name) for name in PARTS)


def _source(name: str) -> str:
    text = files("tools.apps").joinpath("sheet").joinpath(name).read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")


def _inline(sheet: Mapping[str, Any] | None) -> str:
    """Return JSON that no tag of its own can end."""
    text = json.dumps(sheet, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
