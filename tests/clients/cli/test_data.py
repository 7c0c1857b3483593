"""``alphaswarm data``: the lake from the command line, against a running suite."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clients.cli import following, output
from tests.kit.client import Demonstrated

TABLE = "alphaswarm_silver_market.bars_1d"


def test_an_export_becomes_a_file_here_and_can_be_fetched_again(
    alphaswarm: Demonstrated, tmp_path: Path
) -> None:
    target = tmp_path / "ibm.parquet"
    words = ["--symbol", "IBM.NYSE", "--column", "timestamp", "--column", "close"]

    found = alphaswarm.json("data", "export", TABLE, *words, "--out", str(target))

    assert found["path"] == str(target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == found["sha256"]
    assert pq.read_table(target).num_rows == found["rows"] == 3_270
    taken = alphaswarm.run("data", "export", found["export_id"], "--out", str(target))
    assert (taken.returncode, "is there already" in taken.stderr) == (2, True)
    (tmp_path / "again.parquet.part").write_bytes(target.read_bytes()[:5_000])
    again = alphaswarm(
        "data", "export", found["export_id"], "--out", str(tmp_path / "again.parquet")
    )
    assert found["sha256"] in again
    assert (tmp_path / "again.parquet").read_bytes() == target.read_bytes()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["export", "alphaswarm_silver_market.bars"], "table_not_found", id="table"),
        pytest.param(["export", TABLE, "--column", "clos"], "unknown_name", id="column"),
        pytest.param(["export", TABLE, "--start", "soon"], "invalid_spec", id="no day"),
        pytest.param(["export", "0" * 26], "not_found", id="no such export"),
        pytest.param(
            ["features", "--start", "2005-01-03", "--end", "2005-12-30", "--symbol", "IBM.NYSE",
             "--expr", "x=Maen($close,5)"],
            "unknown_name", id="operator",
        ),
        pytest.param(["quality", "alphaswarm_silver_x.bars_1d"], "table_not_found", id="quality"),
        pytest.param(["coverage", "nothing"], "table_not_found", id="coverage"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_as_bad_usage(
    alphaswarm: Demonstrated, words: list[str], code: str
) -> None:
    assert alphaswarm.json("data", *words, code=2)["code"] == code


def test_quality_is_a_report_and_an_exit_code(alphaswarm: Demonstrated) -> None:
    done = alphaswarm.run("data", "quality", TABLE, "--symbol", "IBM.NYSE", "--examples", "2")

    assert done.stdout.startswith(f"{TABLE}: ")
    assert done.returncode == (0 if "0 error" in done.stdout else 1)


def test_coverage_lists_every_symbol(alphaswarm: Demonstrated) -> None:
    said = alphaswarm("data", "coverage").splitlines()

    assert said[0].split() == ["vt_symbol", "first", "last", "rows"]
    assert [line.split()[0] for line in said[1:3]] == ["AAPL.NASDAQ", "FB.NASDAQ"]


@pytest.mark.parametrize("words", [["coverage"], ["lineage", TABLE], ["export", TABLE]])
def test_a_place_that_cannot_be_written_is_named(
    alphaswarm: Demonstrated, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "nowhere" / "x", tmp_path / "file" / "x"):
        refused = alphaswarm.json("data", *words, "--out", str(place), code=2)
        assert (refused["code"], str(tmp_path) in refused["message"]) == ("invalid_arguments", True)


def test_pictures_are_written_where_they_are_wanted(
    alphaswarm: Demonstrated, tmp_path: Path
) -> None:
    backtest, drawn = alphaswarm.demo["run_id"], tmp_path / "drawn.svg"
    for words in (["coverage"], ["lineage", TABLE], ["lineage", backtest]):
        assert alphaswarm("data", *words, "--out", str(drawn)).strip() == str(drawn)
        assert drawn.read_text().startswith("<svg")
        drawn.unlink()

    said = alphaswarm("data", "lineage", backtest)
    assert f"run {backtest}" in said
    assert f"  from {TABLE} at snapshot" in said


def test_features_are_checked_without_being_computed(alphaswarm: Demonstrated) -> None:
    words = ["--start", "2005-01-03", "--end", "2005-12-30", "--symbol", "IBM.NYSE", "--dry-run"]

    answer = alphaswarm.json("data", "features", *words, "--expr", "ratio=Mean($close,5)/$close")

    assert answer["spec"]["expressions"] == {"ratio": "Mean($close,5)/$close"}
    assert answer["run_id"] is None


def test_the_lake_is_tidied_as_a_run(alphaswarm: Demonstrated) -> None:
    run = alphaswarm.json("data", "maintain", "--table", TABLE)

    assert (run["kind"], run["status"]) == ("data", "succeeded")


@pytest.mark.parametrize(("typed", "unwanted"), [("n\n", True), ("y\n", False), ("\n", False)])
def test_ctrl_c_asks_whether_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, typed: str, unwanted: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    assert following._asked() is unwanted
