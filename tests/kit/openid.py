"""An OpenID provider that is not ours, on a port of its own, and what a client gets from it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from tests.kit.identity import CHALLENGE, VERIFIER
from tests.kit.node import NODE, node_package

SCRIPT = Path(__file__).with_name("openid_provider.mjs")
CALLBACK = "http://127.0.0.1:1/callback"
MOST_PAGES = 12


@dataclass(frozen=True)
class Provider:
    """A running provider; everybody who signs in there is ``grace``."""

    port: int

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tokens(self, resource: str, scope: str, **more: str) -> dict[str, Any]:
        """Return the token response of a sign-in by code, PKCE and resource."""
        query = {
            "response_type": "code",
            "client_id": "kit",
            "redirect_uri": CALLBACK,
            "resource": resource,
            "scope": scope,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **more,
        }
        code = visit(f"{self.issuer}/auth", query)["code"]
        form = {
            "grant_type": "authorization_code",
            "client_id": "kit",
            "redirect_uri": CALLBACK,
            "resource": resource,
            "code": code,
            "code_verifier": VERIFIER,
        }
        return self._post(form)

    def token(self, resource: str, scope: str, **more: str) -> str:
        return str(self.tokens(resource, scope, **more)["access_token"])

    def machine(self, resource: str, scope: str) -> str:
        """Return the token that a client has for itself."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        auth = ("robot", "only-for-tests-of-this-suite")
        return str(self._post(form, auth=auth)["access_token"])

    def _post(self, form: dict[str, str], **more: Any) -> dict[str, Any]:
        answer = httpx2.post(f"{self.issuer}/token", data=form, **more)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def visit(address: str, query: dict[str, str] | None = None) -> dict[str, str]:
    """Open an authorization URL as grace would; return the parameters that the client gets."""
    home = urlsplit(address).netloc
    with httpx2.Client(timeout=10) as browser:
        answer = browser.get(address, params=query)
        for _ in range(MOST_PAGES):
            assert answer.is_redirect, answer.text[:500]
            address = urljoin(address, answer.headers["location"])
            if urlsplit(address).netloc != home:
                return dict(parse_qsl(urlsplit(address).query))
            answer = browser.get(address)
    raise AssertionError("the provider redirects for ever")


@contextlib.contextmanager
def provider(port: int, resources: list[str], scope: str) -> Iterator[Provider]:
    """Run a provider that makes tokens for ``resources``; its keys are new at each start."""
    script = node_package("openid") / SCRIPT.name  # node finds its packages beside the script
    shutil.copyfile(SCRIPT, script)
    asked = {"port": port, "resources": resources, "scope": scope}
    with subprocess.Popen(
        [NODE, str(script), json.dumps(asked)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            assert said.strip() == "ready", said
            yield Provider(port)
        finally:
            process.kill()
