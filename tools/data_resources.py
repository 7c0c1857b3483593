"""What the lake holds, as resources: providers, tables with schema and coverage, symbols, runs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from tools import runs as seen
from tools import tables as shown
from tools.registry import Office, completion, resource
from topology.errors import UnknownNameError, did_you_mean, nearest
from topology.principal import Principal

KIND = "data"
BARS = "alphaswarm_silver_market.bars_1d"
READ = Rule(scopes=("data:read",), actor="any")


class Providers(BaseModel):
    """The providers that `ingest` knows, and the folders that it may read files from."""

    model_config = ConfigDict(frozen=True)

    providers: list[str]
    folders: list[str]


class Schema(BaseModel):
    """The columns and the key of a table."""

    model_config = ConfigDict(frozen=True)

    table: str
    columns: list[shown.ColumnView]
    key: list[str]


class CoverageView(BaseModel):
    """What a table of bars holds of each symbol."""

    model_config = ConfigDict(frozen=True)

    table: str
    symbols: list[shown.SymbolRow]


@resource(server="data", uri="data://providers", auth=READ, title="Data providers")
def providers(*, office: Office, caller: Principal) -> Providers:
    """Return the providers that `ingest` knows, and the folders that files may come from."""
    del caller
    from lakehouse.providers import PROVIDERS

    return Providers(
        providers=PROVIDERS.names(), folders=["inbox", *office.topology.ingest.folders]
    )


@resource(server="data", uri="run://{run_id}", auth=READ, title="A data run")
def run(run_id: str, *, office: Office, caller: Principal) -> seen.RunView:
    """Return everything the ledger records of a data run."""
    del caller
    return seen.view(seen.read(office, run_id, kind=KIND))


@resource(server="data", uri="data://tables/{name}", auth=READ, title="A table")
def table(name: str, *, office: Office, caller: Principal) -> shown.TableView:
    """Return a table's schema, key, rows and coverage."""
    del caller
    return shown.describe(office, name)


@resource(server="data", uri="data://tables/{name}/schema", auth=READ, title="A table's schema")
def schema(name: str, *, office: Office, caller: Principal) -> Schema:
    """Return the columns and the key of a table."""
    del caller
    found = shown.describe(office, name)
    return Schema(table=name, columns=found.columns, key=found.key)


@resource(server="data", uri="data://tables/{name}/coverage", auth=READ, title="A table's coverage")
def coverage(name: str, *, office: Office, caller: Principal) -> CoverageView:
    """Return the first and last bar and the number of bars of every symbol of a table."""
    del caller
    return CoverageView(table=name, symbols=shown.coverage(office, name))


@resource(server="data", uri="data://symbols/{symbol}", auth=READ, title="A symbol")
def symbol(symbol: str, *, office: Office, caller: Principal) -> shown.SymbolRow:
    """Return what the daily bars hold of one symbol."""
    del caller
    held = {row.vt_symbol: row for row in shown.coverage(office, BARS)}
    if symbol not in held:
        raise UnknownNameError(
            f"{BARS} has no bars of {symbol[:64]!r}.",
            hint=did_you_mean(symbol[:64], held),
            nearest=nearest(symbol[:64], held),
        )
    return held[symbol]


@completion(server="data", argument="symbol")
def symbols(value: str, *, office: Office) -> list[str]:
    """Return the symbols with daily bars that begin with ``value``."""
    from lakehouse import query

    if BARS not in query.tables(office.lake):
        return []
    wanted = value.upper()
    return [
        row.vt_symbol for row in shown.coverage(office, BARS) if row.vt_symbol.startswith(wanted)
    ]


@completion(server="data", argument="name")
def tables(value: str, *, office: Office) -> list[str]:
    """Return the tables whose name begins with ``value``, or whose own name does."""
    from lakehouse import query

    return [
        name
        for name in query.tables(office.lake)
        if name.startswith(value) or name.partition(".")[2].startswith(value)
    ]
