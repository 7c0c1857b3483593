"""A map that would make a check weaker is refused at the start, with file, line and column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from topology.errors import TopologyError
from topology.services import load

GOOD = """\
version: 1
listen: {hosts: [127.0.0.1], port: 8000}
base_url: http://localhost:8000
issuers:
  local: {kind: embedded, path: /as, algs: [ES256]}
  corp:
    kind: oidc
    issuer: https://login.example/desk
    algs: [RS256]
    typ: [JWT]
    audience: {data: "api://data"}
    claims: {client_id: azp, scope: groups}
    scope_form: list
    scopes: {quants: ["data:read", "data:write"]}
    step_up: {acr: {bronze: 1, gold: 2}, max_age: 300}
    lifetime_s: 300
clients:
  cli: {redirects: [loopback]}
registration: {redirects: ["cursor://x/cb"]}
resources:
  abroad: {audience: "https://b.example/data/mcp", scopes: ["data:read"]}
servers:
  data: {path: /data/mcp, issuer: corp, scopes: ["data:read", "data:write"]}
  control: {path: /c/mcp, issuer: corp, trusts: [local], scopes: ["control:read", "control:halt"]}
workers: {control: {threads: 1}, interactive: {threads: 1}, batch: {threads: 1}}
stores:
  postgres: {kind: embedded}
  valkey: {kind: embedded}
  warehouse: {path: warehouse}
  catalog: {kind: sql}
