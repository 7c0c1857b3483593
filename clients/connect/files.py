"""Write a client's file aside and rename it, keep what was there, and know it again for `--undo`.

The record stands in the home: per file what we wrote and the hash of the result. As long as nobody
else has touched the file, undo gives back the very bytes that were there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.connect.entries import NOTHING, Wanted, entered, left
from clients.connect.places import Place
from topology.errors import BadInputError
from topology.home import Home, explaining

RECORD = "connected.json"
SUFFIX = ".alphaswarm.bak"


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after; None is a file that is not there."""

    place: Place
    before: str | None
    after: str | None

    @property
    def differs(self) -> bool:
        """Tell whether anything is to be written."""
        return self.before != self.after


def connect(home: Home, want: Wanted, *, force: bool = False) -> Change:
    """Return what connecting would change; writes nothing. Refuses as `entered` does."""
    before = _read(want.place)
    _installed(want)
    ours = _recorded(home, want.place).get("entries", {})
    after = entered(before if before is not None else NOTHING, want, ours, force=force)
    return Change(want.place, before, after)


def undo(home: Home, want: Wanted) -> Change:
    """Return what taking our entries out would change; writes nothing.

    The bytes from before come back exactly where the file is still what we wrote; where somebody
    has edited it since, our entries alone are cut out of it.
    """
    before = _read(want.place)
    note = _recorded(home, want.place)
    if before is None:
        return Change(want.place, None, None)
    if note and _sha(before) == note["after"]:
        return Change(want.place, before, _backup(want.place) if note["existed"] else None)
    made = bool(note) and note["made_table"]
    after = left(before, want, note.get("entries", {}), made_table=made)
    gone = bool(note) and not note["existed"] and json.loads(after) == {}
    return Change(want.place, before, None if gone else after)


def write(home: Home, want: Wanted, change: Change, *, undoing: bool = False) -> None:
    """Carry a change out: the backup, the new file by rename, then the record."""
    notes, key = _notes(home), str(change.place.file)
    if undoing:
        notes.pop(key, None)
    elif change.differs and key not in notes:
        if change.before is not None:
            _replace(_backup_file(change.place), change.before)
        notes[key] = {"existed": change.before is not None, "made_table": _lacks(change)}
    _replace(change.place.file, change.after)
    if undoing:
        _replace(_backup_file(change.place), None)
    elif change.after is not None and key in notes:
        notes[key] |= {"after": _sha(change.after), "entries": dict(want.entries)}
    home.ensure()
    with explaining(home.run / RECORD):
        _replace(home.run / RECORD, json.dumps(notes, indent=2) if notes else None)


def _installed(want: Wanted) -> None:
    if not want.place.owner.is_dir():
        raise BadInputError(
            f"{want.place.client} keeps its settings in {want.place.owner}, which is not there.",
            hint="Install and start the client once, or use --scope project where it has one.",
            path=str(want.place.owner),
        )


def _lacks(change: Change) -> bool:
    return change.before is None or change.place.key not in json.loads(
        change.before.lstrip("\ufeff")
    )


def _read(place: Place) -> str | None:
    try:
        return place.file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadInputError(
            f"{place.file} cannot be read: {why}.", hint="It was left alone.", file=str(place.file)
        ) from error


def _replace(file: Path, text: str | None) -> None:
    """Write ``text`` aside with the file's own mode and rename it into place; None deletes."""
    try:
        if text is None:
            file.unlink(missing_ok=True)
            return
        target = file.resolve()  # a link to a settings file stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as out:
                out.write(text.encode("utf-8"))
                out.flush()
                os.fsync(out.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise BadInputError(
            f"{file} cannot be written: {error.strerror}.",
            hint="Nothing was changed there.",
            file=str(file),
        ) from error


def _backup_file(place: Place) -> Path:
    return place.file.with_name(place.file.name + SUFFIX)


def _backup(place: Place) -> str | None:
    file = _backup_file(place)
    return file.read_bytes().decode("utf-8") if file.exists() else None


def _notes(home: Home) -> dict[str, Any]:
    try:
        found = json.loads((home.run / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _recorded(home: Home, place: Place) -> Mapping[str, Any]:
    note = _notes(home).get(str(place.file))
    return note if isinstance(note, dict) else {}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
