"""The lineage of data: boxes for tables at a snapshot and for runs, joined where data flowed.

A pure function of a trace (`lakehouse.lineage.trace`): bronze on the left, then silver, gold
features, runs, and what they made.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from tools.apps.picture import GLYPH, MARGIN, TOP, fitted, standalone
from tools.apps.svg import element, words
from tools.apps.wording import count

BOX, GAP = 252, 76
TALL, BETWEEN = 88, 18
PASSING = 12
"""Height of the place of an edge that passes a column."""
STRIPE = 5
HEADINGS = ("Bronze, as it came", "Silver, typed", "Gold features", "Runs", "Results")
MONO = 6.7
"""Width of a character of 11 px fixed-width text."""
SWEEPS = 4
"""How often boxes are put in the order of their neighbours: more changes nothing."""


class Node(Protocol):
    """What is drawn of a table at a snapshot, or of a run; see `lakehouse.lineage.Node`."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def place(self) -> str: ...  # noqa: D102
    @property
    def snapshot_id(self) -> str | None: ...  # noqa: D102
    @property
    def rows(self) -> int | None: ...  # noqa: D102
    @property
    def at(self) -> dt.datetime | None: ...  # noqa: D102
    @property
    def run_id(self) -> str | None: ...  # noqa: D102
    @property
    def state(self) -> str | None: ...  # noqa: D102


Edges = Collection[tuple[str, str]]


def picture(nodes: Mapping[str, Node], edges: Edges, *, subject: str) -> str:
    """Return the SVG of ``nodes`` by key and the ``edges`` between them."""
    ranks = {key: rank(key, nodes, edges) for key in nodes}
    columns, links = _columns(ranks, edges)
    places = _places([keys for _, keys in columns], nodes)
    width = max(2 * MARGIN + len(columns) * (BOX + GAP) - GAP, 640)
    height = max([TOP + 28, *(y + _tall(key, nodes) for key, (_, y) in places.items())]) + MARGIN
    return standalone(
        width,
        height,
        *(
            element("text", words(HEADINGS[number]), x=_left(place), y=TOP + 10)
            for place, (number, _) in enumerate(columns)
        ),
        *(_edge([places[key] for key in link], link, nodes) for link in links),
        *(_box(nodes[key], *places[key]) for _, keys in columns for key in keys if key in nodes),
        heading=f"Lineage of {subject}",
        lead=_lead(nodes),
        description=_description(nodes, edges),
    )


def rank(key: str, nodes: Mapping[str, Node], edges: Edges) -> int:
    """Return the column of a node among `HEADINGS`: a gold table that a run made is a result."""
    kind = nodes[key].kind
    if kind == "gold":
        made = any(nodes[a].kind == "run" for a, b in edges if b == key)
        return 4 if made else 2
    return {"bronze": 0, "silver": 1, "run": 3}[kind]


def _columns(
    ranks: Mapping[str, int], edges: Edges
) -> tuple[list[tuple[int, list[str]]], list[list[str]]]:
    """Return the columns that are not empty, and each edge as the keys that it passes.

    An edge over a column takes a place of its own there, so that it runs beside the boxes. Keys are
    ordered so that few edges cross.
    """
    used = sorted(set(ranks.values()))
    columns: dict[int, list[str]] = {number: [] for number in used}
    for key in sorted(ranks):
        columns[ranks[key]].append(key)
    links = []
    for a, b in sorted(edges):
        link = [a]
        for number in used:
            if ranks[a] < number < ranks[b]:
                columns[number].append(f"{a}\n{b}\n{number}")
                link.append(columns[number][-1])
        links.append([*link, b])
    pairs = [pair for link in links for pair in pairwise(link)]
    for _ in range(SWEEPS):
        for keys in columns.values():
            at = {key: place for ks in columns.values() for place, key in enumerate(ks)}
            middle = {key: _middle(key, pairs, at) for key in keys}
            keys.sort(key=lambda key, middle=middle: (middle[key], key))  # type: ignore[misc]
    return list(columns.items()), links


def _middle(key: str, edges: Edges, at: Mapping[str, int]) -> float:
    """Return the mean position of a node's neighbours, its own where it has none."""
    near = [at[a] for a, b in edges if b == key] + [at[b] for a, b in edges if a == key]
    return sum(near) / len(near) if near else float(at[key])


