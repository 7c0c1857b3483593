"""A call through the gateway: what goes over the wire, what is kept, and what replays."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from runtimes.gateway.complete import router_complete, stream
from runtimes.gateway.words import (
    BudgetExceededError,
    Delta,
    LLMRequest,
    LLMResponse,
    ModelSilentError,
    OutputInvalidError,
    Place,
    ReplayError,
)
from tests.kit.models import Memory, Quiet, Reply, called, calls, described, said, scripted
from topology.errors import EgressDeniedError, HaltedError, MissingError, UnknownNameError

TOOL = {
    "type": "function",
    "function": {
        "name": "data_get_bars",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"symbols": {"type": "array", "items": {"type": "string"}}},
            "additionalProperties": False,
        },
    },
}
ASKED = LLMRequest(
    alias="local",
    messages=[{"role": "user", "content": "Which way?"}],
    place=Place("analyst", 0),
    tools=[TOOL],
    params={"temperature": 0.0},
    seed=7,
)
VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["long", "flat"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}


async def test_what_is_asked_arrives_unchanged_and_nothing_else_is_told() -> None:
    before = json.dumps(ASKED.tools)
    with scripted(said("Up.")) as model:
        context = calls(Memory(), local=described(model.url))
        answer = await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    assert (answer.content, answer.finish, answer.cost) == ("Up.", "stop", Decimal(0))
    (heard,) = model.heard
    assert heard.path == "/v1/chat/completions"
    assert heard.body == {
        "messages": [{"role": "user", "content": "Which way?"}],
        "model": "scripted",
        "max_tokens": 1024,
        "temperature": 0.0,
        "tools": [TOOL],
        "seed": 7,
    }
    assert json.dumps(ASKED.tools) == before
    assert {name.lower() for name in heard.headers} <= {
        *("accept", "content-type", "content-length", "host", "authorization", "user-agent")
    }


async def test_settings_of_the_environment_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_ORG_ID": "org-secret",
        "OPENAI_PROJECT_ID": "proj-secret",
        "OPENAI_CUSTOM_HEADERS": "X-Leak: yes",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "sk-of-the-environment",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "",
    }.items():
        monkeypatch.setenv(name, value)
    with scripted(said("Up.")) as model:
        context = calls(Memory(), local=described(model.url, credential="mine"))
        await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    told = json.dumps(dict(model.heard[0].headers))
    assert "key-mine" in told
    assert not any(word in told for word in ("secret", "X-Leak", "sk-of-the-environment"))


async def test_a_kept_call_replays_without_a_server_and_costs_nothing() -> None:
    live = Memory()
    with scripted(called(("data_get_bars", {"symbols": ["AAPL.NASDAQ"]}))) as model:
        there = described(model.url)
        context = calls(live, local=there)
        first = await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    again = Memory(tokens=0, cassette=live.settled)
    answer = await router_complete(ASKED, ctx=calls(again, local=there), mode="replay")
    assert answer == replace(first, replayed=True)
    assert again.copied == live.settled
    assert answer.message["tool_calls"][0]["function"]["name"] == "data_get_bars"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"messages": [{"role": "user", "content": "Which wax?"}]}, "$.messages[0].content"),
        ({"params": {"temperature": 0.5}}, "$.temperature"),
        ({"seed": 8}, "$.seed"),
        ({"tools": ()}, "$.tools"),
        ({"max_tokens": 1025}, "$.max_tokens"),
    ],
)
async def test_a_replay_that_asks_something_else_says_where(
    change: dict[str, Any], path: str
) -> None:
    live = Memory()
    with scripted(said("Up.")) as model:
        there = described(model.url)
        context = calls(live, local=there)
        await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    other = replace(ASKED, **change)
    with pytest.raises(ReplayError) as found:
        await router_complete(
            other, ctx=calls(Memory(cassette=live.settled), local=there), mode="replay"
        )
    assert (found.value.facts["path"], found.value.facts["node"]) == (path, "analyst")


async def test_another_model_or_other_weights_never_answer_from_this_record() -> None:
    live = Memory()
    with scripted(said("Up.")) as model:
        context = calls(live, local=described(model.url))
        await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    for change in ({"model": "other"}, {"weights_sha256": "0" * 64}):
        other = described(model.url, **change)
        with pytest.raises(ReplayError):
            await router_complete(
                ASKED, ctx=calls(Memory(cassette=live.settled), local=other), mode="replay"
            )
    moved = described("http://127.0.0.1:1/v1")
    answer = await router_complete(
        ASKED, ctx=calls(Memory(cassette=live.settled), local=moved), mode="replay"
    )
    assert answer.content == "Up."


async def test_a_replay_without_a_record_diverges_and_replay_or_live_asks() -> None:
    with scripted(said("Up.")) as model:
        there = described(model.url)
        context = calls(Memory(), local=there)
        with pytest.raises(ReplayError, match="holds no call"):
            await router_complete(ASKED, ctx=context, mode="replay")
        answer = await router_complete(ASKED, ctx=context, mode="replay_or_live")
        await context.close()
    assert (answer.content, answer.replayed) == ("Up.", False)


async def test_tokens_are_reserved_before_and_settled_after() -> None:
    book = Memory(tokens=1200)
    with scripted(said("Up.", usage=(40, 60)), said("No.")) as model:
        context = calls(book, local=described(model.url))
        await router_complete(ASKED, ctx=context, mode="record")
        assert book.left == 1100
        with pytest.raises(BudgetExceededError):
            await router_complete(replace(ASKED, max_tokens=1100), ctx=context, mode="record")
        await context.close()
    assert len(model.heard) == 1


async def test_a_server_that_does_not_count_is_estimated_and_says_so() -> None:
    book = Memory()
    with scripted(said("Up.", usage=None)) as model:
        context = calls(book, local=described(model.url))
        answer = await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    assert answer.usage.estimated
    assert answer.usage.prompt == -(-len(book.settled[0].request) // 4)


async def test_money_is_counted_by_the_price_of_the_topology() -> None:
    price = {"prompt": "3", "completion": "15"}
    book = Memory()
    with scripted(said("Up.", usage=(1000, 200))) as model:
        context = calls(book, local=described(model.url, price=price))
        answer = await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    assert answer.cost == book.spent == Decimal("0.006")


async def test_structured_output_is_repaired_once() -> None:
    asked = replace(ASKED, tools=(), output_schema=VERDICT)
    with scripted(said('{"verdict": "up"}'), said('```json\n{"verdict": "long"}\n```')) as model:
        book = Memory()
        context = calls(book, local=described(model.url))
        answer = await router_complete(asked, ctx=context, mode="record")
        await context.close()
    assert answer.output == {"verdict": "long"}
    assert len(book.settled) == 2
    repair = model.heard[1].body["messages"][-1]["content"]
    assert "/verdict" in repair
    again = Memory(cassette=book.settled)
    replayed = await router_complete(
        asked, ctx=calls(again, local=described(model.url)), mode="replay"
    )
    assert replayed.output == {"verdict": "long"}


async def test_output_that_breaks_the_schema_twice_fails_with_the_place() -> None:
    asked = replace(ASKED, tools=(), output_schema=VERDICT)
    with scripted(said("not json"), said('{"verdict": 1}')) as model:
        context = calls(Memory(), local=described(model.url))
        with pytest.raises(OutputInvalidError) as found:
            await router_complete(asked, ctx=context, mode="record")
        await context.close()
    assert found.value.facts["pointer"] == "/verdict"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply({"error": {"message": "busy"}}, 503), "HTTP 503"),
        (Reply(b"", 307, {"Location": "http://127.0.0.1:9/v1/chat/completions"}), "HTTP 307"),
        (Reply(b"<html>", 200), "something else"),
        (Reply({"choices": []}), "something else"),
        (Reply(said("late").body, wait_s=1.5), "said nothing|did not answer"),
        (Reply(b'{"pad": "' + b"x" * (9 * 2**20) + b'"}'), "8 MB"),
    ],
    ids=["503", "redirect", "html", "no choice", "late", "too large"],
)
async def test_a_server_in_trouble_is_asked_once_and_named(reply: Reply, says: str) -> None:
    book = Memory()
    with scripted(reply, said("never")) as model:
        context = calls(book, local=described(model.url, timeout_s=0.7))
        with pytest.raises(ModelSilentError, match=says) as found:
            await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    assert (len(model.heard), book.failed) == (1, ["model_unresponsive"])
    assert "Which way?" not in str(found.value.body())


async def test_nobody_listening_is_said() -> None:
    context = calls(Memory(), local=described("http://127.0.0.1:9/v1"))
    with pytest.raises(ModelSilentError, match="cannot be reached"):
        await router_complete(ASKED, ctx=context, mode="record")
    await context.close()


async def test_a_fallback_answers_where_the_first_did_not_and_replays_as_itself() -> None:
    asked = replace(ASKED, fallbacks=("spare",))
    book = Memory()
    with scripted(Reply(b"", 503)) as broken, scripted(said("Down.")) as spare:
        models: dict[str, Any] = {
            "local": described(broken.url),
            "spare": described(spare.url, model="small"),
        }
        context = calls(book, **models)
        answer = await router_complete(asked, ctx=context, mode="record")
        await context.close()
    assert (answer.alias, answer.content) == ("spare", "Down.")
    again = calls(Memory(cassette=book.settled), **models)
    assert (await router_complete(asked, ctx=again, mode="replay")).content == "Down."


async def test_a_wider_fallback_is_refused_before_anything_is_sent() -> None:
    cloud = described(
        "https://models.example.com/v1",
        egress="cloud",
        price={"prompt": "1", "completion": "1"},
        max_label="proprietary",
    )
    with scripted(Reply(b"", 503)) as broken:
        context = calls(Memory(), local=described(broken.url), far=cloud)
        with pytest.raises(EgressDeniedError, match="further away"):
            await router_complete(replace(ASKED, fallbacks=("far",)), ctx=context, mode="record")
        await context.close()


async def test_a_halt_comes_before_the_call() -> None:
    with scripted(said("Up.")) as model:
        context = calls(Memory(), local=described(model.url))
        assert isinstance(context.progress, Quiet)
        context.progress.stop = HaltedError("Halted.")
        with pytest.raises(HaltedError):
            await router_complete(ASKED, ctx=context, mode="record")
        await context.close()
    assert model.heard == []


async def test_a_stream_is_kept_whole_and_replays_as_one_piece() -> None:
    book = Memory()
    with scripted(said("Up and away.")) as model:
        there = described(model.url)
        context = calls(book, local=there)
        pieces = [p async for p in stream(ASKED, ctx=context, mode="record")]
        await context.close()
    *words, whole = pieces
    assert isinstance(whole, LLMResponse)
    assert "".join(w.text for w in words if isinstance(w, Delta)) == whole.content
    assert (whole.content.strip(), whole.usage.completion) == ("Up and away.", 5)
    context = calls(Memory(cassette=book.settled), local=there)
    replayed = [p async for p in stream(ASKED, ctx=context, mode="replay")]
    assert replayed[0] == Delta(whole.content)
    assert len(replayed) == 2


async def test_streamed_tool_calls_are_put_together_again() -> None:
    with scripted(called(("data_get_bars", {"symbols": ["AAPL.NASDAQ", "MSFT.NASDAQ"]}))) as model:
        context = calls(Memory(), local=described(model.url))
        *_, whole = [p async for p in stream(ASKED, ctx=context, mode="record")]
        await context.close()
    assert isinstance(whole, LLMResponse)
    call = whole.message["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"symbols": ["AAPL.NASDAQ", "MSFT.NASDAQ"]}


async def test_where_no_model_is_configured_three_lines_fix_it() -> None:
    with pytest.raises(MissingError) as found:
        await router_complete(ASKED, ctx=calls(Memory()), mode="record")
    assert len(found.value.hint.splitlines()) == 4
    context = calls(Memory(), local=described("http://127.0.0.1:9/v1"))
    with pytest.raises(UnknownNameError, match="locl"):
        await router_complete(replace(ASKED, alias="locl"), ctx=context, mode="record")


async def test_data_does_not_go_where_its_label_forbids() -> None:
    with scripted(said("Up.")) as model:
        context = calls(Memory(), local=described(model.url, max_label="internal"))
        with pytest.raises(EgressDeniedError, match="'proprietary'"):
            await router_complete(ASKED, ctx=context, mode="record")
        await router_complete(replace(ASKED, label="internal"), ctx=context, mode="record")
        await context.close()
    assert len(model.heard) == 1
