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
        "currval",
        "getenv",
        "getvariable",
        "json_serialize_plan",
        "nextval",
        "parse_duckdb_log_message",
        "pg_get_viewdef",
        "pg_sleep",
        "setval",
        "sleep_ms",
        "write_log",
    }
)
"""What reads the process, waits, or plans text that this gate has not seen.

Every scalar function of the DuckDB that we pin was looked at; another version has to be, too.
"""
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
    return sorted(set(_named(statements, frozenset())))


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


def _named(value: Any, known: frozenset[str]) -> Iterator[str]:
    """Yield the tables that are read where ``known`` are the common table expressions in sight.

    A name that is one elsewhere is a table here, and may be one of the system's: so each is seen
    by what comes after it and by the query below it; by itself only where it is recursive.
    """
    if isinstance(value, list):
        for inner in value:
            yield from _named(inner, known)
    elif isinstance(value, dict):
        if value.get("type") == "BASE_TABLE" and (name := _table(value, known)):
            yield name
        for name, query in _common(value):
            yield from _named(query, known)
            known |= {name}
        for key, inner in value.items():
            if key != "cte_map":
                yield from _named(inner, known | _itself(value, key))


def _common(node: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the common table expressions that this node defines, in order."""
    entries = node.get("cte_map")
    listed = entries.get("map", []) if isinstance(entries, dict) else []
    return [(_folded(entry["key"]), entry["value"]) for entry in listed]


def _itself(node: dict[str, Any], part: str) -> frozenset[str]:
    """Return the name that the second half of a recursive query knows itself by."""
    recursive = node.get("type") == "RECURSIVE_CTE_NODE" and part == "right"
    return frozenset({_folded(node["cte_name"])} if recursive else ())


def _table(node: dict[str, Any], known: frozenset[str]) -> str | None:
    """Return a table's name; None for a common table expression, which no schema qualifies."""
    parts = [node.get("catalog_name"), node.get("schema_name"), node.get("table_name")]
    given = [_folded(part) for part in parts if part]
    return None if len(given) == 1 and given[0] in known else ".".join(given)


def _function(node: Any) -> str:
    return _folded(node.get("function_name", "")) if isinstance(node, dict) else ""


def _folded(name: Any) -> str:
    """Return a name in lower case as DuckDB does: ASCII alone, so that no other letter is a k."""
    return "".join(c.lower() if c.isascii() else c for c in str(name))


def _refused(construct: str, hint: str = HINT) -> SqlNotAllowedError:
    return SqlNotAllowedError(
        f"query_sql does not allow {construct[:64]}.", hint=hint, construct=construct[:64]
    )
