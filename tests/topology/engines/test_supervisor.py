"""Two real engines on a home: up twice, down to nothing, entered by socket and password only."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from topology import services, stores
from topology.engines import supervisor
from topology.home import Home
from topology.processes import until
from topology.services import Topology

TOPOLOGY = services.load({})
LOGINS = ["alphaswarm_owner", "alphaswarm_app", "alphaswarm_writer", "alphaswarm_reader"]


def dsn(home: Home, role: str, database: str = "ledger") -> str:
    return stores.postgres_dsn(TOPOLOGY, home, role, database)


def one(home: Home, sql: str, *, role: str = "alphaswarm", database: str = "ledger") -> object:
    with psycopg.connect(dsn(home, role, database)) as connection:
        cursor = connection.execute(sql.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def valkey(home: Home) -> redis.Redis:
    address = stores.valkey_address(TOPOLOGY, home)
    return redis.Redis(unix_socket_path=address.socket, password=address.password())


def processes_of(home: Home) -> list[str]:
    """Return the command line of every process that names the home or works in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            inside = (entry / "cwd").readlink().is_relative_to(home.root)
        except OSError:
            continue
        if inside or (str(home.root) in command and entry.name != str(os.getpid())):
            found.append(command)
    return found


def command(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "topology.engines", *arguments]
    environ = {**os.environ, "ALPHASWARM_HOME": str(home.root)}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("engines") / "home")
    try:
        assert supervisor.up(home, TOPOLOGY).message == "postgres started; valkey started."
        yield home
    finally:
        supervisor.down(home)


# --- up, status ---------------------------------------------------------------------------------


def test_a_second_up_says_so_and_changes_nothing(place: Home) -> None:
    before = supervisor.status(place, TOPOLOGY)
    again = supervisor.up(place, TOPOLOGY)
    assert again.message == "postgres already running; valkey already running."
    assert not again.changed
    assert (again.postgres.pid, again.valkey.pid) == (before.postgres.pid, before.valkey.pid)


def test_status_looks_without_touching(place: Home) -> None:
    status = supervisor.status(place, TOPOLOGY)
    assert (status.postgres.state, status.postgres.ready) == ("running", True)
    assert (status.valkey.state, status.valkey.ready) == ("running", True)
    assert json.loads(command(place, "status").stdout) == status.body()


def test_four_ups_at_once_start_one_of_each(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    try:
        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda _: command(home, "up"), range(4)))
        answers = [json.loads(one.stdout) for one in done]
        states = sorted(answer["postgres"]["state"] for answer in answers)
        assert states == ["already running"] * 3 + ["started"]
        assert len({answer["valkey"]["pid"] for answer in answers}) == 1
    finally:
        supervisor.down(home)
    assert processes_of(home) == []


