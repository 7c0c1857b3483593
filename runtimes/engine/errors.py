"""What the engine refuses, and when: errors whose facts name bar, symbol and rule."""

from __future__ import annotations

import numpy as np

from topology.errors import BadInputError, FaultError


class BadBarsError(BadInputError):
    """The bars break a rule that every bar keeps; ``facts`` hold symbol, rule and timestamps."""

    code = "bad_bars"


class EmptyWindowError(BadInputError):
    """There is no bar to simulate between start and end."""

    code = "empty_window"


class InvalidWeightsError(BadInputError):
    """A strategy asked for a weight that no account can hold; ``facts`` hold bar and symbol."""

    code = "invalid_weights"


class StrategyError(BadInputError):
    """A strategy failed; ``facts`` say where."""

    code = "strategy_error"


class LookaheadError(BadInputError):
    """A strategy used bars before they were known; ``facts`` say which test found it, and when."""

    code = "lookahead_strategy"


class BadSplitsError(BadInputError):
    """The bars cannot be split as asked: a window or group would be empty."""

    code = "bad_splits"


class NotEnoughHistoryError(BadInputError):
    """There are fewer bars to train on than the strategy looks back."""

    code = "not_enough_history"


def instant(nanoseconds: int) -> str:
    """Return an int64 UTC timestamp as RFC 3339 text."""
    return f"{np.datetime64(int(nanoseconds), 'ns').astype('datetime64[s]')}Z"


class EngineFaultError(FaultError):
    """The engine cannot go on for a reason that is ours."""

    code = "engine_fault"
