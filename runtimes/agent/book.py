"""The gateway's book over the ledger: a run's own rows first, then those of the run it replays."""

from __future__ import annotations

from decimal import Decimal

from ledger import llm_calls
from ledger.budgets import Amounts
from ledger.calls import At
from ledger.pool import Pool
from ledger.runs import Claim
from runtimes.gateway.words import Kept, Place, Usage, Wanted


class RunBook:
    """Satisfies `runtimes.gateway.words.Book` for one claim.

    ``cassette`` is the run that is replayed, up to but without step ``until``. A run's own rows
    answer always: that is how an attempt goes on where the one before it died.
    """

    def __init__(
        self, pool: Pool, claim: Claim, *, cassette: str | None = None, until: int | None = None
    ) -> None:
        self._pool = pool
        self._claim = claim
        self._cassette = cassette
        self._until = until
        self.live = 0
        """Calls that this attempt made itself."""

    def find(self, place: Place) -> Kept | None:
        """Return the answered call at ``place``."""
        at = _at(place)
        found = llm_calls.find(self._pool, self._claim.run_id, at)
        if found is None and self._cassette is not None and self._holds(place):
            found = llm_calls.find(self._pool, self._cassette, at)
        return None if found is None else _kept(found)

    def begin(self, wanted: Wanted) -> int:
        """Reserve and write that a call begins."""
        self.live += 1
        most = _amounts(wanted.usage, wanted.cost)
        asked = llm_calls.Asked(
            _at(wanted.place), wanted.alias, wanted.origin, wanted.request, most
        )
        return llm_calls.begin(self._pool, self._claim, asked)

    def settle(self, kept: Kept, attempt: int) -> None:
        """Write the answer and give back what was not used."""
        llm_calls.settle(self._pool, self._claim, _answered(kept), attempt)

    def fail(self, place: Place, attempt: int, *, code: str) -> None:
        """Write that no answer came."""
        llm_calls.fail(self._pool, self._claim, _at(place), attempt, code=code)

    def copy(self, kept: Kept) -> None:
        """Take a replayed call over; one of the run's own is there already."""
        llm_calls.copy(self._pool, self._claim, _answered(kept))

    def _holds(self, place: Place) -> bool:
        return self._until is None or place.step < self._until


def _at(place: Place) -> At:
    return At(place.node, place.step, place.occurrence)


def _amounts(usage: Usage, cost: Decimal) -> Amounts:
    return Amounts(
        llm_calls=1,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        cost_usd=cost,
    )


def _answered(kept: Kept) -> llm_calls.Answered:
    return llm_calls.Answered(
        at=_at(kept.place),
        alias=kept.alias,
        origin=kept.origin,
        request=kept.request,
        response=kept.text,
        used=_amounts(kept.usage, kept.cost),
        estimated=kept.usage.estimated,
        latency_ms=kept.latency_ms,
    )


def _kept(call: llm_calls.Answered) -> Kept:
    return Kept(
        place=Place(call.at.node, call.at.step, call.at.occurrence),
        alias=call.alias,
        origin=call.origin,
        request=call.request,
        request_sha256=call.request_sha256,
        text=call.response,
        usage=Usage(call.used.prompt_tokens, call.used.completion_tokens, call.estimated),
        cost=call.used.cost_usd,
        latency_ms=call.latency_ms,
    )
