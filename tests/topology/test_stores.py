"""Addresses of the stores: by socket or URL, the password always in a file of its own."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from topology import services, stores
from topology.errors import CredentialError, UnknownNameError
from topology.home import Home
from topology.services import Topology

EMBEDDED = services.load({})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "a home, 50%")
    home.ensure()
    return home


def remote(tmp_path: Path, **changed: Any) -> Topology:
    """A topology with both engines elsewhere, its secrets in files."""
    (tmp_path / "pg").write_text("p:w\\\n")
    (tmp_path / "vk").write_text("vk-word")
    for name in ("pg", "vk"):
        (tmp_path / name).chmod(0o600)
    held = EMBEDDED.model_dump(by_alias=True)
    held["stores"]["postgres"] = {
        "kind": "url",
        "url": "postgresql://db.example:5433",
        "sslmode": "verify-full",
        "credentials": {"alphaswarm_app": "pg"},
    }
    held["stores"]["valkey"] = {"kind": "url", "url": "rediss://cache.example", "credential": "vk"}
    held["credentials"] = {n: {"from": f"file:{tmp_path / n}"} for n in ("pg", "vk")}
    return Topology.model_validate({**held, **changed})


def test_an_embedded_postgres_is_reached_by_socket_and_password_file(home: Home) -> None:
    dsn = stores.postgres_dsn(EMBEDDED, home, "alphaswarm_app")
    url = make_url(dsn)
    assert (url.username, url.database) == ("alphaswarm_app", "ledger")
    assert not url.password
    assert not url.host
    assert dict(url.query) == {
        "host": str(home.sockets),
        "port": "5432",
        "passfile": str(home.secrets / "alphaswarm_app.pgpass"),
    }


def test_the_catalog_has_the_drivers_scheme_and_its_own_database(home: Home) -> None:
    url = make_url(stores.catalog_uri(EMBEDDED, home, "alphaswarm_reader"))
    assert (url.drivername, url.database) == ("postgresql+psycopg", "lake")


@pytest.mark.parametrize(
    ("role", "database", "hint"),
    [
        pytest.param("alphaswarm_ap", "ledger", "'alphaswarm_app'", id="role"),
        pytest.param("alphaswarm_app", "ledgr", "'ledger'", id="database"),
    ],
)
def test_unknown_names_get_the_nearest(home: Home, role: str, database: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as refused:
        stores.postgres_dsn(EMBEDDED, home, role, database)
    assert hint in refused.value.hint


def test_an_embedded_valkey_is_a_socket_and_a_password_file(home: Home) -> None:
    address = stores.valkey_address(EMBEDDED, home)
    assert address.socket == str(home.sockets / "valkey.sock")
    assert address.url.startswith("unix:///")
    assert address.url.endswith("/a%20home%2C%2050%25/run/valkey.sock")
    with pytest.raises(CredentialError, match=r"valkey\.password") as refused:
        address.password()
    assert refused.value.hint == "Start the stores first: alphaswarm up."
    home.write_secret("valkey.password", "word")
    assert address.password() == "word"


def test_a_remote_postgres_keeps_its_host_and_its_password_in_a_file(
    home: Home, tmp_path: Path
) -> None:
    topology = remote(tmp_path)
    dsn = stores.postgres_dsn(topology, home, "alphaswarm_app")
    file = home.secrets / "alphaswarm_app.pgpass"
    assert dsn.startswith("postgresql://alphaswarm_app@db.example:5433/ledger?passfile=")
    assert dsn.endswith("&sslmode=verify-full")
    assert file.read_text() == "*:*:*:alphaswarm_app:p\\:w\\\\\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_rotated_secret_arrives_at_the_next_use(home: Home, tmp_path: Path) -> None:
    topology = remote(tmp_path)
    address = stores.valkey_address(topology, home)
    assert (address.url, address.socket) == ("rediss://cache.example", None)
    assert address.password() == "vk-word"
    (tmp_path / "vk").write_text("rotated")
    assert stores.valkey_address(topology, home).password() == "rotated"


def test_a_remote_store_without_credential_has_no_password(home: Home, tmp_path: Path) -> None:
    held = remote(tmp_path).model_dump(by_alias=True)["stores"]
    held["valkey"]["credential"] = None
    address = stores.valkey_address(remote(tmp_path, stores=held), home)
    assert address.password() is None


def test_a_secret_that_is_gone_names_only_its_reference(home: Home, tmp_path: Path) -> None:
    topology = remote(tmp_path)
    (tmp_path / "pg").unlink()
    with pytest.raises(CredentialError) as refused:
        stores.postgres_dsn(topology, home, "alphaswarm_app")
    assert refused.value.facts == {"reference": f"file:{tmp_path / 'pg'}"}


def test_the_warehouse_starts_at_the_home_unless_absolute(home: Home) -> None:
    assert stores.warehouse(EMBEDDED, home) == home.warehouse
    held = EMBEDDED.model_dump(by_alias=True)
    held["stores"]["warehouse"] = {"path": "/srv/lake"}
    assert stores.warehouse(Topology.model_validate(held), home) == Path("/srv/lake")