def test_two_homes_run_side_by_side(place: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    try:
        supervisor.up(other, TOPOLOGY)
        one(other, "CREATE TABLE mine AS SELECT 1")
        assert one(place, "SELECT to_regclass('mine') IS NULL")
        valkey(other).set("whose", "other")
        assert valkey(place).get("whose") is None
        supervisor.down(other)
        assert supervisor.status(place, TOPOLOGY).postgres.ready
    finally:
        supervisor.down(other)


def test_a_long_home_with_odd_characters_works(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long, " + "x" * 150) / 'a "b" é')
    try:
        supervisor.up(home, TOPOLOGY)
        assert home.sockets != home.run
        assert one(home, "SELECT 1", role="alphaswarm_app") == 1
        assert valkey(home).ping()
        assert not supervisor.up(home, TOPOLOGY).changed
    finally:
        supervisor.down(home)
        home.sockets.rmdir()
    assert processes_of(home) == []


# --- down ---------------------------------------------------------------------------------------


def test_down_leaves_no_process_and_twice_is_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    supervisor.up(home, TOPOLOGY)
    assert len(processes_of(home)) > 2
    with psycopg.connect(dsn(home, "alphaswarm")):
        down = supervisor.down(home)
    assert down.message == "postgres stopped; valkey stopped."
    assert processes_of(home) == []
    assert supervisor.down(home).message == "postgres already stopped; valkey already stopped."
    assert supervisor.status(home, TOPOLOGY).postgres.state == "already stopped"


def test_down_of_a_home_that_never_was_makes_none(tmp_path: Path) -> None:
    home = Home(tmp_path / "never")
    assert not supervisor.down(home).changed
    assert not home.root.exists()


def test_remote_stores_are_left_alone(tmp_path: Path) -> None:
    stores_ = TOPOLOGY.stores.model_dump()
    stores_["postgres"] = {"kind": "url", "url": "postgresql://localhost:1"}
    stores_["valkey"] = {"kind": "url", "url": "redis://localhost:1"}
    remote = Topology.model_validate({**TOPOLOGY.model_dump(), "stores": stores_})
    status = supervisor.up(Home(tmp_path / "home"), remote)
    assert status.message == "postgres remote; valkey remote."


# --- who gets in --------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["ledger", "lake"])
@pytest.mark.parametrize("role", ["alphaswarm", *LOGINS])
def test_every_role_enters_both_databases_by_its_password_file(
    place: Home, role: str, database: str
) -> None:
    assert one(
        place, "SELECT current_user || ' ' || current_database()", role=role, database=database
    ) == (f"{role} {database}")


def test_only_the_first_role_is_a_superuser_and_the_owner_owns(place: Home) -> None:
    assert (
        one(place, "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolsuper") == "alphaswarm"
    )
    owners = (
        "SELECT string_agg(DISTINCT pg_get_userbyid(datdba), ' ') FROM pg_database "
        "WHERE datname IN ('ledger', 'lake')"
    )
    assert one(place, owners) == "alphaswarm_owner"


@pytest.mark.parametrize("role", ["alphaswarm_app", "alphaswarm_reader"])
def test_a_role_without_rights_creates_nothing(place: Home, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        one(place, "CREATE TABLE public.mine (i int)", role=role)


@pytest.mark.parametrize("password", ["", "password=wrong"])
def test_without_the_password_nobody_enters(place: Home, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            f"host={place.sockets} user=alphaswarm dbname=ledger passfile=/dev/null {password}"
        )


def test_passwords_are_scram_and_no_network_listens(place: Home) -> None:
    assert one(place, "SHOW listen_addresses") == ""
    assert one(
        place,
        "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolcanlogin",
    )
    assert (
        one(place, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'")
        == 0
    )


def test_postgresql_is_18_with_checksums_utc_and_c_locale(place: Home) -> None:
    assert str(one(place, "SHOW server_version")).startswith("18.")
    assert one(place, "SHOW data_checksums") == "on"
    assert one(place, "SHOW timezone") == "UTC"
    assert one(place, "SELECT datlocale FROM pg_database WHERE datname = 'ledger'") == "C.UTF-8"


def test_valkey_asks_for_the_password_and_keeps_an_append_only_file(place: Home) -> None:
    socket = stores.valkey_address(TOPOLOGY, place).socket
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=socket, retry=Retry(NoBackoff(), 0)).ping()
    wanted = {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "unixsocketperm": "700",
    }
    held = {name: valkey(place).config_get(name)[name] for name in wanted}
    assert held == wanted
    assert valkey(place).info("server")["valkey_version"].startswith("9.")


def test_secrets_are_private_and_appear_nowhere_else(place: Home) -> None:
    words = set()
    for file in place.secrets.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        words.add(file.read_text().strip().rpartition(":")[2])
    assert len(words) == 6
    shown = " ".join(processes_of(place))
    logged = "".join(log.read_text() for log in place.logs.iterdir())
    held = "".join(
        p.read_text() for p in [place.pg / "postgresql.auto.conf", place.pg / "postmaster.opts"]
    )
    assert not [word for word in words if word in shown + logged + held]
    assert stat.S_IMODE((place.sockets / "valkey.sock").stat().st_mode) == 0o700
    assert stat.S_IMODE((place.sockets / ".s.PGSQL.5432").stat().st_mode) == 0o700


def test_variables_of_postgresql_in_the_environment_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGDATA": "/x", "PGPORT": "1", "PGHOST": "/x", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    home = Home(tmp_path / "home")
    try:
        supervisor.up(home, TOPOLOGY)
        assert one(home, "SELECT 1", role="alphaswarm_app") == 1
    finally:
        supervisor.down(home)


def test_in_the_foreground_the_engines_live_as_long_as_the_command(tmp_path: Path) -> None:
    """What a container runs: `run` keeps them up, `check` says so, SIGTERM stops them."""
    home = tmp_path / "home"
    environ = {**os.environ, "ALPHASWARM_HOME": str(home)}
    command = [sys.executable, "-m", "topology.engines"]

    def check() -> int:
        done = subprocess.run([*command, "check"], env=environ, capture_output=True, check=False)
        return done.returncode

    running = subprocess.Popen([*command, "run"], env=environ, stdout=subprocess.PIPE)
    try:
        assert until(lambda: check() == 0, 60.0, poll_s=0.2)
    finally:
        running.terminate()
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert json.loads(said.splitlines()[0])["postgres"]["ready"] is True
    assert check() == 5
