"""Mapping files: what is said beside the data need not be said in every ingest."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import PathNotAllowedError, UnreadableFileError
from lakehouse.providers.mapping import beside

ZONE = "timezone: America/New_York\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "eod").mkdir(parents=True)
    (folder / "eod" / "bars.csv.gz").write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("bars.csv.gz.mapping.yaml", "eod/bars.csv.gz", id="of the file"),
        pytest.param("bars.mapping.yaml", "eod/bars.csv.gz", id="of the file, by its stem"),
        pytest.param("alphaswarm-mapping.yaml", "eod/bars.csv.gz", id="of the file's folder"),
        pytest.param("alphaswarm-mapping.yaml", "eod", id="of a folder"),
        pytest.param("alphaswarm-mapping.yaml", "eod/*.gz", id="of a glob's folder"),
    ],
)
def test_where_it_may_be(inbox: Path, name: str, source: str) -> None:
    assert beside(source, [inbox]) == {}
    (inbox / "eod" / name).write_text(f"{ZONE}columns: {{close: Last}}\nexchange: NASDAQ\n")
    assert beside(source, [inbox]) == {
        "timezone": "America/New_York",
        "columns": {"close": "Last"},
        "exchange": "NASDAQ",
    }


def test_the_nearest_one_counts_alone(inbox: Path) -> None:
    (inbox / "eod" / "alphaswarm-mapping.yaml").write_text("close: '17:00'\n")
    (inbox / "eod" / "bars.mapping.yaml").write_text(ZONE)
    assert beside("eod/bars.csv.gz", [inbox]) == {"timezone": "America/New_York"}


def test_words_stay_words(inbox: Path) -> None:
    """YAML would make 1,050 of 17:30, yes of Y and a date of a day."""
    text = "close: 17:30\ncolumns: {close: Y, volume: ''}\nredenominated: {X.Y1: 2020-01-01}\n"
    (inbox / "eod" / "bars.mapping.yaml").write_text(f"{text}fold: null\nvt_symbol: ~\n")
    assert beside("eod/bars.csv.gz", [inbox]) == {
        "close": "17:30",
        "columns": {"close": "Y", "volume": ""},
        "redenominated": {"X.Y1": "2020-01-01"},
        "fold": None,
        "vt_symbol": None,
    }


def test_one_that_says_nothing(inbox: Path) -> None:
    (inbox / "eod" / "bars.mapping.yaml").write_text("# later\n")
    assert beside("eod/bars.csv.gz", [inbox]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("timezome: UTC\n", "Did you mean 'timezone'", id="a typo"),
        pytest.param("- a\n- b\n", "holds no keys", id="a list"),
        pytest.param("a: [\n", "no YAML", id="broken"),
        pytest.param("a: !!python/object/apply:os.system [id]\n", "no YAML", id="code"),
        pytest.param("x" * 70_000, "larger than", id="large"),
        pytest.param("\xe9: 1\n".encode("latin-1"), "UTF-8", id="Latin-1"),
    ],
)
def test_what_is_none(inbox: Path, text: str | bytes, words: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (inbox / "eod" / "bars.mapping.yaml").write_bytes(data)
    with pytest.raises(UnreadableFileError) as caught:
        beside("eod/bars.csv.gz", [inbox])
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_it_is_not_read_from_outside(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(ZONE)
    (inbox / "eod" / "bars.mapping.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(PathNotAllowedError):
        beside("eod/bars.csv.gz", [inbox])
