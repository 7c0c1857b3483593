"""The language as text: what it takes, what it refuses, and what it says then."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.features.build import QLIB
from lakehouse.features.operators import OPERATORS, SIGNS
from lakehouse.features.parser import parse
from lakehouse.features.syntax import DEPTH, NODES
from topology.canonical import canonical
from topology.errors import AlphaSwarmError

C, P, V = '["$","close"]', '["$","open"]', '["$","volume"]'


def refusal(text: str, *, semantics: str = "alphaswarm-1") -> AlphaSwarmError:
    with pytest.raises(AlphaSwarmError) as caught:
        parse(text, semantics=semantics)
    return caught.value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("$close", C, id="a field"),
        pytest.param("Mean($close,5)/$close", f'["Div",["Mean",{C},5],{C}]', id="calls and signs"),
        pytest.param("Mean( $close ,5.0 )", f'["Mean",{C},5]', id="spaces and 5.0 mean nothing"),
        pytest.param("-$close**2", f'["Mul",-1,["Power",{C},2]]', id="a power binds before a sign"),
        pytest.param("$close**-1", f'["Power",{C},-1]', id="but not before its exponent's"),
        pytest.param(
            "$open-$close-1", f'["Sub",["Sub",{P},{C}],1]', id="equals bind from the left"
        ),
        pytest.param("2*3*$close", f'["Mul",6,{C}]', id="numbers among themselves are computed"),
        pytest.param(
            "($close>1) & ($open<2)",
            f'["And",["Gt",{C},1],["Lt",{P},2]]',
            id="comparisons in parentheses",
        ),
        pytest.param(
            "Corr($close, Log($volume+1), 5)",
            f'["Corr",{C},["Log",["Add",{V},1]],5]',
            id="two series",
        ),
        pytest.param("CSRank($close)", f'["CSRank",{C}]', id="an optional argument left out"),
        pytest.param(
            "ChangeInstrument('SPY.NYSE', $close)",
            f'["ChangeInstrument","SPY.NYSE",{C}]',
            id="a symbol in quotes",
        ),
    ],
)
def test_an_expression_has_one_canonical_text(text: str, canonical: str) -> None:
    assert parse(text).text == canonical


def test_a_hash_is_that_of_the_canonical_text() -> None:
    assert parse("Mean($close, 5)").sha256 == parse("Mean( $close,5.0)").sha256
    assert parse("Mean($close, 5)").sha256 == (
        "cbccd30052989b8d4fd0de5c19fe42dac3ca9ea8a40836bd8c141325f0c0833b"
    )


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        pytest.param("", "expression_syntax", 0, id="nothing"),
        pytest.param("1+2", "expression_syntax", 0, id="no field"),
        pytest.param("Mean($close", "expression_syntax", 11, id="an open bracket"),
        pytest.param("Mean($close 5)", "expression_syntax", 12, id="a comma forgotten"),
        pytest.param("Mean($close,,5)", "expression_syntax", 12, id="a comma too many"),
        pytest.param("$close $open", "expression_syntax", 7, id="two operands"),
        pytest.param("$close+", "expression_syntax", 7, id="an operand missing"),
        pytest.param("Mean", "expression_syntax", 0, id="an operator without arguments"),
        pytest.param("Mean($close)", "expression_syntax", 0, id="too few arguments"),
        pytest.param("Mean($close,5,5)", "expression_syntax", 0, id="too many arguments"),
        pytest.param("Mean(5,$close)", "expression_syntax", 0, id="arguments reversed"),
        pytest.param("Mean($close,2.5)", "expression_syntax", 0, id="half a row"),
        pytest.param("Mean($close,9999)", "expression_syntax", 0, id="a window of forty years"),
        pytest.param("Mean($close,-5)", "expression_syntax", 0, id="a window of the future"),
        pytest.param("Mean($close,0)", "expression_syntax", 0, id="an expanding window of ours"),
        pytest.param("Skew($close,2)", "expression_syntax", 0, id="too short for skewness"),
        pytest.param("Quantile($close,5,2)", "expression_syntax", 0, id="a quantile beyond 1"),
        pytest.param("$close>$open>1", "expression_syntax", 12, id="a chain of comparisons"),
        pytest.param("$close>1 & $open>1", "expression_syntax", 9, id="Python's hidden chain"),
        pytest.param("If($close,1,2)", "expression_syntax", 0, id="a number as a condition"),
        pytest.param("Not($close)", "expression_syntax", 0, id="not of a number"),
        pytest.param(
            "($close>1)+($open>1)", "expression_syntax", 10, id="conditions do not add up"
        ),
        pytest.param("Ref($close,-1)", "lookahead_expression", 0, id="tomorrow"),
        pytest.param("1+Delta($close,-1)", "lookahead_expression", 2, id="tomorrow's change"),
        pytest.param("Meen($close,5)", "unknown_name", 0, id="a misspelt operator"),
        pytest.param("1+$clos", "unknown_name", 2, id="a misspelt field"),
        pytest.param("TResample($close,'1d','mean')", "unknown_name", 0, id="no resampling"),
        pytest.param("P($close)", "unknown_name", 0, id="no point-in-time fields"),
        pytest.param("$$close", "expression_syntax", 0, id="nor their sign"),
        pytest.param("__import__('os')", "expression_syntax", 0, id="an import"),
        pytest.param("eval($close)", "unknown_name", 0, id="eval is no operator"),
        pytest.param("$close.__class__", "expression_syntax", 6, id="an attribute"),
        pytest.param("lambda: $close", "expression_syntax", 6, id="a lambda"),
        pytest.param("[$close for i in $open]", "expression_syntax", 0, id="a comprehension"),
        pytest.param("$close[0]", "expression_syntax", 6, id="an index"),
        pytest.param("$close;$open", "expression_syntax", 6, id="two statements"),
        pytest.param("f'{$close}'", "expression_syntax", 1, id="a format string"),
        pytest.param("'close'", "expression_syntax", 0, id="a text"),
        pytest.param("$close if $open else 1", "expression_syntax", 7, id="a ternary"),
        pytest.param("$\u0441lose", "expression_syntax", 0, id="a Cyrillic letter"),
        pytest.param("\uff2dean($close,5)", "expression_syntax", 0, id="a full-width letter"),
        pytest.param("$close\u2212$open", "expression_syntax", 6, id="a typographic minus"),
        pytest.param("Mean($close,\u0665)", "expression_syntax", 12, id="an Arabic digit"),
        pytest.param("$close\x00", "expression_syntax", 6, id="a NUL"),
        pytest.param("2**9999*$close", "expression_syntax", 1, id="a number bomb"),
        pytest.param("1/0+$close", "expression_syntax", 1, id="a division of numbers by zero"),
        pytest.param("9**9**9**9*$close", "expression_syntax", 4, id="a tower of powers"),
    ],
)
def test_what_is_not_an_expression_is_refused_where_it_goes_wrong(
    text: str, code: str, position: int
) -> None:
    error = refusal(text)
    assert (error.wire_code, error.facts["position"]) == (code, position)
    assert error.message.endswith(".")
    assert error.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        pytest.param("Meen($close,5)", "Did you mean 'Mean'?", id="operator"),
        pytest.param("mean($close,5)", "Did you mean 'Mean'?", id="case"),
        pytest.param("Mean($clos,5)", "Did you mean '$close'?", id="field"),
        pytest.param("$close>1 & $open>1", "parentheses", id="the hidden chain"),
        pytest.param("Ref($close,-1)", "labels", id="the future"),
        pytest.param("Mean($close)", "Mean(x, N)", id="the signature"),
    ],
)
def test_a_refusal_says_what_to_write_instead(text: str, hint: str) -> None:
    assert hint in refusal(text).hint


def test_a_label_may_see_the_future_and_a_feature_may_not() -> None:
    assert parse("Ref($close, -2)/Ref($close, -1) - 1", future=True).size == 9
    assert refusal("Ref($close, -2)").wire_code == "lookahead_expression"


def test_only_qlib_expands_from_the_first_row() -> None:
    assert parse("Mean($close, 0)", semantics=QLIB).text == f'["Mean",{C},0]'
    assert "where the data begin" in refusal("Mean($close, 0)").message
    assert refusal("Corr($close, $open, 0)", semantics=QLIB).wire_code == "expression_syntax"


@pytest.mark.parametrize(
    "nested",
    [
        pytest.param(lambda n: "Abs(" * n + "$close" + ")" * n, id="calls"),
        pytest.param(lambda n: "(" * n + "$close" + ")" * n, id="brackets"),
        pytest.param(lambda n: "-" * n + "$close", id="signs"),
    ],
)
def test_thirty_two_levels_and_no_more(nested: object) -> None:
    assert callable(nested)
    parse(nested(DEPTH - 1))
    assert "deeper than 32" in refusal(nested(DEPTH)).message


def test_a_long_sum_is_one_level_but_bounded() -> None:
    most = (NODES + 1) // 2
    assert parse("+".join(["$close"] * most)).depth == 2
    assert "500 nodes" in refusal("+".join(["$close"] * (most + 1))).message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("+".join(["$close"] * 50_000), id="a sum"),
        pytest.param("(" * 100_000, id="brackets"),
        pytest.param("Abs(" * 25_000, id="calls"),
        pytest.param("-" * 100_000 + "$close", id="signs"),
        pytest.param("$close**" * 25_000 + "1", id="powers"),
        pytest.param("9" * 100_000, id="digits"),
        pytest.param("$" + "a" * 100_000, id="a name"),
        pytest.param("Mean(" + "$close," * 20_000 + "5)", id="arguments"),
    ],
)
def test_a_hundred_thousand_nodes_are_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    assert refusal(text).wire_code == "expression_syntax"
    assert time.perf_counter() - began < 0.1


@given(st.text(max_size=60) | st.text("$closeMan()+-*/<>=&|,.'5 0e_[]", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_tree_or_a_refusal(text: str) -> None:
    codes = {"", "expression_syntax", "lookahead_expression", "unknown_name"}
    assert code_of(text) in codes


def code_of(text: str) -> str:
    """Return the code of the refusal, nothing where there is none."""
    try:
        parse(text)
    except AlphaSwarmError as error:
        return error.wire_code
    return ""


@st.composite
def arithmetic(draw: st.DrawFn, depth: int = 3) -> str:
    """Return text in Python's own syntax: names, brackets, arithmetic."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(["$open", "$close", "$high", "$low"]))
    left, right = draw(arithmetic(depth - 1)), draw(arithmetic(depth - 1))
    sign = draw(st.sampled_from(["+", "-", "*", "/", "**"]))
    form = draw(st.sampled_from(["{}{}{}", "({}{}{})", "-{}{}{}"]))
    return form.format(left, sign, right)


@given(arithmetic())
@settings(max_examples=200, deadline=None)
def test_signs_bind_as_they_do_in_python(text: str) -> None:
    python = ast.parse(text.replace("$", ""), mode="eval").body
    assert parse(text).text == canonical(_of_python(python)).decode()


def _of_python(node: ast.expr) -> object:
    names = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
    if isinstance(node, ast.Name):
        return ["$", node.id]
    if isinstance(node, ast.UnaryOp):
        return ["Mul", -1, _of_python(node.operand)]
    assert isinstance(node, ast.BinOp)
    return [SIGNS[names[type(node.op)]], _of_python(node.left), _of_python(node.right)]


def test_every_operator_says_how_it_is_called_and_what_it_does() -> None:
    for name, operator in OPERATORS.items():
        assert operator.signature.startswith(f"{name}(")
        assert operator.doc
    assert OPERATORS["Corr"].signature == "Corr(x, y, N)"
    assert OPERATORS["CSRank"].signature == "CSRank(x[, by])"
