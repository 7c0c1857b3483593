"""What the gate lets an agent's SQL be: one SELECT over tables, judged by its syntax tree."""

from __future__ import annotations

import pytest

from lakehouse import cell, gate
from lakehouse.errors import InvalidSqlError, SqlNotAllowedError

BARS = "alphaswarm_silver_market.bars_1d"
DATABASE = cell.warmed()


def tables(sql: str) -> list[str]:
    return gate.tables(cell.parse(DATABASE, sql).decode())


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        pytest.param("SELECT 1", [], id="no table at all"),
        pytest.param("VALUES (1), (2)", [], id="values"),
        pytest.param(f"FROM {BARS}", [BARS], id="FROM first"),
        pytest.param(f"TABLE {BARS};", [BARS], id="TABLE, and a semicolon at the end"),
        pytest.param(f"SELECT * FROM {BARS.upper()}", [BARS], id="names do not heed case"),
        pytest.param('SELECT * FROM "A b"."C.d"', ["a b.c.d"], id="quoted names"),
        pytest.param(f"WITH b AS (FROM {BARS}) SELECT * FROM b, B", [BARS], id="a CTE is no table"),
        pytest.param(f"SELECT (SELECT max(close) FROM {BARS})", [BARS], id="in a subquery"),
        pytest.param(f"FROM {BARS} a ASOF JOIN x.y b ON a.t >= b.t", [BARS, "x.y"], id="asof join"),
        pytest.param(
            f"FROM {BARS} UNION ALL FROM x.y EXCEPT FROM x.z", [BARS, "x.y", "x.z"], id="sets"
        ),
        pytest.param(
            f"SELECT avg(close) OVER (PARTITION BY vt_symbol ROWS 3 PRECEDING) FROM {BARS} "
            "QUALIFY row_number() OVER () > 1",
            [BARS],
            id="windows",
        ),
        pytest.param(
            "WITH RECURSIVE r AS (SELECT 1 i UNION ALL SELECT i + 1 FROM r) FROM r LIMIT 3",
            [],
            id="recursion",
        ),
        pytest.param(f"DESCRIBE {BARS}", [BARS], id="describe"),
        pytest.param(f"SUMMARIZE SELECT close FROM {BARS}", [BARS], id="summarize"),
        pytest.param("SELECT * FROM range(3), generate_series(2), unnest([1])", [], id="series"),
        pytest.param(f"FROM {BARS} TABLESAMPLE 10%", [BARS], id="a sample"),
        pytest.param(
            "SELECT 'COPY x TO y; -- ' AS \"DROP TABLE\"", [], id="words in quotes are words"
        ),
        pytest.param("SELECT 1 -- ; COPY x TO 'y'", [], id="a comment is a comment"),
        pytest.param("FROM bars_1d", ["bars_1d"], id="a bare name is left to the catalog"),
        pytest.param("FROM '/etc/passwd.csv'", ["/etc/passwd.csv"], id="a file is a table unknown"),
    ],
)
def test_an_honest_query_names_its_tables(sql: str, read: list[str]) -> None:
    assert tables(sql) == sorted(read)


INSIDE = [
    "WITH a AS (COPY (SELECT 1) TO '/tmp/f' (use_tmp_file false)) SELECT 1",
    "SELECT 1 WHERE EXISTS (WITH a AS (COPY (SELECT 1) TO '/tmp/f') SELECT 1)",
    f"WITH a AS (INSERT INTO {BARS} VALUES (1) RETURNING *) FROM a",
    f"WITH a AS (UPDATE {BARS} SET close = 0 RETURNING *) FROM a",
    f"WITH a AS MATERIALIZED (DELETE FROM {BARS} RETURNING *) SELECT 1",
    "SELECT 1 UNION (WITH a AS (DELETE FROM x.y RETURNING 1) FROM a)",
]
STATEMENTS = [
    f"COPY {BARS} TO '/tmp/f'",
    f"EXPLAIN ANALYZE COPY (FROM {BARS}) TO '/tmp/f'",
    "EXPLAIN SELECT 1",
    "ATTACH '/tmp/f' AS f",
    "DETACH f",
    "EXPORT DATABASE '/tmp/f'",
    "IMPORT DATABASE '/tmp/f'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET lock_configuration = false",
    "RESET threads",
    "SET VARIABLE x = 1",
    "USE memory",
    "PRAGMA database_list",
    "PRAGMA enable_logging",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "CREATE TABLE t (x INT)",
    f"CREATE OR REPLACE VIEW {BARS} AS SELECT 1",
    f"INSERT INTO {BARS} VALUES (1)",
    f"UPDATE {BARS} SET close = 0",
    f"DELETE FROM {BARS}",
    f"DROP VIEW {BARS}",
    f"ALTER TABLE {BARS} ADD COLUMN x INT",
    "MERGE INTO a.b USING c.d ON x WHEN MATCHED THEN DELETE",
    "COMMENT ON TABLE a.b IS 'x'",
    f"PIVOT {BARS} ON vt_symbol USING sum(close)",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '/tmp/f'",
    "SELECT 1 /* */; -- \n DROP TABLE x",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW DATABASES",
    "DESCRIBE",
]
FUNCTIONS = [
    *(
        f"SELECT * FROM {name}('/etc/passwd')"
        for name in (
            "read_csv",
            "READ_CSV_AUTO",
            "read_text",
            "read_blob",
            "read_json",
            "read_ndjson",
            "read_parquet",
            "parquet_scan",
            "read_duckdb",
            "glob",
            "sniff_csv",
            "parquet_metadata",
            "parquet_schema",
            "system.main.read_text",
            '"read_text"',
        )
    ),
    "FROM query('SELECT 1')",
    "FROM query_table('x')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "FROM duckdb_settings()",
    "FROM duckdb_secrets()",
    "FROM duckdb_views()",
    "FROM arrow_scan(1, 2, 3)",
    "FROM pragma_show('x')",
    "FROM repeat(1, 1000)",
    "SELECT 1 WHERE 1 IN (SELECT size FROM read_blob('/etc/passwd'))",
    "SELECT getenv('HOME')",
    "SELECT 'HOME'.getenv()",
    "SELECT main.current_setting('allowed_paths')",
    "SELECT list_transform([1], lambda x: current_setting('threads'))",
    "SELECT 1 ORDER BY getvariable('x')",
    "SELECT write_log('x')",
    "SELECT sleep_ms(60000)",
    f"FROM {BARS} AT (VERSION => 1)",
]


@pytest.mark.parametrize("sql", [*INSIDE, *STATEMENTS, *FUNCTIONS])
def test_everything_else_is_refused_and_named(sql: str) -> None:
    with pytest.raises(SqlNotAllowedError) as refused:
        tables(sql)
    assert refused.value.facts["construct"]
    assert "/" not in refused.value.message


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT FROM WHERE", "SELECT 'open", "SELECT (1", "-- only a comment", "???"]
)
def test_what_does_not_parse_is_explained(sql: str) -> None:
    with pytest.raises(InvalidSqlError) as refused:
        tables(sql)
    assert refused.value.wire_code == "invalid_arguments"


@pytest.mark.parametrize("wrap", ["[{}]", "f({})", "CASE WHEN true THEN {} END", "{{'a': {}}}"])
def test_nesting_without_end_is_refused(wrap: str) -> None:
    sql = "1"
    for _ in range(700):
        sql = wrap.format(sql)
    with pytest.raises((SqlNotAllowedError, InvalidSqlError)):
        tables(f"SELECT {sql}")