egress: {allow: [{host: login.example, for: [identity]}]}
limits: {tokens: {access_s: 900, code_s: 60}}
profiles: {open: {}}
"""


def write(folder: Path, old: str, new: str) -> Path:
    assert GOOD.count(old) == 1, old
    file = folder / "topology.yaml"
    file.write_text(GOOD.replace(old, new), "utf-8")
    return file


def test_the_map_that_the_rows_below_change_is_right(tmp_path: Path) -> None:
    topology = load({}, path=write(tmp_path, "open", "open"))
    assert topology.face("data").issuer == "https://login.example/desk"
    assert topology.face("control").acr == (("bronze", 1), ("gold", 2))
    assert (topology.face("data").own, topology.face("control").own) == (False, True)
    assert topology.embedded == "local"


CORP = "issuer: https://login.example/desk"
WEAKER = [
    # where tokens and pages travel
    ("base_url: http://localhost:8000", "base_url: http://suite.example:8000",
     "3:1: base_url: must be https beyond this machine"),
    ("hosts: [127.0.0.1]", "hosts: [0.0.0.0]",
     "2:18: listen.hosts[0]: the embedded profile listens on loopback only: 127.0.0.1 or '::1'"),
    ("port: 8000}", 'port: 8000, origins: ["*"]}',
     "2:52: listen.origins[0]: must be a URL that starts with http:// or https://"),
    ("port: 8000}", 'port: 8000, origins: ["http://evil.example"]}',
     "2:52: listen.origins[0]: must be https beyond this machine"),
    (CORP, "issuer: http://login.example/desk",
     "8:5: issuers.corp.issuer: must be https beyond this machine"),
    ('audience: "https://b.example/data/mcp"', 'audience: "http://b.example/data/mcp"',
     "21:12: resources.abroad.audience: must be https beyond this machine"),
    # redirects
    ("[loopback]", '["https://*.example/cb"]',
     "18:21: clients.cli.redirects[0]: a redirect is a whole URI, not a pattern"),
    ("[loopback]", '["http://desk.example/cb"]',
     "18:21: clients.cli.redirects[0]: must be https beyond this machine"),
    ("[loopback]", '["javascript://x/%0aalert(1)"]',
     "18:21: clients.cli.redirects[0]: must be an address of a client, not something"),
    ("cursor://x/cb", "cursor://x/*",
     "19:28: registration.redirects[0]: a redirect is a whole URI, not a pattern"),
    ("cursor://x/cb", "http://desk.example/cb",
     "19:28: registration.redirects[0]: must be https beyond this machine"),
    # what signs, and what a token is
    ("algs: [ES256]", "algs: [none]",
     "5:45: issuers.local.algs[0]: must be ES256."),
    ("algs: [RS256]", "algs: [none]",
     "9:12: issuers.corp.algs[0]: must be ES256 or RS256."),
    ("algs: [RS256]", "algs: [RS256, HS256]",
     "9:19: issuers.corp.algs[1]: must be ES256 or RS256. Did you mean 'RS256'?"),
    ("algs: [RS256]", "algs: []",
     "9:5: issuers.corp.algs: must not be empty"),
    ("typ: [JWT]", "typ: [logout+jwt]",
     "10:11: issuers.corp.typ[0]: must be at+jwt or application/at+jwt or JWT."),
    ("issuer: https://login.example/desk", "issuer: https://user@login.example/desk",
     "8:5: issuers.corp.issuer: looks like a literal secret: name a credential instead"),
    # audiences
    ('data: "api://data"', 'data: "http://localhost:8000/c/mcp"',
     "11:16: issuers.corp.audience.data: servers.control has the same audience"),
    ('data: "api://data"', 'data: "api://x", control: "api://x"',
     "11:33: issuers.corp.audience.control: servers.data has the same audience"),
    ('data: "api://data"', 'dta: "api://data"',
     "11:16: issuers.corp.audience.dta: no such server of this issuer. Did you mean 'data'?"),
    ("https://b.example/data/mcp", "http://localhost:8000/data/mcp",
     "21:12: resources.abroad.audience: servers.data has the same audience"),
    ("path: /c/mcp,", 'path: /c/mcp, audience: "http://localhost:8000/data/mcp",',
     "24:27: servers.control.audience: servers.data has the same audience"),
    # scopes
    ('quants: ["data:read", "data:write"]', 'quants: ["data:read", "bot:live"]',
     "14:36: issuers.corp.scopes.quants[1]: no server of this issuer has this scope. "),
    ('"control:read", "control:halt"]', '"control:read", "data:write"]',
     "24:83: servers.control.scopes[1]: belongs to another server: write control:..."),
    ('scopes: ["data:read"]}', 'scopes: ["data:read", "control:halt"]}',
     "21:74: resources.abroad.scopes[1]: belongs to another server: write data:..."),
    ('scopes: ["data:read"]}', 'scopes: ["data:write"]}',
     "21:52: resources.abroad.scopes: must hold data:read"),
    # step-up
    ("    step_up: {acr: {bronze: 1, gold: 2}, max_age: 300}\n", "",
     "6:3: issuers.corp: servers.control has control:halt: step_up.acr must say"),
    ("{bronze: 1, gold: 2}", "{bronze: 1}",
     "15:15: issuers.corp.step_up.acr: servers.control has control:halt: step_up.acr must say"),
    ("{bronze: 1, gold: 2}", "{}",
     "15:15: issuers.corp.step_up.acr: must not be empty"),
    ("gold: 2", "gold: 9",
     "15:32: issuers.corp.step_up.acr.gold: must be 1, 2 or 3."),
    ("max_age: 300", "max_age: 3600",
     "15:42: issuers.corp.step_up.max_age: must be 300."),
    ("gold: 2", "'go\"ld': 2",
     "15:32: issuers.corp.step_up.acr.go\"ld: must be visible ASCII"),
    # lifetimes
    ("access_s: 900", "access_s: 901",
     "32:19: limits.tokens.access_s: must be less than or equal to 900"),
    ("code_s: 60", "code_s: 601",
     "32:34: limits.tokens.code_s: must be less than or equal to 600"),
    ("lifetime_s: 300", "lifetime_s: 901",
     "16:5: issuers.corp.lifetime_s: must be less than or equal to 900"),
    # whose tokens
    ("trusts: [local]", "trusts: [corp]",
     "24:50: servers.control.trusts[0]: the same issuer stands before"),
    ("trusts: [local]", "trusts: [lcal]",
     "24:50: servers.control.trusts[0]: no such issuer. Did you mean 'local'?"),
    (CORP, "issuer: http://localhost:8000/as",
     "8:5: issuers.corp.issuer: this is our own issuer: write kind: embedded"),
    ("  local: {kind: embedded, path: /as, algs: [ES256]}\n",
     "  local: {kind: embedded, path: /as, algs: [ES256]}\n  two: {kind: embedded, path: /two}\n",
     "6:3: issuers.two: a suite has one issuer of its own, issuers.local"),
    ("  cli: {redirects: [loopback]}\n",
     "  cli: {grants: [client_credentials]}\n",
     "18:3: clients.cli.keys: the grant client_credentials needs keys: a client that can prove"),
    ("host: login.example", "host: other.example",
     "8:5: issuers.corp.issuer: egress.allow must hold - {host: login.example, port: 443"),
    ("egress: {allow", "egress: {default: allow, allow",
     "31:10: egress.default: must be deny."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "problem"), WEAKER, ids=[re.sub(r"\W+", "-", row[2])[:60] for row in WEAKER]
)
def test_a_map_that_weakens_a_rule_is_refused_with_its_line(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    file = write(tmp_path, old, new)
    with pytest.raises(TopologyError) as refused:
        load({}, path=file)
    lines = [line.removeprefix(f"{file}:") for line in str(refused.value).splitlines()]
    assert any(line.startswith(problem) for line in lines), lines
    assert "nothing was started" in refused.value.hint


def test_an_overlay_that_weakens_a_rule_is_refused_in_its_own_line(tmp_path: Path) -> None:
    file = write(tmp_path, "{open: {}}", '{open: {listen: {hosts: ["0.0.0.0"]}}}')
    with pytest.raises(TopologyError) as refused:
        load({}, path=file, profile="open")
    said = "33:36: profiles.open.listen.hosts[0]: beyond loopback base_url must be https"
    assert said in str(refused.value)
    load({}, path=file)
