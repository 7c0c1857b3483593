"""Section ``models``: where prompts may go, and every way to say it wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from topology.errors import TopologyError
from topology.models import example
from topology.services import PACKAGED, Topology, load

LOCAL = {"provider": "openai_compatible", "base_url": "http://127.0.0.1:11434/v1", "model": "m"}
ALLOWED = {"host": "127.0.0.1", "port": 11434, "for": ["models"]}
CLOUD = {
    **LOCAL,
    "base_url": "https://models.example.com/v1",
    "egress": "cloud",
    "price": {"prompt": "3", "completion": "15"},
}


def written(folder: Path, sections: dict[str, Any]) -> Topology:
    """Return the packaged topology with ``sections`` laid over it."""
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(PACKAGED.read_text()), **sections}))
    return load({}, path=file)


def test_the_lines_that_a_user_is_shown_are_right(tmp_path: Path) -> None:
    assert written(tmp_path, yaml.safe_load(example())).models["local"].local


def test_three_lines_name_a_model_of_this_machine(
    tmp_path: Path,
) -> None:
    topology = written(tmp_path, {"models": {"local": LOCAL}, "egress": {"allow": [ALLOWED]}})
    model = topology.models["local"]
    assert (model.origin, model.place) == ("http://127.0.0.1:11434", ("127.0.0.1", 11434))
    assert (model.most, model.local) == ("proprietary", True)


@pytest.mark.parametrize(
    ("model", "egress", "says"),
    [
        (LOCAL, {}, "egress.allow must hold - {host: 127.0.0.1, port: 11434, for: [models]}"),
        (
            LOCAL,
            {"allow": [{**ALLOWED, "for": ["ingest"]}]},
            "egress.allow must hold",
        ),
        ({**LOCAL, "egress": "lan"}, {"allow": [ALLOWED]}, "this host is loopback"),
        (
            {**LOCAL, "base_url": "http://10.0.0.9:8000/v1"},
            {"allow": [{"host": "10.0.0.9", "port": 8000, "for": ["models"]}]},
            "this host is lan",
        ),
        (
            CLOUD,
            {"allow": [{"host": "models.example.com", "for": ["models"]}]},
            "unless egress.cloud is true",
        ),
        (
            {**CLOUD, "price": None},
            {"cloud": True, "allow": [{"host": "models.example.com", "for": ["models"]}]},
            "needs a price",
        ),
        (
            {**CLOUD, "base_url": "http://models.example.com:80x/v1"},
            {},
            "not a URL",
        ),
        ({**LOCAL, "credential": "key"}, {"allow": [ALLOWED]}, "no such credential"),
        ({**LOCAL, "base_url": "http://u:p@127.0.0.1:11434/v1"}, {}, "literal secret"),
        ({**LOCAL, "provider": "openai"}, {"allow": [ALLOWED]}, "models.local.provider"),
        ({**LOCAL, "base_ulr": "x"}, {"allow": [ALLOWED]}, "base_url"),
    ],
)
def test_a_model_that_could_leak_is_refused_with_its_line(
    tmp_path: Path, model: dict[str, Any], egress: dict[str, Any], says: str
) -> None:
    with pytest.raises(TopologyError) as found:
        written(tmp_path, {"models": {"local": model}, "egress": egress})
    assert says in str(found.value.message) + str(found.value.facts)
