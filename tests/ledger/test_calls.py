"""Budgets and the record of calls: nothing is used twice, nothing is lost, nothing is changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import budgets, llm_calls, runs, tool_calls, transcripts
from ledger.budgets import Amounts
from ledger.calls import At
from ledger.pool import Pool, transaction
from tests.kit.ledger import Desk
from topology.errors import BadInputError, FaultError, LeaseLostError, MissingError

Claimed = Callable[..., runs.Claim]
HERE = At("analyst", 0)


@pytest.fixture
def claimed(pool: Pool, desk: Desk) -> Claimed:
    """Return a function that claims a new run with a budget."""

    def make(parent: str | None = None, **limits: Any) -> runs.Claim:
        claim = desk.claimed(kind="agent", name="calls")
        budgets.open_budget(pool, claim.run_id, Amounts(**limits), parent=parent)
        return claim

    return make


def asked(at: At = HERE, **most: Any) -> llm_calls.Asked:
    reserve = Amounts(llm_calls=1, **most)
    return llm_calls.Asked(at, "local", "http://127.0.0.1:1", b'{"v":1}', reserve)


def answered(at: At = HERE, response: str = "{}", **used: Any) -> llm_calls.Answered:
    return llm_calls.Answered(
        at,
        "local",
        "http://127.0.0.1:1",
        b'{"v":1}',
        response,
        Amounts(llm_calls=1, **used),
        False,
        5.0,
    )


def intent(at: At = HERE, **keys: Any) -> tool_calls.Intent:
    plain: dict[str, Any] = {
        "server": "data",
        "tool": "get_bars",
        "schema_sha256": "0" * 64,
        "effect": "read",
        "args": '{"symbols":["AAPL.NASDAQ"]}',
    }
    return tool_calls.Intent(at, **{**plain, **keys})


def test_what_is_reserved_and_not_used_comes_back(pool: Pool, claimed: Claimed) -> None:
    """100 left, 60 reserved, settled at 45: 55 are left."""
    claim = claimed(llm_calls=2, prompt_tokens=100, completion_tokens=100)
    attempt = llm_calls.begin(pool, claim, asked(prompt_tokens=60))
    assert budgets.left(pool, claim.run_id).prompt_tokens == 40
    llm_calls.settle(pool, claim, answered(prompt_tokens=45), attempt)
    left = budgets.left(pool, claim.run_id)
    assert (left.prompt_tokens, left.llm_calls) == (55, 1)


def test_two_at_once_cannot_both_have_it(pool: Pool, claimed: Claimed) -> None:
    """100 left, two concurrent reserves of 60: one row, one ``budget_exceeded``."""
    claim = claimed(llm_calls=9, prompt_tokens=100)
    ends: list[str] = []

    def ask(step: int) -> None:
        try:
            llm_calls.begin(pool, claim, asked(At("n", step), prompt_tokens=60))
            ends.append("row")
        except BadInputError as error:
            ends.append(error.wire_code)

    threads = [threading.Thread(target=ask, args=(step,)) for step in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["budget_exceeded", "row"]
    assert budgets.left(pool, claim.run_id).prompt_tokens == 40


def test_a_child_uses_what_is_its_parents_too(pool: Pool, claimed: Claimed) -> None:
    above = claimed(llm_calls=5, prompt_tokens=100)
    first = claimed(parent=above.run_id, llm_calls=5, prompt_tokens=80)
    second = claimed(parent=above.run_id, llm_calls=5, prompt_tokens=80)
    llm_calls.begin(pool, first, asked(prompt_tokens=70))
    with pytest.raises(BadInputError) as found:
        llm_calls.begin(pool, second, asked(prompt_tokens=40))
    assert found.value.wire_code == "budget_exceeded"
    assert found.value.facts == {
        "run_id": above.run_id,
        "quantity": "prompt_tokens",
        "left": "30",
        "wanted": "40",
    }
    assert budgets.left(pool, second.run_id).prompt_tokens == 80


def test_a_server_that_counts_more_than_was_reserved_overshoots_by_one_call(
    pool: Pool, claimed: Claimed
) -> None:
    claim = claimed(llm_calls=9, completion_tokens=100)
    attempt = llm_calls.begin(pool, claim, asked(completion_tokens=90))
    llm_calls.settle(pool, claim, answered(completion_tokens=500), attempt)
    assert budgets.left(pool, claim.run_id).completion_tokens == 0
    with pytest.raises(BadInputError):
        llm_calls.begin(pool, claim, asked(At("n", 1), completion_tokens=1))


def test_a_call_that_never_came_back_stays_spent(pool: Pool, claimed: Claimed) -> None:
    claim = claimed(llm_calls=3, cost_usd=Decimal("0.10"))
    llm_calls.begin(pool, claim, asked(cost_usd=Decimal("0.04")))
    again = llm_calls.begin(pool, claim, asked(cost_usd=Decimal("0.04")))
    assert again == 2
    llm_calls.settle(pool, claim, answered(cost_usd=Decimal("0.01")), again)
    left = budgets.left(pool, claim.run_id)
    assert (left.cost_usd, left.llm_calls) == (Decimal("0.050000000"), 1)
    found = llm_calls.find(pool, claim.run_id, HERE)
    assert found is not None
    assert found.used.cost_usd == Decimal("0.01")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 50), st.integers(0, 60), st.booleans()),
        max_size=12,
    )
)
def test_over_a_tree_no_order_of_calls_and_crashes_overdraws(
    pool: Pool, claimed: Claimed, steps: list[tuple[int, int, int, bool]]
) -> None:
    """The sum of what was used stays within the root's limit, but for one call's overshoot."""
    root = claimed(llm_calls=100, prompt_tokens=200)
    tree = [root, *(claimed(parent=root.run_id, llm_calls=100, prompt_tokens=150) for _ in "ab")]
    used = 0
    for step, (who, most, real, crash) in enumerate(steps):
        at = At("n", step)
        try:
            attempt = llm_calls.begin(pool, tree[who], asked(at, prompt_tokens=most))
        except BadInputError:
            continue
        used += most if crash else real
        if not crash:
            llm_calls.settle(pool, tree[who], answered(at, prompt_tokens=real), attempt)
    assert used <= 200 + 60 * (used > 200)
    left = budgets.left(pool, root.run_id).prompt_tokens
    assert left == max(left, 0)
    assert used <= 200 or left == 0 or used - 200 <= 60


def test_a_worker_that_lost_the_run_writes_nothing(pool: Pool, claimed: Claimed) -> None:
    claim = claimed(llm_calls=5, tool_calls=5)
    attempt = tool_calls.begin(pool, claim, intent())
    assert runs.release(pool, claim)
    for write in (
        lambda: llm_calls.begin(pool, claim, asked()),
        lambda: llm_calls.copy(pool, claim, answered()),
        lambda: tool_calls.begin(pool, claim, intent(At("n", 1))),
        lambda: tool_calls.settle(pool, claim, tool_calls.Done(intent(), "{}", {}, 1.0), attempt),
    ):
        with pytest.raises(LeaseLostError):
            write()
    assert budgets.left(pool, claim.run_id).llm_calls == 5


def test_an_intent_without_result_is_found_by_its_place(pool: Pool, claimed: Claimed) -> None:
    claim = claimed(tool_calls=5)
    assert tool_calls.unfinished(pool, claim.run_id, HERE) is None
    first = tool_calls.begin(pool, claim, intent())
    assert tool_calls.unfinished(pool, claim.run_id, HERE) == first == 1
    tool_calls.end(pool, claim, HERE, first, status="unknown")
    assert tool_calls.unfinished(pool, claim.run_id, HERE) is None
    second = tool_calls.begin(pool, claim, intent())
    done = tool_calls.Done(intent(), '{"rows":3}', {"t": "9223372036854775807"}, 2.0)
    tool_calls.settle(pool, claim, done, second)
    assert (second, tool_calls.find(pool, claim.run_id, HERE)) == (2, done)


def test_the_same_call_has_one_key_and_other_arguments_another() -> None:
    run, other = "run-one", "run-two"
    assert intent().key(run) == intent().key(run)
    keys = {intent().key(run), intent().key(other), intent(args="{}").key(run)}
    assert len(keys | {intent(At("analyst", 1)).key(run)}) == 4


def test_settled_calls_are_a_chain_that_shows_every_change(
    pool: Pool, claimed: Claimed, dsn: Callable[..., str]
) -> None:
    claim = claimed(llm_calls=5, tool_calls=5)
    llm_calls.settle(pool, claim, answered(), llm_calls.begin(pool, claim, asked()))
    done = tool_calls.Done(intent(), "{}", {}, 1.0)
    tool_calls.settle(pool, claim, done, tool_calls.begin(pool, claim, intent()))
    assert transcripts.verify(pool, claim.run_id).ok
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "UPDATE tool_calls SET result = '{\"rows\":4}' WHERE run_id = %s", (claim.run_id,)
        )
    broken = transcripts.verify(pool, claim.run_id)
    assert (broken.ok, broken.broken_at, broken.settled) == (False, 2, 2)


@pytest.mark.parametrize("table", ["llm_calls", "tool_calls"])
def test_the_application_cannot_change_what_is_settled(
    pool: Pool, claimed: Claimed, table: str
) -> None:
    claim = claimed(llm_calls=5, tool_calls=5)
    llm_calls.settle(pool, claim, answered(), llm_calls.begin(pool, claim, asked()))
    done = tool_calls.Done(intent(), "{}", {}, 1.0)
    tool_calls.settle(pool, claim, done, tool_calls.begin(pool, claim, intent()))
    for change in (f"UPDATE {table} SET latency_ms = 0", f"DELETE FROM {table}"):
        with pytest.raises(FaultError, match="Privilege"), transaction(pool) as connection:
            connection.execute(change + " WHERE run_id = %s", (claim.run_id,))


def test_a_replay_copies_each_call_once_and_pays_nothing(pool: Pool, claimed: Claimed) -> None:
    source = claimed(llm_calls=5, tool_calls=5)
    llm_calls.settle(pool, source, answered(), llm_calls.begin(pool, source, asked()))
    again = claimed()
    (call,) = llm_calls.answered(pool, source.run_id)
    for _ in range(2):
        llm_calls.copy(pool, again, call)
        tool_calls.copy(pool, again, tool_calls.Done(intent(), "{}", {}, 1.0))
    assert list(llm_calls.answered(pool, again.run_id)) == [call]
    assert len(list(tool_calls.done(pool, again.run_id))) == 1
    assert transcripts.verify(pool, again.run_id).ok


def test_the_transcript_is_in_an_order_of_its_own(pool: Pool, claimed: Claimed) -> None:
    """Two debaters that answer in another order give the same text."""
    order = [At("bear", 0), At("bull", 0), At("bull", 1)]
    digests = set()
    for arrival in (order, order[::-1]):
        claim = claimed(llm_calls=9)
        for at in arrival:
            attempt = llm_calls.begin(pool, claim, asked(at))
            llm_calls.settle(pool, claim, answered(at, response=at.node), attempt)
        assert [(e["node"], e["step"]) for e in transcripts.entries(pool, claim.run_id)] == [
            (at.node, at.step) for at in order
        ]
        digests.add(transcripts.digest(pool, claim.run_id))
    assert len(digests) == 1


def test_a_run_without_a_budget_calls_nobody(pool: Pool, desk: Desk) -> None:
    claim = desk.claimed(kind="agent", name="calls")
    with pytest.raises(MissingError):
        llm_calls.begin(pool, claim, asked())
