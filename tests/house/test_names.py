"""Our eight top-level names belong to us alone in this environment."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")


@pytest.mark.parametrize("room", HOUSE)
def test_no_other_distribution_ships_a_package_of_our_name(room: str) -> None:
    owners = {
        distribution.metadata["Name"]
        for distribution in metadata.distributions()
        for file in distribution.files or []
        if file.parts and file.parts[0] == room
    }
    assert owners <= {"alphaswarm"}


@pytest.mark.parametrize("room", HOUSE)
def test_a_room_is_imported_from_this_checkout(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)
