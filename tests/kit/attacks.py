"""The table of attacks and bombs (tests/lakehouse/attacks.toml), and what they are aimed at."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.sandbox import SqlResult
from tests.kit.lake import BARS, Depot
from topology.errors import AlphaSwarmError

TABLE = Path(__file__).parents[1] / "lakehouse" / "attacks.toml"
WORD = "xyzzy"
"""What stands in the secret file, and must never come back."""


@dataclass(frozen=True)
class Attack:
    """One line of the table; ``codes`` how it may end, empty where any limit will do."""

    name: str
    sql: str
    why: str
    codes: tuple[str, ...] = ()
    rows: list[list[Any]] | None = None
    cut: bool = False

    def aimed(self, **at: object) -> str:
        """Return the SQL with the places that it is aimed at."""
        text = self.sql
        for name, place in {"bars": BARS, **at}.items():
            text = text.replace(f"{{{name}}}", str(place))
        return text


@dataclass(frozen=True)
class Target:
    """What attacks are aimed at: a lake, one of its data files, and a secret beside it."""

    depot: Depot
    secret: Path

    @property
    def warehouse(self) -> Path:
        return Path(self.depot.reader.warehouse.removeprefix("file://"))

    def files(self) -> list[Path]:
        """Return every file of the warehouse: data, manifests and metadata."""
        return sorted(place for place in self.warehouse.rglob("*") if place.is_file())

    def hashes(self) -> dict[Path, str]:
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files()}

    def places(self) -> dict[str, object]:
        (file, *_) = (place for place in self.files() if place.suffix == ".parquet")
        return {"file": file, "folder": file.parent, "secret": self.secret}

    def told(self, sql: str, answer: str) -> list[str]:
        """Return what an answer gives away that the SQL did not bring along."""
        home = str(Path(__file__).parents[2])
        secrets = [WORD, str(self.warehouse), ".parquet", home, "/proc", "/root", "/tmp"]
        return [secret for secret in secrets if secret in answer and secret not in sql]


def outcome(work: Callable[[], SqlResult]) -> SqlResult | AlphaSwarmError:
    """Return the answer, or the error that came instead."""
    try:
        return work()
    except AlphaSwarmError as error:
        return error


def attacks() -> list[Attack]:
    """Return the attacks of the table."""
    return [_read(entry) for entry in tomllib.loads(TABLE.read_text("utf-8"))["attack"]]


def bombs() -> list[Attack]:
    """Return the bombs of the table."""
    return [_read(entry) for entry in tomllib.loads(TABLE.read_text("utf-8"))["bomb"]]


def _read(entry: dict[str, Any]) -> Attack:
    times = entry.get("times", 0)
    sql = entry["sql"].replace("{many}", entry.get("unit", "") * times)
    code = entry.get("code", [])
    return Attack(
        entry["name"],
        sql.replace("{closed}", entry.get("close", "") * times),
        entry["why"],
        (code,) if isinstance(code, str) else tuple(code),
        _nulls(entry["rows"]) if "rows" in entry else None,
        entry.get("cut", False),
    )


def _nulls(value: Any) -> Any:
    """TOML has no word for null."""
    if isinstance(value, list):
        return [_nulls(inner) for inner in value]
    return None if value == "null" else value
