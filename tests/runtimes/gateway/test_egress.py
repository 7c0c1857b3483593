"""Twelve set-ups that would take a prompt elsewhere: each is refused before a byte leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from runtimes.gateway import guard
from runtimes.gateway.complete import Calls, router_complete
from runtimes.gateway.words import LLMRequest, ModelSilentError, Place
from tests.kit.models import Memory, Quiet, Reply, allowing, calls, described, said, scripted
from topology.egress import Guard
from topology.errors import AlphaSwarmError, EgressDeniedError
from topology.models import Model
from topology.sections import Allowed, Egress

ROOT = Path(__file__).resolve().parents[3]
CANARY = "THE-PROMPT-CANARY"
ASKED = LLMRequest("local", [{"role": "user", "content": CANARY}], Place("n", 0))


def answering(*rounds: Sequence[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a resolver whose answers change: one list of addresses per question."""
    answers: Iterator[Sequence[str]] = iter(rounds)
    last: list[Sequence[str]] = []

    def lookup(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        last[:] = [next(answers, *last)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in last[0]]

    return lookup


async def refused(model: Model, egress: Egress, lookup: Callable[..., Any]) -> AlphaSwarmError:
    sealed = Guard(egress, "models", lookup)
    context = Calls({"local": model}, sealed, SecretStr, Quiet(), Memory())
    with pytest.raises((EgressDeniedError, ModelSilentError)) as found:
        await router_complete(ASKED, ctx=context, mode="record")
    await context.close()
    assert CANARY not in str(found.value.body())
    return found.value


def test_1_no_base_url_is_no_model() -> None:
    with pytest.raises(ValidationError):
        Model.model_validate({"provider": "openai_compatible", "model": "gpt-5"})


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"])
async def test_2_3_a_proxy_of_the_environment_hears_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with scripted(said("stolen")) as proxy, scripted(said("Up.")) as model:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "example.com")
        context = calls(Memory(), local=described(model.url))
        assert (await router_complete(ASKED, ctx=context, mode="record")).content == "Up."
        await context.close()
    assert proxy.heard == []


@pytest.mark.parametrize("allowed", [False, True], ids=["another origin", "an allowed one"])
async def test_4_5_a_redirect_is_not_followed(allowed: bool) -> None:
    with scripted(said("stolen")) as other:
        there = {"Location": f"{other.url}/chat/completions"}
        with scripted(Reply(b"", 307, there)) as model:
            models = [described(model.url), *([described(other.url)] if allowed else [])]
            context = calls(Memory(), egress=allowing(*models), local=models[0])
            with pytest.raises(ModelSilentError, match="HTTP 307"):
                await router_complete(ASKED, ctx=context, mode="record")
            await context.close()
    assert other.heard == []


async def test_6_a_name_that_changes_its_mind_is_judged_again() -> None:
    with scripted(said("Up."), said("stolen")) as model:
        name = described(f"http://model.test:{model.port}/v1")
        allow = Egress(
            allow=(
                Allowed(
                    host="model.test", port=model.port, purposes=("models",), address="loopback"
                ),
            )
        )
        lookup = answering(["127.0.0.1"], ["203.0.113.7"])
        context = Calls({"local": name}, Guard(allow, "models", lookup), SecretStr, Quiet())
        assert (await router_complete(ASKED, ctx=context, mode="live")).content == "Up."
        with pytest.raises(EgressDeniedError, match="leads to"):
            await router_complete(ASKED, ctx=context, mode="live")
        await context.close()
    assert len(model.heard) == 1


async def test_7_one_public_address_among_ours_is_enough_to_refuse() -> None:
    with scripted(said("stolen")) as model:
        name = described(f"http://model.test:{model.port}/v1")
        entry = Allowed(
            host="model.test", port=model.port, purposes=("models",), address="loopback"
        )
        error = await refused(name, Egress(allow=(entry,)), answering(["127.0.0.1", "203.0.113.7"]))
    assert isinstance(error, EgressDeniedError)
    assert model.heard == []


async def test_8_an_origin_that_is_not_listed_is_refused() -> None:
    with scripted(said("stolen")) as model:
        await refused(described(model.url), Egress(), socket.getaddrinfo)
    assert model.heard == []


