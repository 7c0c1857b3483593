"""One suite for every provider: whatever it runs on, a workload starts once and ends whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from runtimes.specs.workload import WorkloadSpec
from runtimes.workload import PROVIDERS
from runtimes.workload.base import MARK, Job, Provider
from tests.kit import fake_engine
from tests.kit.workloads import LONG, PATIENCE_S
from topology.clock import SystemClock
from topology.errors import EgressDeniedError, FaultError, MissingError
from topology.home import Home
from topology.ids import new_id
from topology.processes import carrying, until
from topology.services import Topology, load

DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
print("here", flush=True)
time.sleep(600)
"""


def placed(section: dict[str, Any], allow: tuple[dict[str, Any], ...] = ()) -> Topology:
    """Return the packaged map with other places for workloads."""
    topology = load({})
    workload = type(topology.workload).model_validate({**topology.workload.model_dump(), **section})
    egress = type(topology.egress).model_validate(
        {**topology.egress.model_dump(by_alias=True), "allow": allow}
    )
    return topology.model_copy(update={"workload": workload, "egress": egress})


@pytest.fixture(params=PROVIDERS.names())
def provider(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Provider]:
    """Yield each provider over its place; `tmp_path` would be too long for some sockets."""
    home = Home(tmp_path_factory.mktemp("w"))
    home.ensure()
    if request.param == "docker":
        with fake_engine.engine() as (socket, _):
            yield PROVIDERS.load("docker")(placed({"docker": socket}), home)
    elif request.param == "kubernetes":
        with fake_engine.cluster() as (url, port, _):
            section = {"kubernetes": {"url": url}}
            allow = {"host": "localhost", "port": port, "for": ("workloads",)}
            yield PROVIDERS.load("kubernetes")(placed(section, (allow,)), home)
    else:
        yield PROVIDERS.load("process")(placed({}), home)


@pytest.fixture
def jobs(provider: Provider) -> Iterator[Any]:
    """Yield a maker of jobs; what they started ends with the test."""
    made: list[str] = []

    def job(code: str = LONG, **more: Any) -> Job:
        body: dict[str, Any] = {"name": "suite", "argv": [sys.executable, "-c", code], **more}
        body |= {"restart": {"policy": "never"}, "provider": provider.name}
        body["resources"] = {"memory_mb": 4096}
        if provider.name != "process":
            body["image"] = fake_engine.IMAGE
        made.append(new_id(SystemClock().now()))
        return Job(made[-1], WorkloadSpec.model_validate(body), {})

    yield job
    for run_id in made:
        provider.kill(run_id)


def running(provider: Provider, job: Job, said: str = "here") -> None:
    provider.apply(job)
    assert until(lambda: provider.logs(job.run_id, lines=5) == [said], PATIENCE_S, poll_s=0.05)
    assert until(lambda: provider.status(job.run_id).phase == "running", PATIENCE_S, poll_s=0.05)


def test_it_starts_once_whoever_asks_again(provider: Provider, jobs: Any) -> None:
    job = jobs()
    assert provider.plan(job.spec)
    assert provider.status(job.run_id).phase == "absent"
    assert provider.list() == []

    running(provider, job)
    provider.apply(job)

    assert provider.list() == [job.run_id]
    assert len(list(carrying(MARK, job.run_id))) == 1
    assert provider.logs(job.run_id, lines=5) == ["here"]


def test_who_ignores_sigterm_and_hides_a_child_is_ended_whole_and_its_log_stays(
    provider: Provider, jobs: Any
) -> None:
    """W1 of the design."""
    job = jobs(DEAF)
    running(provider, job)
    assert until(lambda: len(list(carrying(MARK, job.run_id))) == 2, PATIENCE_S)

    if not provider.stop(job.run_id, grace_s=1):
        provider.kill(job.run_id)

    assert until(lambda: not list(carrying(MARK, job.run_id)), PATIENCE_S)
    assert not provider.status(job.run_id).alive
    assert provider.logs(job.run_id, lines=5) == ["here"]
    assert provider.list() == []


def test_who_listens_is_stopped_in_time(provider: Provider, jobs: Any) -> None:
    job = jobs()
    running(provider, job)
    assert provider.stop(job.run_id, grace_s=PATIENCE_S)
    assert provider.stop(job.run_id, grace_s=0), "a second stop finds nothing"


