"""Ingest reads below the allowed folders and nowhere else, whatever a path pretends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from runtimes.data.sources import PathNotAllowedError, digest, locate, written
from topology.errors import AlphaSwarmError


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Return an inbox and another allowed folder, beside a secret that is in neither."""
    for name in ("inbox", "shelf", "private"):
        (tmp_path / name).mkdir()
    (tmp_path / "inbox" / "prices.csv").write_text("a\n1\n")
    (tmp_path / "shelf" / "old.csv").write_text("a\n2\n")
    (tmp_path / "private" / "secret.csv").write_text("a\n3\n")
    (tmp_path / "inbox-2").mkdir()
    (tmp_path / "inbox-2" / "near.csv").write_text("a\n4\n")
    return [tmp_path / "inbox", tmp_path / "shelf"]


def test_a_relative_path_starts_at_the_inbox(folders: list[Path]) -> None:
    found = locate("prices.csv", folders)

    assert found == (folders[0] / "prices.csv").resolve()
    assert written(found, folders) == "prices.csv"


def test_another_allowed_folder_takes_the_whole_path(folders: list[Path]) -> None:
    found = locate(str(folders[1] / "old.csv"), folders)

    assert written(found, folders) == str(found)
    assert locate(written(found, folders), folders) == found


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("../private/secret.csv", id="up and over"),
        pytest.param("../inbox-2/near.csv", id="a folder whose name begins the same"),
        pytest.param("../private/nothing.csv", id="outside and missing looks the same"),
        pytest.param("/etc/passwd", id="somewhere else"),
        pytest.param("link.csv", id="a link that leads out"),
        pytest.param("folder/secret.csv", id="a linked folder that leads out"),
        pytest.param("loop", id="a loop of links"),
        pytest.param("x\0y", id="a NUL"),
    ],
)
def test_whatever_leads_out_is_refused(folders: list[Path], source: str) -> None:
    inbox = folders[0]
    (inbox / "link.csv").symlink_to(inbox.parent / "private" / "secret.csv")
    (inbox / "folder").symlink_to(inbox.parent / "private")
    (inbox / "loop").symlink_to(inbox / "loop")

    with pytest.raises(AlphaSwarmError) as refused:
        locate(source, folders)

    assert refused.value.wire_code in {"path_not_allowed", "not_found"}
    if source != "loop":
        assert isinstance(refused.value, PathNotAllowedError)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param("missing.csv", "not_found", id="nothing there"),
        pytest.param(".", "invalid_arguments", id="a directory"),
        pytest.param("pipe", "invalid_arguments", id="a pipe, which would never end"),
        pytest.param("x" * 300, "not_found", id="a name longer than names can be"),
    ],
)
def test_inside_only_files_count(folders: list[Path], source: str, code: str) -> None:
    os.mkfifo(folders[0] / "pipe")

    with pytest.raises(AlphaSwarmError) as refused:
        locate(source, folders)

    assert refused.value.wire_code == code


def test_the_digest_is_of_the_bytes_as_they_are(folders: list[Path]) -> None:
    assert digest(folders[0] / "prices.csv") == hashlib.sha256(b"a\n1\n").hexdigest()
