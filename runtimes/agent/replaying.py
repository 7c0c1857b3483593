"""Which record a run walks by: its own, another's to the end, another's up to a step, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from ledger.runs import Run
from runtimes.gateway.words import Mode
from topology.errors import BadInputError

Way = Literal["live", "exact", "llm_only", "what_if"]
WAYS: tuple[Way, ...] = ("live", "exact", "llm_only", "what_if")
REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Replay:
    """``exact``: models and tools from the record of ``source``, nothing is called.

    ``llm_only``: models from the record, tools are called again. ``what_if``: all from the record
    before ``fork_step``, live from there. ``live``: a new run.
    """

    way: Way = "live"
    source: str | None = None
    fork_step: int | None = None

    @classmethod
    def of(cls, run: Run) -> Replay:
        """Return how a run was asked to walk."""
        asked: dict[str, Any] | None = run.inputs.get(REPLAY)
        if asked is None:
            return cls()
        if asked.get("mode") not in WAYS:
            raise BadInputError(
                f"There is no replay {str(asked.get('mode'))[:40]!r}.",
                hint=f"There are {', '.join(WAYS)}.",
            )
        if asked["mode"] == "live":
            return cls()
        return cls(cast("Way", asked["mode"]), str(asked["run_id"]), asked.get("fork_step"))

    @property
    def mode(self) -> Mode:
        """Return how the gateway answers; a run's own rows answer always."""
        return "replay" if self.way in {"exact", "llm_only"} else "replay_or_live"

    @property
    def until(self) -> int | None:
        """Return the step from which the record is not asked any more."""
        return (self.fork_step or 0) if self.way == "what_if" else None

    @property
    def offline(self) -> bool:
        """Tell whether nothing may be called at all."""
        return self.way == "exact"

    @property
    def tools_from(self) -> str | None:
        """Return the run whose tool results answer."""
        return None if self.way == "llm_only" else self.source

    def asked(self, run: Run) -> dict[str, Any]:
        """Return the inputs as ``run_sha`` holds them: what was asked, and whose record answers.

        A model's answers are inputs too. An exact replay therefore has the ``run_sha`` of the run
        that it replays, and must give its result; two live runs never share one.
        """
        plain = {key: value for key, value in run.inputs.items() if key != REPLAY}
        if self.way == "exact":
            return {**plain, "cassette": self.source}
        way = {"mode": self.way, "source": self.source, "fork_step": self.fork_step}
        forked = {} if self.way == "live" else {REPLAY: way}
        return {**plain, **forked, "cassette": run.run_id}
