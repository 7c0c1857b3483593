"""The lineage picture: who feeds whom, from left to right, and nobody's name breaks it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.pictures import SVG, read
from tools.apps.lineage import picture, rank

AT = dt.datetime(2026, 11, 21, 14, 5, tzinfo=dt.UTC)
RUN = "01m7z4cgfs8dryzstfka8pv7zg"


@dataclass(frozen=True)
class Box:
    key: str
    kind: str
    name: str
    place: str = "alphaswarm_silver_market"
    snapshot_id: str | None = "7240918374650912345"
    rows: int | None = 15_080
    at: dt.datetime | None = AT
    run_id: str | None = None
    state: str | None = None


BRONZE, SILVER = Box("b", "bronze", "sample"), Box("s", "silver", "bars_1d")
FEATURES, RESULT = Box("f", "gold", "momentum_1a2b3c4d"), Box("o", "gold", f"run_{RUN}", rows=1)
WORK = Box("r", "run", "momentum-top3", "backtest", None, None, AT, RUN, "succeeded")
BOXES = {box.key: box for box in (BRONZE, SILVER, FEATURES, WORK, RESULT)}
EDGES = {("b", "s"), ("s", "f"), ("s", "r"), ("f", "r"), ("r", "o")}


def test_columns_go_from_bronze_to_results() -> None:
    assert [rank(key, BOXES, EDGES) for key in BOXES] == [0, 1, 2, 3, 4]


def test_a_picture_by_hand() -> None:
    seen = read(picture(BOXES, EDGES, subject="run momentum-top3"))
    assert seen.named("title") == "Lineage of run momentum-top3"
    assert "4 tables at a snapshot, 1 run." in seen.said
    for line in ("bars_1d", "snapshot 7240918374650912345", "15,080 rows · 2026-11-21 14:05"):
        assert line in seen.said.split("\n")
    assert "1 row · 2026-11-21 14:05" in seen.said
    assert RUN in seen.said.split("\n")
    assert "succeeded · 2026-11-21 14:05" in seen.said
    assert len(seen.paths("edge")) == len(seen.paths("tip")) == len(EDGES)
    assert "momentum_1a2b3c4d to momentum-top3" in seen.named("desc")
    lefts = {w.text: w.left for w in seen.texts}
    order = ["sample", "bars_1d", "momentum_1a2b3c4d", "momentum-top3"]
    assert sorted(order, key=lefts.__getitem__) == order


def test_an_edge_over_a_column_runs_beside_its_boxes() -> None:
    text = picture(BOXES, EDGES, subject="x")
    seen = read(text)
    cards = [r for r in seen.root.iter(f"{SVG}rect") if r.get("class") == "card"]
    passing = [d for d in seen.paths("edge") if "h252" in d]
    assert len(passing) == 1
    level = float(passing[0].split("h252")[0].rsplit(",", 1)[1])
    third = [card for card in cards if card.get("x") == str(28 + 2 * (252 + 76))]
    tops = [float(card.get("y", "0")) for card in third]
    assert tops
    assert not any(top <= level <= top + 88 for top in tops)


@pytest.mark.parametrize(
    ("box", "line"),
    [
        pytest.param(
            Box("a", "silver", "x", rows=None, at=None, state="expired"),
            "not kept any more",
            id="an expired snapshot",
        ),
        pytest.param(
            Box("a", "silver", "x", snapshot_id=None, rows=None, at=None, state="empty"),
            "snapshot -",
            id="a table without a snapshot",
        ),
        pytest.param(
            Box("a", "run", "x", "backtest", None, None, AT, RUN, "failed"),
            "failed · 2026-11-21 14:05",
            id="a run that failed",
        ),
    ],
)
def test_what_is_not_there_is_said(box: Box, line: str) -> None:
    assert line in read(picture({"a": box}, [], subject="x")).said.split("\n")


def test_nothing_at_all_is_a_picture_too() -> None:
    assert "0 tables at a snapshot, 0 runs." in read(picture({}, [], subject="x")).said


TEXT = st.text(max_size=80)
KINDS = ("bronze", "silver", "gold", "run")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["bronze", "silver", "gold", "run"]), TEXT, TEXT), max_size=14
    ),
    st.data(),
)
def test_any_names_and_flows_make_a_valid_and_legible_picture(
    given_boxes: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    boxes = {str(n): Box(str(n), k, name, place) for n, (k, name, place) in enumerate(given_boxes)}
    ranks = {"bronze": 0, "silver": 1, "run": 2, "gold": 3}
    pairs = [(a, b) for a in boxes for b in boxes if ranks[boxes[a].kind] < ranks[boxes[b].kind]]
    edges = data.draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    seen = read(picture(boxes, edges, subject="x"))
    assert len(seen.paths("edge")) == len(edges)
