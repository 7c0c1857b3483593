"""A person at the console by plain HTTP: what a browser sends, without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import httpx2

from tests.kit.client import _Form
from tests.kit.identity import PASSWORD, USERNAME

MOST_PAGES = 20


@dataclass
class Visitor:
    """Keeps cookies and follows redirects; types a name and a password where they are asked for."""

    base: str
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(trust_env=False, timeout=30))
    csrf: str = ""

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.get(f"{self.base}/console{path}", headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send what a script of the page sends; ``headers`` bend it, an empty one is left out."""
        sent = {"x-csrf-token": self.csrf, "origin": self.base, "sec-fetch-site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in sent.items() if value}
        return self.http.post(f"{self.base}/console{path}", json=body or {}, headers=kept)

    def call(self, server: str, tool: str, **arguments: Any) -> httpx2.Response:
        return self.post(f"/call/{server}/{tool}", arguments)

    def sign_in(self, target: str = "/console") -> httpx2.Response:
        """Go through the issuer; return the page that it leads to."""
        answer = self.follow(self.get(f"/sign-in?next={target}"))
        session = self.get("/session")
        assert session.status_code == 200, session.text
        self.csrf = session.json()["csrf"]
        return answer

    def follow(self, answer: httpx2.Response) -> httpx2.Response:
        """Follow redirects and fill in the forms on the way."""
        for _ in range(MOST_PAGES):
            url = str(answer.url)
            if answer.is_redirect:
                answer = self.http.get(urljoin(url, answer.headers["location"]))
                continue
            form = _Form()
            form.feed(answer.text)
            if not form.action:
                return answer
            typed = form.fields | {"username": USERNAME, "password": PASSWORD}
            answer = self.http.post(urljoin(url, form.action), data=typed)
        raise AssertionError("the issuer asks for ever")
