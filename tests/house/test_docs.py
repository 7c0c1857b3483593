"""What exists is written down, and what is written down exists."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from clients.cli.app import app
from lakehouse.clean import REASONS
from lakehouse.features.build import SEMANTICS
from lakehouse.features.operators import FIELDS, OPERATORS, REFUSED
from lakehouse.features.sets import SETS
from lakehouse.quality.rules import RULES
from lakehouse.schemas import _REGISTERED as TABLES
from runtimes.backtest import scoring, sweep, trials, walk_forward
from runtimes.engine import factors, information, notices, summary
from runtimes.engine.arrays import Worth
from runtimes.engine.curve import Curve
from runtimes.engine.lean.statistics import PRINTED
from runtimes.engine.results import Result
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from tools.registry import served
from topology.errors import AlphaSwarmError
from topology.fields import Section
from topology.kinds import KINDS
from topology.services import Face, load

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
HOUSE = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
COMMAND = re.compile(r"(?:^\$ |^|\$\()alphaswarm (?=[a-z-])", re.MULTILINE)
LITERAL_CODE = re.compile(r"code=\"([a-z_]+)\"")
EVERYWHERE = {"--json", "--help"}


def page(name: str) -> str:
    return (ROOT / "docs" / "reference" / name).read_text()


def unnamed(known: set[str] | list[str], text: str) -> list[str]:
    """Return the names that ``text`` does not hold in backticks."""
    return sorted(name for name in known if f"`{name}`" not in text)


def blocks(*languages: str) -> list[Any]:
    """Return every code block in one of the languages, under an id that says where it stands."""
    return [
        pytest.param(text, id=f"{path.relative_to(ROOT)}-{number}")
        for path in DOCS
        for number, (found, text) in enumerate(BLOCK.findall(path.read_text()), start=1)
        if found in languages
    ]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_readme_is_shorter_than_150_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_file_and_to_a_heading_in_it(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_rule_of_agents_names_tests_that_exist() -> None:
    text = (ROOT / "AGENTS.md").read_text()
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("server", list(load({}).faces))
def test_every_tool_and_resource_of_a_server_is_in_the_reference(server: str) -> None:
    part = page("tools.md").partition(f"\n## {server}\n")[2].partition("\n## ")[0]
    table = served(server)
    assert table.tools
    offered = [*table.tools, *table.resources, *table.prompts, *table.completions]
    assert unnamed(offered, part) == []


@pytest.mark.parametrize("server", list(load({}).faces))
def test_a_tool_of_the_reference_is_a_tool_of_its_server(server: str) -> None:
    part = page("tools.md").partition(f"\n## {server}\n")[2].partition("\n## ")[0]
    described = {
        match[1]: match[2]
        for match in re.finditer(r"^### `(\w+)`(?: \(needs `(.*)`\))?", part, re.MULTILINE)
    }
    known = {
        name: next((s for s in spec.auth.scopes if s != f"{server}:read"), None)
        for name, spec in served(server).tools.items()
    }
    assert described == known


def test_every_strategy_and_its_parameters_are_in_the_reference() -> None:
    text = page("strategies.md")
    assert unnamed(STRATEGIES.names(), text) == []
    for name in STRATEGIES:
        part = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert unnamed(list(STRATEGIES.load(name).params.model_fields), part) == []


def test_a_strategy_of_the_reference_is_one_and_so_is_each_parameter() -> None:
    text = page("strategies.md")
    assert re.findall(r"^## `(\w+)`$", text, re.MULTILINE) == STRATEGIES.names()
    for name in STRATEGIES:
        part = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0].partition("\n### ")[0]
        rows = re.findall(r"^\| (`.*?`) \|", part, re.MULTILINE)
        told = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
        assert sorted(told - set(STRATEGIES.load(name).params.model_fields)) == [], name


def statistics_of_a_run() -> set[str]:
    """Return every name that statistics can have, but for those that carry another's name."""
    nothing = np.zeros(0)
    result = Result(
        timestamps=np.arange(3),
        curve=Curve(Worth(*(np.ones(3) for _ in Worth._fields)), start=1.0),
        fills={"price": nothing},
        orders={},
        trades=dict.fromkeys(("pnl", "mae", "mfe", "bars"), nothing),
        positions={"quantity": nothing, "vt_symbol": nothing},
        warnings=(),
        partial=False,
    )
    known = summary.summarise(result, cash=1.0, periods_per_year=252, benchmark=np.ones(3))
    judged = summary.deflated(known, summary.Looked(), periods_per_year=252)
    explained = factors.measures(
        ["NAME"], factors.regress(nothing, np.zeros((0, 1))), periods_per_year=252
    )
    signal = information.measures(np.zeros((3, 3)), np.ones((3, 3)))
    return {*known, *judged, *explained, *signal, *PRINTED, "capacity", *statistics_of_trials()}


def statistics_of_trials() -> set[str]:
    """Return every name that the statistics of a sweep or of a walk-forward have."""
    block = {"params": {"strategy.params.lookback": [5, 10], "strategy.params.top": [1, 2]}}
    spec = BacktestSpec.model_validate(
        {
            "name": "names",
            "universe": {"symbols": ["A.TEST"]},
            "data": {"start": "2001-01-01", "end": "2001-02-01"},
            "strategy": {"name": "momentum"},
            "sweep": block,
            "walk_forward": {"train": 20, "test": 5},
        }
    )
    assert spec.sweep is not None
    assert spec.walk_forward is not None
    times, scores = np.arange(64) * 86_400 * 10**9, []
    for trial in spec.trials:
        equity = 100.0 + np.sin(np.arange(64.0) + trial.number)
        told = scoring.measured(equity, times, cash=100.0, periods_per_year=252.0)
        blocks = scoring.blocked(equity, cash=100.0, blocks=4)
        scores.append(scoring.Score(trial.number, times, equity, told | {"blocks": blocks}))
    swept = sweep.judged(spec.sweep, spec.trials, scores, scores[0])
    fold = walk_forward.Fold(0, scores[0], scores[1], (scores[1],))
    return {*swept, *walk_forward.judged(spec.walk_forward, [fold], scores), trials.RESUME}


