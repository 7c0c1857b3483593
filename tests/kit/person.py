"""A person at a browser, by HTTP: signs in, presses Allow, and hands back where she is sent."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import httpx2

from tests.kit.identity import PASSWORD, USERNAME, hidden_fields

MOST_PAGES = 6


def approve(address: str) -> dict[str, str]:
    """Open an authorization URL, do what its pages ask, and return the client's parameters."""
    parts = urlsplit(address)
    base = f"{parts.scheme}://{parts.netloc}"
    with httpx2.Client(base_url=base, timeout=10) as browser:
        answer = browser.get(address)
        for _ in range(MOST_PAGES):
            if answer.is_redirect:
                location = answer.headers["location"]
                if urlsplit(location).netloc not in ("", parts.netloc):
                    return dict(parse_qsl(urlsplit(location).query))
                answer = browser.get(location)
                continue
            fields = hidden_fields(answer.text)
            if 'name="password"' in answer.text:
                typed = {**fields, "username": USERNAME, "password": PASSWORD}
                answer = browser.post("/as/login", data=typed)
            else:
                answer = browser.post("/as/authorize", data={**fields, "decision": "allow"})
    raise AssertionError(f"the pages lead nowhere: {answer.status_code} {answer.text[:300]}")
