"""Where a signal comes from: an expression over the bars, or a column of a lake table.

A signal is (T, N), higher is better, nan where a symbol has none: no value, an infinity, no bar,
not in the universe, or too few bars of its own.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from lakehouse.errors import LookaheadError
from lakehouse.features.build import OURS
from lakehouse.features.featureset import compose
from lakehouse.features.parser import parse
from lakehouse.features.reach import reach
from lakehouse.features.syntax import NAME
from runtimes.engine.arrays import Floats
from runtimes.part import Integer, Part
from runtimes.strategies.base import Reading, Told, View
from topology.errors import AlphaSwarmError

BYTES = 4_096
"""Of one expression in a spec."""
SETTLED = 9.0
"""Spans of an exponential mean that are loaded before the first bar."""
PAST_ONLY = "A decision may use the bars up to its own only."
SAID = ("position", "nearest")
DAY_NS = 86_400 * 10**9
_TABLE = r"^alphaswarm_(silver|gold)_[a-z][a-z0-9]*\.[a-z][a-z0-9_]{0,127}$"
_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"


def _parsed(text: str) -> str:
    """Refuse what is no expression; its size is looked at before anything else."""
    size = len(text.encode(errors="surrogatepass"))
    if size > BYTES:
        raise PydanticCustomError(
            "expression_syntax",
            "A signal has at most {most} bytes; this one has {size}.",
            {"most": BYTES, "size": size},
        )
    try:
        parse(text, semantics=OURS)
    except AlphaSwarmError as error:
        facts: dict[str, Any] = {name: error.facts[name] for name in SAID if name in error.facts}
        hint = PAST_ONLY if isinstance(error, LookaheadError) else error.hint
        said = f"{error.message} {hint}".strip()
        raise PydanticCustomError(error.wire_code, "{text}", {**facts, "text": said}) from error
    return text


Expression = Annotated[str, AfterValidator(_parsed)]


class TableColumn(Part):
    """A column of a silver or gold table, at a snapshot; null: the newest when the run begins.

    A row counts once it is known (``available_at`` where the table has it), and no longer than
    ``max_age_days`` after its timestamp. ``where`` says what other columns must hold.
    """

    table: Annotated[str, Field(pattern=_TABLE)]
    column: Annotated[str, Field(pattern=_COLUMN)]
    snapshot_id: Annotated[str, Field(pattern=r"^[0-9]{1,19}$")] | None = None
    where: dict[
        Annotated[str, Field(pattern=_COLUMN)], Annotated[str, Field(max_length=256)] | Integer
    ] = Field(default_factory=dict, max_length=16)
    max_age_days: Annotated[Integer, Field(ge=1, le=36_500)] | None = None

    @property
    def reading(self) -> Reading:
        """Return what is to be read."""
        where = tuple(sorted(self.where.items()))
        return Reading(self.table, self.column, self.snapshot_id, where)

    def told(self, view: View) -> Told:
        """Return what was known at each bar; what is too old tells nothing, as if never known."""
        told = view.panels[self.reading]
        if self.max_age_days is None:
            return told
        age = view.market.timestamps[:, None] - told.rows
        fresh = age <= self.max_age_days * DAY_NS
        return Told(np.where(fresh, told.values, np.nan), np.where(fresh, told.rows, 0))


def _either(value: Any) -> Any:
    if isinstance(value, dict):
        return TableColumn.model_validate(value)
    if not isinstance(value, str | TableColumn):
        raise PydanticCustomError(
            "signal", "Write an expression, or a mapping with table and column."
        )
    return value


Signal = Annotated[
    Expression | TableColumn,
    BeforeValidator(_either),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "maxLength": BYTES}, TableColumn.model_json_schema()]}
    ),
]


def readings(signal: str | TableColumn) -> tuple[Reading, ...]:
    """Return what the signal needs from the lake."""
    return () if isinstance(signal, str) else (signal.reading,)


def symbols(text: str) -> tuple[str, ...]:
    """Return the symbols that an expression names itself."""
    names = {str(part.value) for part in parse(text, semantics=OURS).walk() if part.op == NAME}
    return tuple(sorted(names))


def needed(signal: str | TableColumn) -> int:
    """Return how many bars of its own a symbol needs: all that its signal looks back on."""
    if not isinstance(signal, str):
        return 1
    return reach(parse(signal, semantics=OURS), OURS, spans=SETTLED).back + 1


def evaluate(signal: str | TableColumn, view: View) -> Floats:
    """Return the signal (T, N) of symbols that may be held; only in a worker: it computes."""
    values = expressed(signal, view) if isinstance(signal, str) else signal.told(view).values
    return np.where(view.eligible & np.isfinite(values), values, np.nan)


def expressed(text: str, view: View) -> Floats:
    """Return an expression on each symbol's own bars (T, N), nan until there are enough of them.

    An exponential mean of span N waits for N bars like any other window, and takes in all the bars
    loaded before, at least 9 N where the table has them.
    """
    from lakehouse.features.evaluate import evaluate as computed
    from lakehouse.features.frame import Frame

    features = compose({"signal": text}, semantics=OURS)
    columns, rows = np.nonzero(~np.isnan(view.close.T))
    lengths = np.bincount(columns, minlength=view.close.shape[1])
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    bars = view.market._asdict()
    times = bars.pop("timestamps")
    bars["vwap"] = (bars["high"] + bars["low"] + bars["close"]) / 3.0
    frame = Frame(
        view.symbols or tuple(str(i) for i in range(lengths.size)),
        starts,
        times[rows],
        {name: values[rows, columns].astype(np.float32) for name, values in bars.items()},
        view.members[rows, columns],
    )
    found = computed(features, frame).columns["signal"].astype(np.float64)
    wait = reach(features.features["signal"], OURS, spans=1.0).back
    out = np.full(view.close.shape, np.nan)
    out[rows, columns] = np.where(frame.places >= wait, found, np.nan)
    return out
