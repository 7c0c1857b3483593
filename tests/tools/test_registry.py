"""The table of tools: what a decorator notes, and what it refuses."""

from __future__ import annotations

import pytest

from auth.policy import Rule
from tools import registry
from tools.registry import about, completion, resource, served, tool
from topology.errors import UnknownNameError

READ = Rule(scopes=("kit:read",))


@pytest.fixture(autouse=True)
def empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a table of its own."""
    monkeypatch.setattr(registry, "_TABLE", {})


def test_a_tool_keeps_its_function_and_is_found_by_name() -> None:
    @tool(server="kit", auth=READ, title="Look", read_only=True)
    def look() -> None:
        """Look at it."""

    spec = served("kit").tools["look"]
    assert spec.fn is look
    assert (spec.title, spec.description, spec.auth) == ("Look", "Look at it.", READ)


def test_what_only_reads_is_idempotent_and_what_writes_is_not_unless_told() -> None:
    @tool(server="kit", auth=READ, title="Look", read_only=True)
    def look() -> None:
        """Look."""

    @tool(server="kit", auth=READ, title="Write", read_only=False)
    def write() -> None:
        """Write."""

    @tool(server="kit", auth=READ, title="Cancel", read_only=False, idempotent=True)
    def cancel() -> None:
        """Cancel."""

    idempotent = {name: spec.idempotent for name, spec in served("kit").tools.items()}
    assert idempotent == {"look": True, "write": False, "cancel": True}


def test_a_tool_without_words_is_refused() -> None:
    def silent() -> None:
        pass

    with pytest.raises(TypeError, match="has no docstring"):
        tool(server="kit", auth=READ, title="Silent", read_only=True)(silent)


def test_a_name_is_offered_once() -> None:
    def look() -> None:
        """Look."""

    offer = tool(server="kit", auth=READ, title="Look", read_only=True)
    offer(look)
    with pytest.raises(TypeError, match="'look' is offered twice"):
        offer(look)


def test_resources_and_completions_stand_beside_the_tools() -> None:
    @resource(server="kit", uri="kit://{name}", auth=READ, title="One")
    def one(name: str) -> str:
        """Return one."""
        return name

    @completion(server="kit", argument="name")
    def names(value: str) -> list[str]:
        """Return names."""
        return [value]

    offered = served("kit")
    assert offered.resources["kit://{name}"].mime == "application/json"
    assert offered.completions["name"] is names


def test_an_unknown_server_is_told_its_neighbour() -> None:
    @tool(server="kit", auth=READ, title="Look", read_only=True)
    def look() -> None:
        """Look."""

    with pytest.raises(UnknownNameError) as caught:
        served("kitt")
    assert caught.value.hint == "Did you mean 'kit'?"


def test_a_server_says_what_it_is_for() -> None:
    assert about("registry").startswith("What a caller may ask for")
    assert about("unheard") == ""


def test_a_rule_names_at_least_one_scope() -> None:
    with pytest.raises(ValueError, match="without scopes would let everybody in"):
        Rule(scopes=())
