"""``data ingest``: a provider, or files and folders that are copied into the inbox first."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.cli import output
from clients.cli.output import Json
from clients.cli.place import Place
from topology.errors import BadInputError, MissingError
from topology.home import FILE_MAPPING, FOLDER_MAPPING, Home, explaining

LEAN = "lean"
SECURITIES = ("equity", "crypto", "forex", "cfd")
EXPLAINING = ("market-hours", "symbol-properties", "*/*/map_files", "*/*/factor_files")
"""What a Lean data folder holds of each kind of security, and beside them."""
_PATTERN = frozenset("*?[")
"""What makes a pattern of a path; the server looks for it below the folders that it may read."""
_DIGITS = 12
_PLACE_DIGITS = 8


def ingest(
    source: Annotated[
        str,
        typer.Argument(metavar="PATH|PROVIDER", help="A file, folder or pattern, or `sample`."),
    ],
    provider: Annotated[
        str | None, typer.Option(help="Which provider reads PATH: `lean` for a Lean data folder.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Silver table of bars or quotes.")] = None,
    name: Annotated[str | None, typer.Option(help="Spec name.")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    start: Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="How the file names a column.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of timestamps without one.")] = None,
    close: Annotated[str | None, typer.Option(help="HH:MM at which a day's bar ends.")] = None,
    vt_symbol: Annotated[str | None, typer.Option(help="For a file without symbols.")] = None,
    currency: Annotated[str | None, typer.Option(help="For a file without one.")] = None,
    reading: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="Any other key of the reading.")
    ] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait/--detach")] = True,
    json: Json = False,
) -> None:
    """Bring a provider's data, or files (copied into the inbox), into the lake."""
    from clients.cli import calling, calls, following, running

    out, place = output.use(json), Place.find()
    asked = {
        "source": named(place, source, provider),
        "table": table,
        "name": name,
        "symbols": symbol or None,
        "start": start,
        "end": end,
        "reading": _reading(
            dict(mapping(text) for text in column or ()),
            {"timezone": timezone, "close": close, "vt_symbol": vt_symbol, "currency": currency},
            dict(calling.pair(text) for text in reading or ()),
        ),
    }
    handle = calls.call(place, "data", "ingest", asked)
    if not wait:
        out.answer(handle, f"{handle['run_id']} {handle['status']}")
        return
    running.finish(out, following.to_the_end(place, handle, kind="data", title="ingest"))


def named(place: Place, source: str, provider: str | None) -> str:
    """Return what the server is told of a source."""
    folders = [Path(folder) for folder in place.topology.ingest.folders]
    if provider is None:
        return located(place.home, source, folders)
    if not (_PATTERN & set(source) or Path(source).expanduser().exists()):
        raise MissingError(f"There is no file or folder {source[:200]!r}.", hint="Check the path.")
    return f"{provider}:{located(place.home, source, folders, lean=provider == LEAN)}"


def located(home: Home, source: str, folders: Sequence[Path] = (), *, lean: bool = False) -> str:
    """Return what the server is told: a provider's name, or the path of the copy in the inbox.

    What lies in the inbox, or in one of the ``folders`` that the server may read, stays there. The
    same content keeps its name; a file of other content under a name that is taken gets its digest
    into it. A folder is copied file by file, only what is new or has changed; a part of a ``lean``
    folder with what explains it. A pattern such as ``eod/**/*.csv`` is the server's to resolve,
    below the inbox or one of the ``folders``.
    """
    path = Path(source).expanduser()
    if not path.exists():
        if (path.name == source and not path.suffix) or _PATTERN & set(source):
            return source
        raise MissingError(f"There is no file or folder {source[:200]!r}.", hint="Check the path.")
    if not (path.is_file() or path.is_dir()):
        raise BadInputError(
            f"{source[:200]!r} is neither a file nor a folder.", hint="Name one of them."
        )
    path = path.resolve()
    if any(path.is_relative_to(root.resolve()) for root in (home.inbox, *folders)):
        return str(path)
    home.ensure()
    with explaining(home.inbox):
        if not path.is_dir():
            return str(_file(home, path))
        return str(_lean(home, path) if lean else _folder(home, path))


def mapping(text: str) -> tuple[str, str]:
    """Return ``OURS=THEIRS`` as two words."""
    ours, equals, theirs = text.partition("=")
    if not equals:
        raise BadInputError(f"{text[:80]!r} is not a mapping.", hint="Write OURS=THEIRS.")
    return ours, theirs


def _reading(
    columns: dict[str, str], flags: dict[str, str | None], more: dict[str, Any]
) -> dict[str, Any] | None:
    given = {key: value for key, value in flags.items() if value is not None}
    return {**more, **given, **({"columns": columns} if columns else {})} or None


def _file(home: Home, path: Path) -> Path:
    target = home.inbox / path.name
    if target.exists() and not filecmp.cmp(path, target, shallow=False):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
        target = home.inbox / f"{digest}-{path.name}"
    if not target.exists():
        _copy(path, target)
    if (words := _words_beside(path)) is not None:
        _copy(words, target.with_name(target.name + FILE_MAPPING))
    return target


def _words_beside(path: Path) -> Path | None:
    """Return the mapping file that speaks of ``path``, which travels along under its name."""
    stem = path.name.partition(".")[0]
    names = (path.name + FILE_MAPPING, stem + FILE_MAPPING, FOLDER_MAPPING)
    return next((found for name in names if (found := path.with_name(name)).is_file()), None)


def _lean(home: Home, path: Path) -> Path:
    """Copy a Lean data folder, or the part of one that ``path`` is, as part of the same."""
    root, held = path, any((path / security).is_dir() for security in SECURITIES)
    for depth, name in enumerate(reversed(path.parts)):
        if name in SECURITIES and not held:
            root = path.parents[depth]
            break
    beside = [found for one in EXPLAINING for found in root.glob(one)] if root != path else []
    return _folder(home, root, [path, *beside]) / path.relative_to(root)


def _folder(home: Home, path: Path, parts: Sequence[Path] = ()) -> Path:
    """Copy a folder, or ``parts`` of it, under its own name: two called ``data`` do not meet."""
    place = hashlib.sha256(os.fsencode(path)).hexdigest()[:_PLACE_DIGITS]
    target = home.inbox / f"{path.name or 'root'}-{place}"
    for file in chain.from_iterable(map(_files, parts or [path])):
        copy = target / file.relative_to(path)
        facts = file.stat()
        if copy.exists() and _same(copy, facts):
            continue
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(file, copy)
        os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    target.mkdir(mode=0o700, exist_ok=True)
    return target


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, links to files too; hidden ones are nobody's data."""
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _same(copy: Path, facts: os.stat_result) -> bool:
    known = copy.stat()
    return (known.st_size, known.st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)


def _copy(path: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}.part")
    shutil.copyfile(path, aside)
    aside.chmod(0o600)
    aside.replace(target)
