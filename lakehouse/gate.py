"""Which SQL an agent may run: one SELECT over tables of the lake, judged by its syntax tree.

DuckDB's statement type does not suffice: ``WITH a AS (COPY ..) SELECT 1`` counts as a SELECT and
writes. So the tree is walked, and whatever is not known to be harmless is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lakehouse.errors import InvalidSqlError, SqlNotAllowedError

NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
REFERENCES = frozenset(
    {"BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "SHOW_REF"}
)
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
SCALAR_FUNCTIONS_REFUSED = frozenset(
    {
        "current_setting",
        "getenv",
        "getvariable",
        "pg_get_viewdef",
        "pg_sleep",
        "sleep_ms",
        "write_log",
    }
)
HINT = "Write one SELECT over the tables that list_tables shows."


def tables(tree: str) -> list[str]:
    """Return the tables that a serialized statement reads, as ``schema.table`` in lower case.

    ``tree`` is the answer of DuckDB's ``json_serialize_sql``. Raises ``sql_not_allowed`` with the
    construct, or ``invalid_arguments`` where the text does not parse.
    """
    try:
        statements = _statements(json.loads(tree))
        nodes = list(_walk(statements))
    except RecursionError as error:
        raise _refused("nesting this deep") from error
    for node in nodes:
        _judge(node)
    common = {name for node in nodes for name in _common(node)}
    named = (_table(node) for node in nodes if node.get("type") == "BASE_TABLE")
    return sorted({name for name in named if name not in common})


def _statements(answer: dict[str, Any]) -> list[Any]:
    if answer.get("error"):
        if answer.get("error_type") == "not implemented":
            raise _refused("a statement that is no plain SELECT")
        explanation = str(answer.get("error_message")).splitlines()[0]
        raise InvalidSqlError(f"The query does not parse: {explanation[:300]}", hint=HINT)
    statements: list[Any] = answer["statements"]
    if not statements:
        raise InvalidSqlError("There is no statement.", hint=HINT)
    if len(statements) > 1:
        raise _refused(f"{len(statements)} statements")
    return statements


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _judge(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in NODES:
        raise _refused(kind.removesuffix("_QUERY_NODE").removesuffix("_NODE"))
    if "sample" in node and kind not in NODES | REFERENCES:
        raise _refused(kind)
    if kind == "TABLE_FUNCTION" and _function(node.get("function")) not in TABLE_FUNCTIONS:
        raise _refused(f"the table function {_function(node.get('function'))}")
    if kind == "SHOW_REF" and node.get("query") is None:
        raise _refused("SHOW")
    if kind == "BASE_TABLE" and node.get("at_clause") is not None:
        raise _refused("AT", "Pass as_of to query_sql instead.")
    if _function(node) in SCALAR_FUNCTIONS_REFUSED:
        raise _refused(f"the function {_function(node)}")


def _function(node: Any) -> str:
    return str(node.get("function_name", "")).lower() if isinstance(node, dict) else ""


def _common(node: dict[str, Any]) -> list[str]:
    """Return the names of the common table expressions that this node defines."""
    entries = node.get("cte_map")
    listed = entries.get("map", []) if isinstance(entries, dict) else []
    return [str(entry["key"]).lower() for entry in listed]


def _table(node: dict[str, Any]) -> str:
    parts = (node.get("catalog_name"), node.get("schema_name"), node.get("table_name"))
    return ".".join(str(part).lower() for part in parts if part)


def _refused(construct: str, hint: str = HINT) -> SqlNotAllowedError:
    return SqlNotAllowedError(
        f"query_sql does not allow {construct[:64]}.", hint=hint, construct=construct[:64]
    )