async def test_9_a_library_that_goes_elsewhere_with_our_client_is_stopped() -> None:
    with scripted(said("stolen")) as other, scripted() as model:
        ours = described(model.url)
        sealed = Guard(allowing(ours, described(other.url)), "models")
        async with guard.client(sealed, ours.origin, timeout_s=2) as http:
            with pytest.raises(EgressDeniedError, match="another place"):
                await http.post(f"{other.url}/chat/completions", json={"m": CANARY})
    assert other.heard == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.1:{port}/v1", "http://2130706433:{port}/v1", "http://0x7f.1:{port}/v1"),
        *("http://[::ffff:127.0.0.1]:{port}/v1", "http://0.0.0.0:{port}/v1"),
    ],
)
async def test_10_odd_spellings_of_an_address_are_no_way_round(url: str) -> None:
    with scripted(said("stolen")) as model:
        odd = described(url.format(port=model.port))
        await refused(odd, allowing(described(model.url)), socket.getaddrinfo)
    assert model.heard == []


def test_11_a_user_name_in_a_url_is_refused() -> None:
    with pytest.raises(ValidationError):
        described("http://127.0.0.1:1@203.0.113.7/v1")


FENCED = """
import asyncio, os, sys
from pydantic import SecretStr
sys.path.insert(0, {root!r})
from runtimes.gateway import fence
from runtimes.gateway.complete import Calls, router_complete
from runtimes.gateway.words import LLMRequest, Place
from tests.kit.models import Quiet, allowing, described
from topology.egress import Guard
from topology.errors import AlphaSwarmError
model = described({url!r}, provider="litellm/{vendor}", model={name!r})
fence.install([model.place])
context = Calls({{"far": model}}, Guard(allowing(model), "models"), SecretStr, Quiet())
asked = LLMRequest("far", [{{"role": "user", "content": "CANARY"}}], Place("n", 0))
try:
    answer = asyncio.run(router_complete(asked, ctx=context, mode="live"))
    print("ANSWER", answer.content)
except AlphaSwarmError as error:
    print("REFUSED", error.wire_code, error.message)
"""


def fenced(tmp_path: Path, url: str, vendor: str, name: str, **environ: str) -> str:
    code = textwrap.dedent(FENCED.format(root=str(ROOT), url=url, vendor=vendor, name=name))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return done.stdout


def test_12_another_providers_library_reaches_its_origin_and_nothing_else(tmp_path: Path) -> None:
    """``./.env`` with keys, callbacks, proxies and the vendor's cloud: none of them is reached."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-dotenv\nOPENAI_BASE_URL=http://127.0.0.1:9\n")
    with scripted(said("stolen")) as thief, scripted(said("Up.")) as model:
        hostile = {
            "HTTP_PROXY": f"http://127.0.0.1:{thief.port}",
            "HTTPS_PROXY": f"http://127.0.0.1:{thief.port}",
            "LITELLM_CALLBACKS": "langfuse",
            "OPENAI_API_KEY": "sk-of-the-environment",
        }
        out = fenced(tmp_path, model.url, "lm_studio", "scripted", **hostile)
        assert "ANSWER Up." in out
        assert "sk-" not in str(model.heard[0].headers)
    assert thief.heard == []


def test_12_a_fenced_process_cannot_dial_what_is_not_named(tmp_path: Path) -> None:
    with scripted(said("stolen")) as other:
        code = f"""
            import socket, sys, urllib.request
            sys.path.insert(0, {str(ROOT)!r})
            from runtimes.gateway import fence
            from topology.errors import EgressDeniedError
            fence.install([("127.0.0.1", 1)])
            for way in (
                lambda: socket.create_connection(("127.0.0.1", {other.port})),
                lambda: socket.create_connection(("203.0.113.7", 443)),
                lambda: socket.getaddrinfo("models.example.com", 443),
                lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("203.0.113.7", 53)),
                lambda: socket.socket(socket.AF_INET6).connect(("::1", {other.port}, 0, 0)),
            ):
                try:
                    way()
                except EgressDeniedError:
                    print("denied")
            left, right = socket.socketpair()
            left.sendall(b"x")
            print(right.recv(1))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.split() == ["denied"] * 5 + ["b'x'"]


async def test_the_name_is_checked_by_tls_although_an_address_is_dialled() -> None:
    """The request goes to an address; Host header and SNI still carry the name."""
    seen: list[httpx.Request] = []

    async def inner(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    entry = Allowed(host="model.test", port=443, purposes=("models",), address="public")
    sealed = Guard(Egress(allow=(entry,)), "models", answering(["203.0.114.7"]))
    transport = guard.GuardedTransport(sealed, "https://model.test")
    transport._inner = httpx.MockTransport(inner)  # type: ignore[assignment]
    async with httpx.AsyncClient(transport=transport) as http:
        await http.get("https://model.test/v1")
    (request,) = seen
    assert (request.url.host, request.headers["host"]) == ("203.0.114.7", "model.test")
    assert request.extensions["sni_hostname"] == "model.test"
