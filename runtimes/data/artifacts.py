"""Files that runs leave for download: named by their SHA-256, removed when their time is over."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from pathlib import Path

from topology.home import Home, explaining

GRACE_S = 3_600
"""How much longer than promised a file stays: a download that began in time comes to its end."""


def exports(home: Home) -> Path:
    """Return the folder of exported files; it is made where it is missing."""
    folder = home.artifacts / "exports"
    with explaining(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def keep(part: Path, *, now: dt.datetime) -> tuple[str, int]:
    """Give a finished file its name, its SHA-256, and return it with the size in bytes.

    The same content written again has its time begin anew.
    """
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = part.stat().st_size
    os.utime(part, (now.timestamp(), now.timestamp()))
    part.replace(part.with_name(f"{digest}.parquet"))
    return digest, size


def sweep(home: Home, *, now: dt.datetime, keep_s: float) -> int:
    """Remove exports whose time is over, and what killed workers left; return how many."""
    oldest = now.timestamp() - keep_s - GRACE_S
    gone = [path for path in exports(home).iterdir() if path.lstat().st_mtime < oldest]
    for path in gone:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(gone)
