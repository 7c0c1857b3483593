"""What the engines survive: kill -9 of each and of the supervisor, stale files, lost secrets."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from topology import processes, services, stores
from topology.engines import postgres, supervisor, valkey
from topology.errors import EngineError, EngineVersionError
from topology.home import Home

TOPOLOGY = services.load({})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("faults") / "home")
    try:
        supervisor.up(home, TOPOLOGY)
        yield home
    finally:
        supervisor.down(home)


@pytest.fixture(autouse=True)
def running(place: Home) -> None:
    supervisor.up(place, TOPOLOGY)


def connect(home: Home) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(stores.postgres_dsn(TOPOLOGY, home, "alphaswarm"), autocommit=True)


def client(home: Home) -> redis.Redis:
    address = stores.valkey_address(TOPOLOGY, home)
    return redis.Redis(unix_socket_path=address.socket, password=address.password())


def kill(process: processes.Process | None) -> None:
    assert process
    os.kill(process.pid, signal.SIGKILL)


def test_a_killed_postmaster_loses_no_acknowledged_commit(place: Home) -> None:
    acknowledged: list[int] = []

    def insert(first: int) -> None:
        try:
            with connect(place) as connection:
                for number in range(first, first + 1_000_000):
                    connection.execute("INSERT INTO kept VALUES (%s)", [number])
                    acknowledged.append(number)
        except psycopg.Error:
            return

    with connect(place) as connection:
        connection.execute("CREATE TABLE kept (number int PRIMARY KEY)")
    writers = [threading.Thread(target=insert, args=(i * 1_000_000,)) for i in range(4)]
    for writer in writers:
        writer.start()
    assert processes.until(lambda: len(acknowledged) > 200, 10)
    kill(postgres.running(place))
    begun = time.monotonic()
    assert supervisor.up(place, TOPOLOGY).postgres.state == "started"
    assert time.monotonic() - begun < 10
    for writer in writers:
        writer.join(5)
    with connect(place) as connection:
        kept = {row[0] for row in connection.execute("SELECT number FROM kept")}
    assert set(acknowledged) <= kept


def test_a_killed_valkey_loses_no_acknowledged_push(place: Home) -> None:
    acknowledged = 0
    pusher = client(place)
    for number in range(2_000):
        pusher.rpush("queue", number)
        acknowledged += 1
    kill(valkey.running(place))
    assert supervisor.up(place, TOPOLOGY).valkey.state == "started"
    assert client(place).llen("queue") == acknowledged


def test_both_killed_at_once_come_back(place: Home) -> None:
    kill(valkey.running(place))
    kill(postgres.running(place))
    assert supervisor.up(place, TOPOLOGY).message == "postgres started; valkey started."


def test_down_ends_the_children_that_a_killed_postmaster_left(place: Home) -> None:
    with connect(place) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row
        backend = processes.Process.of(int(str(row[0])))
        assert backend
        os.kill(backend.pid, signal.SIGSTOP)
        kill(postgres.running(place))
        time.sleep(0.1)
        assert backend.alive
        assert supervisor.down(place).postgres.state == "stopped"
        assert not backend.alive


@pytest.mark.parametrize("whose", ["an unrelated process", "nobody", "no number"])
def test_a_stale_pid_file_is_seen_through(place: Home, whose: str) -> None:
    supervisor.down(place)
    texts = {"an unrelated process": str(os.getpid()), "nobody": "999999", "no number": "x"}
    data = place.pg.resolve()
    (place.pg / "postmaster.pid").write_text(
        f"{texts[whose]}\n{data}\n1700000000\n5432\n{place.sockets}\n\n  12345  6\nready\n"
    )
    (place.sockets / ".s.PGSQL.5432.lock").write_text(f"{texts[whose]}\n{data}\n")
    (place.run / "valkey.pid").write_text(texts[whose])
    assert supervisor.status(place, TOPOLOGY).message == (
        "postgres already stopped; valkey already stopped."
    )
    assert supervisor.up(place, TOPOLOGY).message == "postgres started; valkey started."


def test_a_supervisor_killed_at_any_moment_leaves_a_home_that_comes_up(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    environ = {**os.environ, "ALPHASWARM_HOME": str(home.root)}
    chance = random.Random(3)
    argv = [sys.executable, "-m", "topology.engines", "up"]
    try:
        for latest in (0.4, 0.6, 0.8, 1.0, 1.2):
            starting = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.25, latest))
            starting.kill()
            starting.wait()
        assert supervisor.up(home, TOPOLOGY).postgres.ready
        for role in ("alphaswarm_app", "alphaswarm_owner"):
            with psycopg.connect(stores.postgres_dsn(TOPOLOGY, home, role, "lake")) as connection:
                connection.execute("SELECT 1")
        assert client(home).ping()
        assert not list(home.root.glob("pg.*")), "no half-made cluster, no password file"
    finally:
        supervisor.down(home)


def test_two_servers_never_share_an_append_only_file(place: Home) -> None:
    (place.run / "valkey.pid").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(valkey, "START_S", 0.3)
        with pytest.raises(EngineError, match="held by an earlier process"):
            supervisor.up(place, TOPOLOGY)
    pid = client(place).info("server")["process_id"]
    (place.run / "valkey.pid").write_text(f"{pid}\n")
    assert not supervisor.up(place, TOPOLOGY).changed


def test_a_server_that_runs_without_its_roles_gets_them(place: Home) -> None:
    (place.pg / "alphaswarm.done").unlink()
    stores.pgpass_file(place, "alphaswarm_app").unlink()

    assert supervisor.up(place, TOPOLOGY).postgres.state == "already running"

    with psycopg.connect(stores.postgres_dsn(TOPOLOGY, place, "alphaswarm_app")) as connection:
        connection.execute("SELECT 1")


def test_a_lost_password_of_a_role_is_made_anew(place: Home) -> None:
    file = stores.pgpass_file(place, "alphaswarm_reader")
    old = file.read_text()
    file.unlink()
    supervisor.down(place)
    supervisor.up(place, TOPOLOGY)
    assert file.read_text() != old
    with psycopg.connect(stores.postgres_dsn(TOPOLOGY, place, "alphaswarm_reader")) as connection:
        connection.execute("SELECT 1")


def test_without_the_superusers_password_roles_cannot_be_mended(place: Home) -> None:
    files = [stores.pgpass_file(place, role) for role in ("alphaswarm", "alphaswarm_app")]
    kept = [file.read_text() for file in files]
    supervisor.down(place)
    for file in files:
        file.unlink()
    with pytest.raises(EngineError, match="not the password of its superuser") as refused:
        supervisor.up(place, TOPOLOGY)
    assert "backup" in refused.value.hint
    supervisor.down(place)
    for file, text in zip(files, kept, strict=True):
        place.write_secret(file.name, text)
    assert supervisor.up(place, TOPOLOGY).changed


def test_data_of_another_major_version_is_refused_and_untouched(place: Home) -> None:
    supervisor.down(place)
    version = place.pg / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EngineVersionError, match="belongs to PostgreSQL 17") as refused:
        supervisor.up(place, TOPOLOGY)
    assert refused.value.body()["code"] == "engine_version"
    assert "pg_upgrade" in refused.value.hint
    assert version.read_text() == "17\n"
    version.write_text("18\n")


def test_a_damaged_queue_file_says_that_only_hints_are_lost(place: Home) -> None:
    supervisor.down(place)
    whole = next((place.valkey / "appendonlydir").glob("*.incr.aof"))
    kept = whole.read_bytes()
    whole.write_bytes(b"*3\r\n$3\r\nSET\r\n" + b"nonsense\r\n" * 50)
    with pytest.raises(EngineError, match="does not start") as refused:
        supervisor.up(place, TOPOLOGY)
    assert "only hints" in refused.value.hint
    whole.write_bytes(kept)
