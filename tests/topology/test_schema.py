"""The JSON Schema is the model's, and it accepts the packaged map."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from topology import schema, services


def test_the_committed_schema_is_fresh() -> None:
    assert schema.main(["--check"]) == 0, "run python -m topology.schema"


def test_a_stale_schema_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "FILE", tmp_path / "topology.schema.json")
    assert schema.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0


def test_editors_accept_the_packaged_map_and_see_a_typo() -> None:
    rules = json.loads(schema.FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(rules)
    packaged = yaml.safe_load(services.PACKAGED.read_text())
    jsonschema.validate(packaged, rules)
    packaged["servers"]["data"]["audiance"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="audiance"):
        jsonschema.validate(packaged, rules)