def _left(column: int) -> float:
    return MARGIN + column * (BOX + GAP)


def _tall(key: str, nodes: Mapping[str, Node]) -> int:
    return TALL if key in nodes else PASSING


def _places(
    columns: Sequence[Sequence[str]], nodes: Mapping[str, Node]
) -> dict[str, tuple[float, float]]:
    """Return left and top of each box and passage: columns are centred beside the tallest."""
    whole = [sum(_tall(key, nodes) + BETWEEN for key in keys) - BETWEEN for keys in columns]
    places = {}
    for column, keys in enumerate(columns):
        y = TOP + 28 + (max(whole) - whole[column]) / 2
        for key in keys:
            places[key] = (_left(column), y)
            y += _tall(key, nodes) + BETWEEN
    return places


def _edge(
    places: Sequence[tuple[float, float]], keys: Sequence[str], nodes: Mapping[str, Node]
) -> str:
    """Return a curve from the right of one box to the left of another, with a tip."""
    middles = [(x, y + _tall(key, nodes) / 2) for (x, y), key in zip(places, keys, strict=True)]
    curve = f"M{middles[0][0] + BOX:.1f},{middles[0][1]:.1f}"
    for (x1, y1), (x2, y2) in pairwise(middles):
        left, right, half = x1 + BOX, x2, (x2 - x1 - BOX) / 2
        last = x2 == middles[-1][0]
        right -= 7 if last else 0
        curve += f"C{left + half:.1f},{y1:.1f} {right - half:.1f},{y2:.1f} {right:.1f},{y2:.1f}"
        curve += "" if last else f"h{BOX}"
    x, y = middles[-1]
    tip = f"M{x - 1:.1f},{y:.1f}l-8,-4.5v9z"
    return element("path", d=curve, class_="edge") + element("path", d=tip, class_="tip")


def _box(node: Node, x: float, y: float) -> str:
    """Return the box of a table or run, its whole text as a tooltip."""
    inside = x + STRIPE + 11
    room = BOX - STRIPE - 22
    lines = _lines(node)
    failed = node.kind == "run" and node.state not in (None, "succeeded")
    return element(
        "g",
        element("title", words("\n".join([node.name, *lines]))),
        element("rect", x=x, y=y, width=BOX, height=TALL, rx=9, class_="card"),
        element(
            "path",
            d=f"M{x + 5:.1f},{y + 10:.1f}v{TALL - 20}h{STRIPE}v-{TALL - 20}z",
            class_=f"bar {'failed' if failed else node.kind}",
        ),
        element(
            "text", words(fitted(node.name, room, glyph=8.4)), x=inside, y=y + 23, class_="strong"
        ),
        *(
            element(
                "text",
                words(fitted(line, room, glyph=MONO if place == 1 else GLYPH)),
                x=inside,
                y=y + 41 + 17 * place,
                class_="mono" if place == 1 else None,
            )
            for place, line in enumerate(lines)
        ),
    )


def _lines(node: Node) -> list[str]:
    """Return the three lines below a box's name."""
    when = "" if node.at is None else f"{node.at.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
    if node.kind == "run":
        return [f"{node.place} run", node.run_id or "", _joined(node.state, when)]
    rows = None if node.rows is None else f"{count(node.rows)} row{'' if node.rows == 1 else 's'}"
    state = "not kept any more" if node.state == "expired" else node.state
    return [node.place, f"snapshot {node.snapshot_id or '-'}", _joined(rows or state, when)]


def _joined(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part)


def _lead(nodes: Mapping[str, Node]) -> str:
    runs = sum(node.kind == "run" for node in nodes.values())
    tables = len(nodes) - runs
    return (
        f"{count(tables)} table{'' if tables == 1 else 's'} at a snapshot, "
        f"{count(runs)} run{'' if runs == 1 else 's'}. "
        "Data flows from left to right; times are UTC."
    )


def _description(nodes: Mapping[str, Node], edges: Edges) -> str:
    """Return the picture in words: each box once, then who feeds whom."""
    boxes = "; ".join(f"{node.name}: {', '.join(_lines(node))}" for node in nodes.values())
    flows = "; ".join(f"{nodes[a].name} to {nodes[b].name}" for a, b in sorted(edges))
    return f"{boxes}. Flows: {flows or 'none'}."
