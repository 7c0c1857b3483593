"""A server that speaks the documented part of two APIs, its containers being real processes.

`engine` is a Docker Engine (API 1.44) on a Unix socket, `cluster` the API server of Kubernetes
(core/v1) on loopback. Not the real thing: what passes here is contract-tested, no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

IMAGE = "registry.example/tool@sha256:" + "5" * 64


@dataclass
class Container:
    """One container: what it was made of, and the process that it is."""

    name: str
    argv: list[str]
    environ: dict[str, str]
    made: dict[str, Any]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    doomed_at: float = float("inf")

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv,
                env={"PATH": os.defpath, **self.environ},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def state(self) -> str:
        if self.process is None:
            return "created"
        if time.monotonic() > self.doomed_at:
            self.signal(signal.SIGKILL)
            self.process.wait()
        return "running" if self.process.poll() is None else "exited"

    @property
    def code(self) -> int:
        found = self.process.returncode if self.process else 0
        return found if found is None or found >= 0 else 128 - found

    def signal(self, number: int) -> None:
        """Signal the first process; SIGKILL ends all of the container, as its namespace would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                for pid in [self.process.pid, *_under(self.process.pid)]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            else:
                os.kill(self.process.pid, number)


def _under(pid: int) -> list[int]:
    """Return everything that carries the environment of a process."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        mark = next(entry for entry in entries if entry.startswith(b"ALPHASWARM_RUN="))
    except (OSError, StopIteration):
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


@dataclass
class Place:
    """What both servers remember."""

    folder: Path
    containers: dict[str, Container] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)

    def put(self, name: str, argv: list[str], environ: dict[str, str], made: Any) -> Container:
        one = Container(name, argv, environ, made, self.folder / f"{name}.log")
        self.containers[name] = one
        return one


class Handler(BaseHTTPRequestHandler):
    """Finds the answer of a request in a table of patterns."""

    protocol_version = "HTTP/1.1"
    routes: ClassVar[list[tuple[str, str, str]]] = []
    raw: ClassVar[str] = "application/octet-stream"
    """The content type of what is not JSON."""
    place: Place

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        size = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.place.asked.append((self.command, parts.path, body))
        for method, pattern, name in self.routes:
            match = re.fullmatch(pattern, unquote(parts.path))
            if method == self.command and match:
                self.answer(*getattr(self, name)(*match.groups(), body=body, asked=asked))
                return
        self.answer(404, {"message": "page not found", "kind": "Status", "code": 404})

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  as the base wants them

    def answer(self, status: int, body: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        kind = self.raw if isinstance(body, bytes) else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(0 if status == 204 else len(raw)))
        self.end_headers()
        if status != 204:
            self.wfile.write(raw)


class Engine(Handler):
    """Docker Engine API 1.44: images, containers, logs."""

    routes: ClassVar = [
        ("GET", r"(?:/v[0-9.]+)?/version", "version"),
        ("GET", r"/v[0-9.]+/images/(.+)/json", "image"),
        ("POST", r"/v[0-9.]+/containers/create", "create"),
        ("GET", r"/v[0-9.]+/containers/json", "listed"),
        ("GET", r"/v[0-9.]+/containers/([^/]+)/json", "inspect"),
        ("POST", r"/v[0-9.]+/containers/([^/]+)/start", "start"),
        ("POST", r"/v[0-9.]+/containers/([^/]+)/kill", "kill"),
        ("GET", r"/v[0-9.]+/containers/([^/]+)/logs", "logs"),
        ("DELETE", r"/v[0-9.]+/containers/([^/]+)", "remove"),
    ]

    def version(self, **_: Any) -> tuple[int, Any]:
        return 200, {"Version": "25.0.0", "ApiVersion": "1.44", "MinAPIVersion": "1.24"}

    def image(self, name: str, **_: Any) -> tuple[int, Any]:
        if name != IMAGE:
            return 404, {"message": f"No such image: {name}"}
        return 200, {"Id": "sha256:" + "6" * 64, "RepoDigests": [IMAGE]}

    def create(self, *, body: dict[str, Any], asked: dict[str, str]) -> tuple[int, Any]:
        name = asked["name"]
        if name in self.place.containers:
            return 409, {"message": f"Conflict. The container name {name!r} is already in use"}
        environ = dict(entry.split("=", 1) for entry in body.get("Env") or [])
        self.place.put(name, body["Cmd"], environ, body)
        return 201, {"Id": "7" * 64, "Warnings": []}

    def listed(self, *, asked: dict[str, str], **_: Any) -> tuple[int, Any]:
        (label,) = json.loads(asked["filters"])["label"]
        found = [one for one in self.place.containers.values() if label in one.made["Labels"]]
        return 200, [{"Labels": one.made["Labels"]} for one in found if one.state == "running"]

    def inspect(self, name: str, **_: Any) -> tuple[int, Any]:
        one = self.place.containers.get(name)
        if one is None:
            return 404, {"message": f"No such container: {name}"}
        state = {"Status": one.state, "ExitCode": one.code if one.state == "exited" else 0}
        if one.made.get("Healthcheck") and one.state == "running":
            state["Health"] = {"Status": "healthy"}
        return 200, {"Id": "7" * 64, "State": state, "RestartCount": 0, "Config": one.made}

    def start(self, name: str, **_: Any) -> tuple[int, Any]:
        self.place.containers[name].start()
        return 204, b""

    def kill(self, name: str, *, asked: dict[str, str], **_: Any) -> tuple[int, Any]:
        one = self.place.containers.get(name)
        if one is None:
            return 404, {"message": f"No such container: {name}"}
        if one.state != "running":
            return 409, {"message": f"Container {name} is not running"}
        one.signal(signal.Signals[asked["signal"]])
        return 204, b""

    def logs(self, name: str, **_: Any) -> tuple[int, Any]:
        if name not in self.place.containers:
            return 404, {"message": f"No such container: {name}"}
        said = self.place.containers[name].log.read_bytes()
        return 200, b"\x01\0\0\0" + len(said).to_bytes(4, "big") + said

    def remove(self, name: str, **_: Any) -> tuple[int, Any]:
        self.place.containers.pop(name, None)
        return 204, b""


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class _LoopbackServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    address_family = socket.AF_INET


@contextlib.contextmanager
def engine() -> Iterator[tuple[str, Place]]:
    """Serve a Docker Engine; yield its socket and what it remembers."""
    with tempfile.TemporaryDirectory(prefix="eng") as folder:
        place = Place(Path(folder))
        path = f"{folder}/docker.sock"
        handler = type("OneEngine", (Engine,), {"place": place})
        with _running(_UnixServer(path, handler), place):
            yield path, place


@contextlib.contextmanager
def _running(server: socketserver.BaseServer, place: Place) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for one in place.containers.values():
            if one.process is not None and one.process.poll() is None:
                one.signal(signal.SIGKILL)
            if one.process is not None:
                one.process.wait()


class Cluster(Handler):
    """The API server of Kubernetes: pods, their logs and secrets of one namespace."""

    raw: ClassVar[str] = "text/plain"
    routes: ClassVar = [
        ("POST", r"/api/v1/namespaces/([^/]+)/secrets", "create_secret"),
        ("DELETE", r"/api/v1/namespaces/[^/]+/secrets/([^/]+)", "delete_secret"),
        ("POST", r"/api/v1/namespaces/([^/]+)/pods", "create_pod"),
        ("GET", r"/api/v1/namespaces/[^/]+/pods", "listed"),
        ("GET", r"/api/v1/namespaces/[^/]+/pods/([^/]+)", "pod"),
        ("GET", r"/api/v1/namespaces/[^/]+/pods/([^/]+)/log", "log"),
        ("DELETE", r"/api/v1/namespaces/[^/]+/pods/([^/]+)", "delete_pod"),
    ]

    def create_secret(self, _: str, *, body: dict[str, Any], **__: Any) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if name in self.place.secrets:
            return 409, _status(409, "AlreadyExists")
        self.place.secrets[name] = body["stringData"]
        return 201, {"kind": "Secret", "metadata": body["metadata"]}

    def delete_secret(self, name: str, **_: Any) -> tuple[int, Any]:
        if self.place.secrets.pop(name, None) is None:
            return 404, _status(404, "NotFound")
        return 200, _status(200, "")

    def create_pod(self, _: str, *, body: dict[str, Any], **__: Any) -> tuple[int, Any]:
        name, (container,) = body["metadata"]["name"], body["spec"]["containers"]
        if name in self.place.containers:
            return 409, _status(409, "AlreadyExists")
        (source,) = container["envFrom"]
        environ = self.place.secrets[source["secretRef"]["name"]]
        self.place.put(name, container["command"], environ, body).start()
        return 201, self._shown(self.place.containers[name])

    def listed(self, *, asked: dict[str, str], **_: Any) -> tuple[int, Any]:
        label = asked.get("labelSelector")
        self._sweep()
        found = [
            self._shown(one)
            for one in self.place.containers.values()
            if label is None or label in one.made["metadata"]["labels"]
        ]
        return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found}

    def pod(self, name: str, **_: Any) -> tuple[int, Any]:
        self._sweep()
        if name not in self.place.containers:
            return 404, _status(404, "NotFound")
        return 200, self._shown(self.place.containers[name])

    def log(self, name: str, **_: Any) -> tuple[int, Any]:
        if name not in self.place.containers:
            return 404, _status(404, "NotFound")
        return 200, self.place.containers[name].log.read_bytes()

    def delete_pod(
        self, name: str, *, body: dict[str, Any], asked: dict[str, str]
    ) -> tuple[int, Any]:
        one = self.place.containers.get(name)
        if one is None:
            return 404, _status(404, "NotFound")
        grace = asked.get("gracePeriodSeconds", (body or {}).get("gracePeriodSeconds", 30))
        if one.state == "running":
            one.signal(signal.SIGTERM)
        one.doomed_at = min(one.doomed_at, time.monotonic() + float(grace))
        self.place.deleted.add(name)
        self._sweep()
        return 200, self._shown(one)

    def _sweep(self) -> None:
        """A deleted pod is shown until its containers have ended."""
        for name in list(self.place.deleted):
            if self.place.containers[name].state != "running":
                self.place.deleted.discard(name)
                del self.place.containers[name]

    def _shown(self, one: Container) -> dict[str, Any]:
        state = one.state
        phase = "Running" if state == "running" else "Succeeded" if one.code == 0 else "Failed"
        now: dict[str, Any] = {"running": {}}
        if state != "running":
            now = {"terminated": {"exitCode": one.code}}
        status = {"name": "workload", "ready": True, "restartCount": 0, "state": now}
        status |= {"image": "", "imageID": ""}
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": one.made["metadata"],
            "status": {"phase": phase, "containerStatuses": [status]},
        }


def _status(code: int, reason: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason}


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, int, Place]]:
    """Serve a Kubernetes API on loopback; yield its URL, its port and what it remembers."""
    with tempfile.TemporaryDirectory(prefix="k8s") as folder:
        place = Place(Path(folder))
        server = _LoopbackServer(("127.0.0.1", 0), type("OneCluster", (Cluster,), {"place": place}))
        port = server.server_address[1]
        with _running(server, place):
            yield f"http://localhost:{port}", port, place
