"""What source must be before it is taken: one sentence with line and column says what is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.sandbox.modules import MODULES
from runtimes.sandbox.source import MOST_BYTES, Scanned, SourceError, scan


@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param("class Strategy: pass", Scanned("Strategy"), id="by its name"),
        pytest.param("class Dip(Script): pass", Scanned("Dip"), id="by its base"),
        pytest.param("class Dip(x.Script): pass", Scanned("Dip"), id="by its base in a module"),
        pytest.param(
            "class A(Script): pass\nclass Strategy(A): pass",
            Scanned("Strategy", accepts=None),
            id="the name wins; what a base takes nobody knows",
        ),
        pytest.param("class Strategy:\n    warmup = 20", Scanned("Strategy", 20), id="look-back"),
        pytest.param("class Strategy:\n warmup: int = 7", Scanned("Strategy", 7), id="annotated"),
        pytest.param(
            "class Strategy:\n    def __init__(self, a, b=1, *, c, d=2): ...",
            Scanned("Strategy", accepts=("a", "b", "c", "d"), needs=("a", "c")),
            id="parameters",
        ),
        pytest.param(
            "class Strategy:\n    def __init__(self, **more): ...",
            Scanned("Strategy", accepts=None),
            id="any parameters",
        ),
    ],
)
def test_what_source_says_of_its_strategy(code: str, found: Scanned) -> None:
    assert scan(code) == found


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param("x = 1\n", "no class Strategy", id="no class"),
        pytest.param(
            "class A(Script): pass\nclass B(Script): pass",
            "line 2, column 1: There is more than one strategy (A, B)",
            id="two",
        ),
        pytest.param("class Strategy:\n    def on_bar(self:\n", "line 2, column", id="syntax"),
        pytest.param(
            "class Strategy:\n\treturn 1\n",
            "line 2, column 2: The source does not compile: 'return' outside function",
            id="compile",
        ),
        pytest.param(
            "class Strategy:\n x = 1\n  y = 2",
            "line 3, column 2: The source does not compile: unexpected indent",
            id="indentation",
        ),
        pytest.param("import os\n", "line 1, column 1: There is no module 'os'", id="a module"),
        pytest.param(
            "def f():\n    from . import x\n",
            "line 2, column 5: There is no module '.'",
            id="relative",
        ),
        pytest.param(
            "class Strategy:\n    warmup = 0",
            "line 2, column 14: warmup is a whole",
            id="no look-back",
        ),
        pytest.param("class Strategy:\n    warmup = True", "line 2, column 14: warmup", id="true"),
        pytest.param("class Strategy:\n    warmup = 2 * 10", "line 2, column 14", id="computed"),
        pytest.param("#" * (MOST_BYTES + 1), f"{MOST_BYTES} are allowed", id="too large"),
        pytest.param(
            "x = '" + "x" * 3_000 + "'", "line 1, column 2001: The line is longer", id="a long line"
        ),
        pytest.param("x = 1\ny = '\0'", "line 2, column 6: NUL", id="NUL"),
        pytest.param("y = '\ud800'", "line 1, column 6: NUL and halves", id="half a pair"),
        pytest.param("x = " + "(" * 99, "line 1, column 65: More than 60", id="brackets"),
        pytest.param("x = " + "-" * 1_900 + "1", "line 1, column", id="minus, 1,900 times"),
        pytest.param("x = " + "-\\\n" * 20_000 + "1", "does not compile", id="minus, 20,000 times"),
        pytest.param("x = (1\n" + "+1\n" * 20_000 + ")", "does not compile", id="a long sum"),
        pytest.param("x = a" + ".b" * 900, "nested too deep", id="a long chain"),
        pytest.param("if a: pass\n" + "elif a: pass\n" * 4_500, "does not compile", id="elif"),
    ],
)
def test_what_cannot_run_is_refused_where_it_stands(code: str, problem: str) -> None:
    with pytest.raises(SourceError) as caught:
        scan(code)
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", MODULES)
def test_what_may_be_imported_may_be_imported(name: str) -> None:
    assert scan(f"import {name}\nclass Strategy: pass").name == "Strategy"


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="class Strategy():\n\t=+-*[]{}'\"\\#@.,0x\0é\ud800 lambda:if", max_size=300)
)
def test_any_text_is_source_or_refused_and_nothing_else(code: str) -> None:
    with contextlib.suppress(SourceError):
        assert scan(code).name