def test_every_statistic_and_every_warning_is_in_the_reference() -> None:
    text = page("statistics.md")
    rows = re.findall(r"^\| (`.*?`) \| .* \|", text.partition("\n| warning |")[0], re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    known = statistics_of_a_run()
    assert unnamed(known, text) == []
    assert sorted(described - known) == []
    source = Path(notices.__file__ or "").read_text()
    assert unnamed(set(re.findall(r"_notice\(\s*\"(\w+)\"", source)), text) == []


def test_every_quality_rule_is_in_the_reference_with_its_severity_and_reason() -> None:
    text = page("quality.md").partition("\n## Rules\n")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \| (\w+) \| .* \| (.*) \|$", text, re.MULTILINE)
    assert described == [(rule.name, rule.severity, rule.because) for rule in RULES]


def codes() -> set[str]:
    for room in HOUSE:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if "__main__" not in module.name and ".migrations" not in module.name:
                importlib.import_module(module.name)
    classes = [AlphaSwarmError]
    for known in classes:
        classes.extend(known.__subclasses__())
    texts = [path.read_text() for room in HOUSE for path in (ROOT / room).rglob("*.py")]
    ours = {known.code for known in classes if known.__module__.partition(".")[0] in HOUSE}
    return ours | {code for text in texts for code in LITERAL_CODE.findall(text)}


def test_the_error_codes_are_those_of_the_reference() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", page("errors.md"), re.MULTILINE))
    assert sorted(codes() ^ described) == []


def test_every_setting_of_the_topology_is_in_the_reference() -> None:
    models: list[type[Section]] = [Section]
    for model in models:
        models.extend(inner for inner in model.__subclasses__() if inner is not Face)
    settings = {
        field.alias or name for model in models for name, field in model.model_fields.items()
    }
    prose = BLOCK.sub("", page("topology.md"))
    words = set(re.findall(r"[a-z_][a-z0-9_]*", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert sorted(settings - words) == []


def test_every_operator_and_feature_set_is_in_the_reference() -> None:
    text = page("expressions.md")
    assert unnamed([*OPERATORS, *REFUSED, *SETS.names(), *SEMANTICS], text) == []
    calls = [op.signature for op in OPERATORS.values()]
    assert [call for call in calls if f"`{call}`" not in text] == []
    described = set(re.findall(r"^\| `(\w+)` \| `\1\(", text, re.MULTILINE))
    assert described == set(OPERATORS)
    assert unnamed([f"${field}" for field in FIELDS], text) == []


def test_every_table_and_column_of_the_lake_is_in_the_reference() -> None:
    text = page("tables.md")
    for name, (_, shape) in TABLES.items():
        own = name.partition(".")[2].replace("RUNID", "<run_id>").replace("bars_1d_", "_")
        assert f"{own}`" in text, name
        assert unnamed(shape.columns.names, text) == [], name
    assert [kind for kind in KINDS if kind not in text] == []
    assert unnamed(list(REASONS), (ROOT / "docs/how-to/your-own-data.md").read_text()) == []


def commands(group: Any = None, path: str = "alphaswarm") -> Iterator[tuple[str, Any]]:
    """Yield every command with the words that call it; a group that works alone is one, too."""
    root: Any = group or get_command(app)
    for name, command in root.commands.items():
        words = f"{path} {name}"
        inner = getattr(command, "commands", None)
        if inner is None or command.invoke_without_command:
            yield words, command
        if inner is not None:
            yield from commands(command, words)


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=str)
def test_every_command_and_option_is_in_the_reference(words: str, command: Any) -> None:
    rows = [line for line in page("cli.md").splitlines() if f"`{words}" in line]
    assert rows, words
    for parameter in command.params:
        options = [name for name in (*parameter.opts, *parameter.secondary_opts) if name[0] == "-"]
        if options and not EVERYWHERE & set(options):
            assert any(name in row for row in rows for name in options), options


def lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each call of ``alphaswarm`` in a shell block."""
    whole = text.replace("\\\n", " ")
    for match in COMMAND.finditer(whole):
        lexer = shlex.shlex(whole[match.end() :], posix=True, punctuation_chars="\n|();")
        lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
        words: list[str] = []
        for word in lexer:
            if word[0] in "\n|();#":
                break
            words.append(word)
        yield words


@pytest.mark.parametrize("text", blocks("console", "sh"))
def test_a_command_line_in_the_docs_is_one_that_the_command_takes(text: str) -> None:
    for given in lines(text):
        command: Any = get_command(app)
        words, context = given, None
        while True:
            context = command.make_context(command.name, list(words), parent=context)
            rest = [*getattr(context, "_protected_args", []), *context.args]
            if not rest or not hasattr(command, "commands"):
                break
            _, command, words = command.resolve_command(context, rest)


@pytest.mark.parametrize("text", blocks("console", "sh"))
def test_a_make_target_in_the_docs_is_one_of_the_makefile(text: str) -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\$ make ([a-z]+)", text, re.MULTILINE)) <= known


@pytest.mark.parametrize("text", [p for p in blocks("yaml") if p.values[0].startswith("kind:")])
def test_a_spec_in_the_docs_is_a_valid_spec(text: str) -> None:
    assert parse(None, text).body()["name"]


@pytest.mark.parametrize("text", blocks("json"))
def test_json_in_the_docs_is_json(text: str) -> None:
    assert json.loads(text)