@pytest.mark.parametrize("code", [0, 3])
def test_how_it_ended_is_told(provider: Provider, jobs: Any, code: int) -> None:
    job = jobs(f"print('here', flush=True); raise SystemExit({code})")
    provider.apply(job)
    assert until(lambda: provider.status(job.run_id).phase == "exited", PATIENCE_S, poll_s=0.05)
    assert provider.status(job.run_id).exit_code == code
    assert provider.logs(job.run_id, lines=5) == ["here"]

    provider.forget(job.run_id)
    assert provider.status(job.run_id).phase == "absent"
    assert provider.logs(job.run_id, lines=5) == []


def test_an_image_that_the_engine_does_not_have_is_not_fetched(tmp_path: Any) -> None:
    with fake_engine.engine() as (socket, place):
        provider = PROVIDERS.load("docker")(placed({"docker": socket}), Home(tmp_path))
        spec = {"name": "other", "provider": "docker", "image": "other@sha256:" + "1" * 64}
        with pytest.raises(MissingError, match="has no image"):
            provider.plan(WorkloadSpec.model_validate(spec))
        assert {method for method, _, _ in place.asked} == {"GET"}


def test_an_engine_that_is_away_is_said_so(tmp_path: Any) -> None:
    provider = PROVIDERS.load("docker")(placed({"docker": str(tmp_path / "no")}), Home(tmp_path))
    with pytest.raises(FaultError, match="Docker Engine") as away:
        provider.status("0" * 26)
    assert away.value.wire_code == "unreachable"


def test_what_the_engine_is_asked_for_is_what_was_approved(tmp_path: Any) -> None:
    body = {
        "name": "whole",
        "provider": "docker",
        "image": fake_engine.IMAGE,
        "argv": ["sleep", "600"],
        "resources": {"memory_mb": 64, "cpus": 0.5, "files": 32},
        "restart": {"policy": "on_failure", "most": 2},
        "ports": [9000],
        "health": {"kind": "argv", "argv": ["true"], "every_s": 1},
    }
    run_id = "0" * 26
    with fake_engine.engine() as (socket, place):
        provider = PROVIDERS.load("docker")(placed({"docker": socket}), Home(tmp_path))
        provider.apply(Job(run_id, WorkloadSpec.model_validate(body), {}))
        made = place.containers[f"alphaswarm-{run_id}"].made
        assert until(lambda: provider.status(run_id).well is True, PATIENCE_S)
    host = made["HostConfig"]
    assert (made["Image"], made["Cmd"], made["Labels"]) == (
        fake_engine.IMAGE,
        ["sleep", "600"],
        {"alphaswarm.run": run_id},
    )
    assert (host["Memory"], host["NanoCpus"], host["Init"]) == (64 * 1024**2, 500_000_000, True)
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert host["PortBindings"] == {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}]}
    assert made["Healthcheck"]["Test"] == ["CMD", "true"]
    assert {one["Name"]: one["Hard"] for one in host["Ulimits"]} == {"core": 0, "nofile": 32}


def test_what_the_cluster_is_asked_for_holds_no_secret_and_no_more_rights(tmp_path: Any) -> None:
    body = {
        "name": "whole",
        "provider": "kubernetes",
        "image": fake_engine.IMAGE,
        "argv": ["sleep", "600"],
        "resources": {"memory_mb": 64, "cpus": 0.5},
        "restart": {"policy": "always"},
        "ports": [9000],
        "health": {"kind": "tcp", "port": 9000, "every_s": 1},
        "credentials": {"KEY": "vendor"},
    }
    home, run_id = Home(tmp_path), "0" * 26
    home.ensure()
    with fake_engine.cluster() as (url, port, place):
        allow = {"host": "localhost", "port": port, "for": ("workloads",)}
        there = placed({"kubernetes": {"url": url}}, (allow,))
        secrets = {"KEY": SecretStr("vendors-own-key")}
        job = Job(run_id, WorkloadSpec.model_validate(body), secrets)
        PROVIDERS.load("kubernetes")(there, home).apply(job)
        made = place.containers[f"alphaswarm-{run_id}"].made
        assert place.secrets[f"alphaswarm-{run_id}"]["KEY"] == "vendors-own-key"
        with pytest.raises(EgressDeniedError):
            PROVIDERS.load("kubernetes")(placed({"kubernetes": {"url": url}}), home).list()
    (container,) = made["spec"]["containers"]
    assert "vendors-own-key" not in str(made)
    assert made["metadata"]["labels"] == {"alphaswarm.run": run_id}
    assert (made["spec"]["restartPolicy"], made["spec"]["automountServiceAccountToken"]) == (
        "Always",
        False,
    )
    assert container["resources"]["limits"] == {"memory": "64Mi", "cpu": "0.5"}
    assert container["livenessProbe"]["tcpSocket"] == {"port": 9000}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
