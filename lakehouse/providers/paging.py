"""Where in the pages of an endpoint we are, and which one comes next."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from lakehouse.providers import pages
from lakehouse.providers.pages import Page
from lakehouse.providers.wire import Answer
from topology.sources import Cursor, HttpSource, Link, Pages

_NEXT = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next"?')


class StrayError(Exception):
    """The next page is not one that may be asked for."""


@dataclass(slots=True)
class Place:
    """The page that is asked for: by its number, the rows before it, a cursor, or an address."""

    page: int
    number: int = 1
    offset: int = 0
    cursor: str = ""
    link: str | None = None
    seen: set[str] = field(default_factory=set)

    @classmethod
    def first(cls, source: HttpSource) -> Place:
        """Return the first page."""
        return cls(page=getattr(source.pagination, "first", 1))

    def again(self, digest: str) -> bool:
        """Tell whether a page with rows came before: then there is no end to them."""
        if digest in self.seen:
            return True
        self.seen.add(digest)
        return False

    def move(
        self, source: HttpSource, url: str, answer: Answer, page: Page, hidden: Collection[str]
    ) -> bool:
        """Go on to the next page; False after the last.

        ``hidden`` names the query values that an address of the vendor's must not repeat: they
        are sent anew. One of another host raises `StrayError`.
        """
        pagination = source.pagination
        self.number += 1
        self.offset += page.rows
        if isinstance(pagination, Pages):
            self.page += 1
            return page.rows >= (pagination.size or 1)
        if isinstance(pagination, Cursor):
            cursor = pages.at(page.around, pagination.path)
            self.cursor = cursor if isinstance(cursor, str) else ""
            return bool(self.cursor)
        if isinstance(pagination, Link):
            self.link = _linked(source.url, url, _named(pagination, answer, page), hidden)
            return self.link is not None
        return False


def _named(pagination: Link, answer: Answer, page: Page) -> str | None:
    if pagination.path is None:
        found = _NEXT.search(answer.headers.get("link", ""))
        return found[1] if found else None
    text = pages.at(page.around, pagination.path)
    return text if isinstance(text, str) else None


def _linked(first: str, url: str, text: str | None, hidden: Collection[str]) -> str | None:
    if not text:
        return None
    onward, origin = urlsplit(urljoin(url, text)), urlsplit(first)
    if (onward.scheme, onward.netloc) != (origin.scheme, origin.netloc):
        raise StrayError("it names a page of another host.")
    kept = [(name, value) for name, value in parse_qsl(onward.query) if name not in hidden]
    return urlunsplit(onward._replace(query=urlencode(kept), fragment=""))
