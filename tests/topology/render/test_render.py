"""Deployments are pure text from the map: golden files, schemas, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from topology import services
from topology.errors import BadInputError, TopologyError, UnknownNameError
from topology.render import compose, kubernetes
from topology.render.base import stamped
from topology.render.clients import CLIENTS, settings
from topology.render.targets import TARGETS, drift, render
from topology.services import PACKAGED, Topology

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
UPDATE = "ALPHASWARM_UPDATE_GOLDEN"
"""Set it to write the golden files anew, and read the difference before you commit it."""


def production(tmp_path: Path, **changes: Any) -> Topology:
    """Return the packaged map with the overlay of production.yaml, and ``changes`` over that."""
    data = yaml.safe_load(PACKAGED.read_text())
    overlay = yaml.safe_load((HERE / "production.yaml").read_text())
    data["profiles"] = {"production": services.merge(overlay, changes)}
    file = tmp_path / "topology.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return services.load({}, path=file, profile="production")


def packaged() -> Topology:
    return services.load({}, path=PACKAGED)


def rendered(target: str, tmp_path: Path) -> dict[str, str]:
    if target == "kubernetes":
        return render(production(tmp_path), target, profile="production")
    return render(packaged(), target)


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"schema"}))
def test_every_target_gives_its_golden_files(target: str, tmp_path: Path) -> None:
    files = rendered(target, tmp_path)
    assert files == rendered(target, tmp_path)
    for name, text in files.items():
        golden = GOLDEN / name
        # The hash in the first line changes with every key that the map gains.
        body = text.partition("\n")[2] if stamped(text) else text
        body = "\n".join(line for line in body.splitlines() if "alphaswarm/generated" not in line)
        if os.environ.get(UPDATE):
            golden.write_text(body + "\n")
        assert body + "\n" == golden.read_text(), name


def test_the_first_line_names_the_map_that_a_file_comes_from(tmp_path: Path) -> None:
    topology = production(tmp_path)
    text = kubernetes.render(topology)[kubernetes.FILE]
    assert stamped(text) == topology.sha256
    assert stamped("name: alphaswarm\n") is None


# Kubernetes


def objects(topology: Topology) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(kubernetes.render(topology)[kubernetes.FILE]))


def test_every_object_is_valid_by_the_schemas_of_kubernetes(tmp_path: Path) -> None:
    found = objects(production(tmp_path))
    for one in found:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    found[-1]["spec"]["podSelektor"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found[-1], kubernetes_validate.latest_version(), strict=True)


def test_no_pod_runs_as_root_or_may_become_it(tmp_path: Path) -> None:
    pods = [o["spec"]["template"]["spec"] for o in objects(production(tmp_path)) if is_work(o)]
    assert len(pods) == 1 + 3 + 3  # the issuer, three servers, three queues
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in [*pod["containers"], *pod["initContainers"]]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_network_denies_all_and_opens_what_egress_lists(tmp_path: Path) -> None:
    policies = {
        o["metadata"]["name"]: o["spec"]
        for o in objects(production(tmp_path))
        if o["kind"] == "NetworkPolicy"
    }
    assert set(policies) == {"deny-all", "to-servers", "names", "for-stores", "for-ingest"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    blocks = [rule["to"][0]["ipBlock"]["cidr"] for rule in policies["for-stores"]["egress"]]
    assert blocks == ["10.1.2.3/32", "10.1.2.4/32"]
    reaching = policies["for-ingest"]["podSelector"]["matchExpressions"][0]["values"]
    assert reaching == ["workers-control", "workers-interactive", "workers-batch"]


def test_without_egress_no_pod_may_even_ask_for_a_name(tmp_path: Path) -> None:
    topology = production(tmp_path).model_copy(update={"egress": packaged().egress})
    names = {o["metadata"]["name"] for o in objects(topology) if o["kind"] == "NetworkPolicy"}
    assert names == {"deny-all", "to-servers"}


def test_secrets_are_named_and_never_written(tmp_path: Path) -> None:
    text = kubernetes.render(production(tmp_path))[kubernetes.FILE]
    assert not any(o["kind"] == "Secret" for o in yaml.safe_load_all(text))
    pod = next(o for o in objects(production(tmp_path)) if is_work(o))["spec"]["template"]["spec"]
    sources = {e["name"]: e["valueFrom"] for e in pod["containers"][0]["env"] if "valueFrom" in e}
    assert sources == {
        "PG_APP": {"secretKeyRef": {"name": "alphaswarm-pg-app", "key": "value"}},
        "VALKEY": {"secretKeyRef": {"name": "alphaswarm-valkey", "key": "value"}},
    }
    mounts = {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert "/run/secrets/pg-owner" in mounts


def test_probes_ask_by_the_public_name_which_alone_is_answered(tmp_path: Path) -> None:
    server = next(
        o for o in objects(production(tmp_path)) if o["metadata"]["name"] == "data" and is_work(o)
    )
    container = server["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        headers = container[probe]["httpGet"]["httpHeaders"]
        assert headers == [{"name": "Host", "value": "swarm.example.org"}]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_every_public_path_is_routed_to_its_server(tmp_path: Path) -> None:
    topology = production(tmp_path)
    ingress = next(o for o in objects(topology) if o["kind"] == "Ingress")
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    routed = {p["path"]: p["backend"]["service"]["name"] for p in paths}
    assert routed["/as"] == "issuer"
    for name, face in topology.faces.items():
        assert routed[face.path] == name
        assert routed[f"/.well-known/oauth-protected-resource{face.path}"] == name


def is_work(one: dict[str, Any]) -> bool:
    return bool(one["kind"] == "Deployment")


# Compose


def services_of(topology: Topology) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose.render(topology)[compose.FILE])["services"]
    return found


def test_on_one_machine_nothing_but_the_servers_has_a_network() -> None:
    found = services_of(packaged())
    assert {name: one.get("network_mode") for name, one in found.items()} == {
        "stores": "none",
        "migrate": "none",
        "servers": "host",  # and there they listen on loopback only, as the map says
        "workers": "none",
    }
    assert all("ports" not in one for one in found.values())
    assert all(one["read_only"] and one["cap_drop"] == ["ALL"] for one in found.values())


def test_workers_get_a_network_where_egress_lists_a_provider(tmp_path: Path) -> None:
    found = services_of(production(tmp_path))
    assert "stores" not in found
    assert found["workers"]["networks"] == ["outside"]
    assert found["servers"]["ports"] == ["8000:8000"]
    document = yaml.safe_load(compose.render(production(tmp_path))[compose.FILE])
    assert document["secrets"] == {"pg-owner": {"file": "./secrets/pg-owner"}}
    assert found["workers"]["environment"]["PG_APP"] == "${PG_APP:?}"


def test_the_compose_client_reads_it_where_there_is_one(tmp_path: Path) -> None:
    """Without a client on this machine the structure alone is looked at."""
    (tmp_path / compose.FILE).write_text(compose.render(packaged())[compose.FILE])
    (tmp_path / "topology.yaml").write_text(PACKAGED.read_text())
    client = compose_client()
    if client is not None:
        done = subprocess.run(
            [*client, "--file", compose.FILE, "config", "--quiet"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    document = yaml.safe_load((tmp_path / compose.FILE).read_text())
    assert set(document) == {"name", "services", "volumes"}
    for one in document["services"].values():
        assert set(one.get("depends_on", {})) <= set(document["services"])


def compose_client() -> list[str] | None:
    docker = shutil.which("docker")
    if docker is None:
        return None
    asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    return [docker, "compose"] if asked.returncode == 0 else None


# Clients


@pytest.mark.parametrize("client", CLIENTS)
def test_the_port_is_the_map_s_in_every_client(client: str) -> None:
    topology = services.load({"ALPHASWARM_PORT": "8123"}, path=PACKAGED)
    text = json.dumps(settings(topology, client))
    assert "8000" not in text
    assert client == "claude-desktop" or text.count(":8123/") >= len(topology.faces)


# What is refused


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        (
            {
                "stores": {
                    "postgres": {
                        "kind": "embedded",
                        "url": None,
                        "sslmode": None,
                        "credentials": None,
                    }
                }
            },
            "stores.postgres",
        ),
        ({"base_url": "https://localhost:8000"}, "base_url"),
        ({"listen": {"hosts": ["127.0.0.1"]}}, "listen.hosts"),
        ({"credentials": {"valkey": {"from": "keyring:a/b"}}}, "credentials.valkey"),
    ],
)
def test_a_map_that_cannot_run_in_a_cluster_is_refused(
    changes: dict[str, Any], path: str, tmp_path: Path
) -> None:
    with pytest.raises(TopologyError, match=path) as caught:
        kubernetes.render(production(tmp_path, **changes))
    assert caught.value.facts["errors"][0]["path"] == path


def test_an_unknown_target_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="compos"):
        render(packaged(), "compos")


def test_an_edited_file_is_found(tmp_path: Path) -> None:
    topology = packaged()
    with pytest.raises(BadInputError, match="holds no rendered file"):
        drift(topology, tmp_path)
    for name, text in render(topology, "compose").items():
        (tmp_path / name).write_text(text)
    assert drift(topology, tmp_path) == []
    file = tmp_path / compose.FILE
    file.write_text(file.read_text().replace("none", "host"))
    assert drift(topology, tmp_path) == [compose.FILE]
    (tmp_path / kubernetes.FILE).write_text("")
    assert drift(topology, tmp_path) == [compose.FILE, kubernetes.FILE]


def test_the_dockerfile_has_no_findings() -> None:
    root = Path(__file__).resolve().parents[3]
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert linter is not None, "hadolint comes with the extra dev"
    done = subprocess.run(
        [linter, "--no-color", str(root / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
