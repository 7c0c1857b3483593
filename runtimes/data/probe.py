"""The probe of a halt drill: a run that checks in each 10 ms and does nothing else."""

from __future__ import annotations

import time

from runtimes.base import Outcome
from runtimes.context import RunContext
from runtimes.specs.probe import ProbeSpec

_STEP_S = 0.01


def work(context: RunContext, spec: ProbeSpec) -> Outcome:
    """Wait until somebody halts us, or the time is over."""
    for _ in range(int(spec.seconds / _STEP_S)):
        context.checkpoint()
        time.sleep(_STEP_S)
    return Outcome(message="Nobody has halted the probe.")
