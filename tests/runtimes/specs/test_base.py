"""What is said of a spec that is wrong: each fault once, by its path, in words."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.specs.base import parse
from topology.errors import InvalidSpecError


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("table", "bars_1d", "table: 'bars_1d' is no silver table of this kind; write all of"),
        ("table", "alphaswarm_gold_x.bars_1d", "is no silver table of this kind"),
        ("name", "My prices", "name: 'My prices' is not a name; write 2 to 64 of"),
        ("reading.currency", "euro", "reading.currency: 'euro' is not a currency;"),
        ("reading.exchange", "nyse", "reading.exchange: 'nyse' is not an exchange;"),
    ],
)
def test_a_text_of_the_wrong_form_is_told_in_words(key: str, value: str, sentence: str) -> None:
    """A regular expression is nothing to read."""
    spec: dict[str, Any] = {"kind": "data", "task": "ingest", "name": "mine", "provider": "sample"}
    outer, _, inner = key.partition(".")
    with pytest.raises(InvalidSpecError) as caught:
        parse("data", spec | {outer: {inner: value} if inner else value})
    assert sentence in caught.value.message
    assert "match" not in caught.value.message


def test_a_list_is_not_called_short_for_its_wrong_members() -> None:
    spec = {"kind": "data", "task": "maintain", "name": "tidy", "tables": ["nope"]}
    with pytest.raises(InvalidSpecError) as caught:
        parse("data", spec)
    assert [line["path"] for line in caught.value.facts["errors"]] == ["tables[0]"]
    assert "'nope' is not the name of a table; write" in caught.value.message
    with pytest.raises(InvalidSpecError, match="at least 1 item"):
        parse("data", spec | {"tables": []})
