"""What the lake holds, as resources: providers, tables with schema and coverage, symbols, runs."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from tools import runs as seen
from tools import tables as shown
from tools.registry import Office, resource
from topology.egress import Guard
from topology.errors import UnknownNameError, did_you_mean, nearest
from topology.fields import port_of
from topology.principal import Principal
from topology.sources import HttpSource, LibrarySource, Source

KIND = "data"
BARS = "alphaswarm_silver_market.bars_1d"
PURPOSE = "ingest"
READ = Rule(scopes=("data:read",), actor="any")


class ProviderView(BaseModel):
    """A provider by the name that `ingest` takes; ``missing`` says what keeps it from working.

    ``ready`` is null where only the symbols say which hosts are asked.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    needs: list[str]
    missing: list[str]
    ready: bool | None


class Providers(BaseModel):
    """The providers that `ingest` knows, and the folders that it may read files from."""

    model_config = ConfigDict(frozen=True)

    providers: list[ProviderView]
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
    """Return the providers that `ingest` knows, what each needs, and what is missing."""
    del caller
    from lakehouse.providers import PROVIDERS, WITH_PATH
    from runtimes.data.outside import LIBRARIES, source_of

    remote = {name: source_of(office.topology, name, None) for name in LIBRARIES}
    remote |= office.topology.providers
    own = [
        _view(name, name, ["a path"] if name in WITH_PATH else [], [])
        for name in PROVIDERS.names()
        if name not in {"http", *LIBRARIES}
    ]
    described = [
        _described(office, name, source) for name, source in remote.items() if source is not None
    ]
    return Providers(
        providers=[*own, *described], folders=["inbox", *office.topology.ingest.folders]
    )


def _view(name: str, kind: str, needs: list[str], missing: list[str]) -> ProviderView:
    return ProviderView(name=name, kind=kind, needs=needs, missing=missing, ready=not missing)


def _described(office: Office, name: str, source: Source) -> ProviderView:
    view = _view(name, source.kind, ["symbols", *_needs(source)], _missing(office, source))
    return view if view.missing or _places(source) else view.model_copy(update={"ready": None})


def _needs(source: Source) -> list[str]:
    """Return what else must be there: the library of an extra, the way out."""
    library = [f"the extra {source.kind}"] if isinstance(source, LibrarySource) else []
    hosts = ", ".join(host for host, _ in _places(source)) or "the API of each symbol's exchange"
    return [*library, f"egress to {hosts}"]


def _missing(office: Office, source: Source) -> list[str]:
    missing = []
    if isinstance(source, LibrarySource) and find_spec(source.kind) is None:
        missing.append(f"The library {source.kind} is not installed: the extra brings it.")
    guard = Guard(office.topology.egress, PURPOSE)
    if not _places(source) and not any(PURPOSE in one.purposes for one in guard.egress.allow):
        missing.append(f"egress.allow names no host for {PURPOSE}.")
    closed = [place for place in _places(source) if not guard.lists(*place)]
    missing += [
        f"egress.allow does not name {host} port {port} for {PURPOSE}." for host, port in closed
    ]
    return missing


def _places(source: Source) -> list[tuple[str, int]]:
    """Return host and port of what is asked; none where only the symbol says which."""
    address = source.url if isinstance(source, HttpSource) else source.mirror
    if address:
        return [(urlsplit(address).hostname or "", port_of(address) or 0)]
    if source.kind == "yfinance":
        from lakehouse.providers.yfinance_source import PLACES

        return list(PLACES)
    return []


@resource(server="data", uri="run://{run_id}", auth=READ, title="A data run")
def run(run_id: str, *, office: Office, caller: Principal) -> seen.RunView:
    """Return everything the ledger records of a data run."""
    del caller
    return seen.view(seen.read(office, run_id, kind=KIND))


@resource(server="data", uri="data://tables/{name}{?as_of}", auth=READ, title="A table")
def table(
    name: str, as_of: str | None = None, *, office: Office, caller: Principal
) -> shown.TableView:
    """Return a table's schema, key, rows and coverage, as of a snapshot or time, or now."""
    del caller
    return shown.describe(office, name, as_of)


@resource(
    server="data",
    uri="data://tables/{name}/schema{?as_of}",
    auth=READ,
    title="A table's schema",
)
def schema(name: str, as_of: str | None = None, *, office: Office, caller: Principal) -> Schema:
    """Return the columns and the key of a table, as of a snapshot or time, or now."""
    del caller
    found = shown.describe(office, name, as_of)
    return Schema(table=name, columns=found.columns, key=found.key)


@resource(
    server="data",
    uri="data://tables/{name}/coverage{?as_of}",
    auth=READ,
    title="A table's coverage",
)
def coverage(
    name: str, as_of: str | None = None, *, office: Office, caller: Principal
) -> CoverageView:
    """Return first bar, last bar and count of every symbol, as of a snapshot or time, or now."""
    del caller
    return CoverageView(table=name, symbols=shown.coverage(office, name, as_of))


@resource(server="data", uri="data://symbols/{symbol}{?as_of}", auth=READ, title="A symbol")
def symbol(
    symbol: str, as_of: str | None = None, *, office: Office, caller: Principal
) -> shown.SymbolRow:
    """Return what the daily bars hold of one symbol, as of a snapshot or time, or now."""
    del caller
    held = {row.vt_symbol: row for row in shown.coverage(office, BARS, as_of)}
    if symbol not in held:
        raise UnknownNameError(
            f"{BARS} has no bars of {symbol[:64]!r}.",
            hint=did_you_mean(symbol[:64], held),
            nearest=nearest(symbol[:64], held),
        )
    return held[symbol]
