"""The command as a user types it, against a suite that runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from clients.cli import specs
from clients.tokens import Grant
from runtimes.sandbox import calls as sandbox
from tests.kit.client import COMMAND, Demonstrated, Person, worked
from tests.kit.identity import PASSWORD
from topology.processes import until


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['alphaswarm', '--help']\n"
    code += "from clients.cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    heavy = {"fastmcp", "mcp", "pydantic", "httpx2", "sqlalchemy", "psycopg", "numba", "yaml"}
    assert not loaded & heavy
    # Processor time, the least of three: what is measured is the command, not a busy machine.
    assert min(worked([COMMAND, "--help"]) for _ in range(3)) < 0.6


def queues(alphaswarm: Demonstrated) -> set[str]:
    """Return the queues that somebody works on; `up` does not wait for workers."""
    found = alphaswarm.json("status")["workers"]
    return {queue for worker in found for queue in worker["queues"]}


def test_status_holds_everything_that_other_programs_need(alphaswarm: Demonstrated) -> None:
    found = alphaswarm.json("status")
    base = f"http://localhost:{alphaswarm.port}"
    assert found["base_url"] == base
    assert found["issuer"] == f"{base}/as"
    assert list(found["servers"]) == ["data", "backtest", "control"]
    for name, server in found["servers"].items():
        assert server == {
            "url": f"{base}/{name}/mcp",
            "audience": f"{base}/{name}/mcp",
            "ready": True,
        }
    assert found["halted"] is False
    assert until(lambda: queues(alphaswarm) == {"control", "interactive", "batch"}, 30)
    assert Path(found["valkey"]["password_file"]).stat().st_mode & 0o077 == 0


def test_the_printed_dsn_works_with_psql_and_may_only_do_what_the_application_may(
    alphaswarm: Demonstrated,
) -> None:
    dsn = alphaswarm.json("status")["postgres"]["dsn"]
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT current_user, count(*) FROM backtest_runs").fetchone()
        assert row is not None
        assert row[0] == "alphaswarm_app"
        assert row[1] >= 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM backtest_spec_versions")


def test_load_catalog_works_in_the_printed_environment(alphaswarm: Demonstrated) -> None:
    found = alphaswarm.json("status")["catalog"]
    code = (
        "from pyiceberg.catalog import load_catalog\n"
        "table = load_catalog('alphaswarm').load_table('alphaswarm_silver_market.bars_1d')\n"
        "print(table.scan().to_arrow().num_rows)"
    )
    environ = {**os.environ, **found["environment"]}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "12154", done.stderr
    assert found["role"] == "alphaswarm_reader"


def test_a_second_up_says_so_and_changes_nothing(alphaswarm: Demonstrated) -> None:
    before = alphaswarm.json("status")["processes"]
    assert "already runs" in alphaswarm("up")
    assert alphaswarm.json("up")["started"] == []
    assert alphaswarm.json("status")["processes"] == before


def test_another_port_for_a_running_suite_is_refused(alphaswarm: Demonstrated) -> None:
    done = alphaswarm.run("up", "--port", "9")
    assert done.returncode == 2
    assert f"already runs on port {alphaswarm.port}" in done.stderr


def test_doctor_finds_nothing_wrong(alphaswarm: Demonstrated) -> None:
    found = alphaswarm.json("doctor")
    assert found["ok"] is True
    assert {check["name"]: check["state"] for check in found["checks"]}["audiences"] == "ok"
    assert all(check["cure"] for check in found["checks"] if check["state"] != "ok")


def test_whoami_shows_how_and_where(alphaswarm: Demonstrated) -> None:
    found = alphaswarm.json("whoami")
    assert set(found["servers"]) == {"data", "backtest", "control"}
    assert found["servers"]["control"]["acr"] == "urn:alphaswarm:acr:os"
    assert found["servers"]["data"]["scope"] == "data:read data:write"


def test_a_token_is_for_one_audience(alphaswarm: Demonstrated) -> None:
    text = alphaswarm("token", "data").strip()
    claims = Grant("data", "", "", "", text, 0).claims()
    assert claims["aud"] == f"http://localhost:{alphaswarm.port}/data/mcp"
    assert alphaswarm.run("token", "dta").returncode == 2
    assert alphaswarm.run("token", "data", "--scope", "data:all").returncode == 3


def test_call_prints_the_structured_result(alphaswarm: Demonstrated) -> None:
    found = json.loads(alphaswarm("call", "data.search_symbols", "--arg", "text=AAP"))
    assert [row["vt_symbol"] for row in found["symbols"]] == ["AAPL.NASDAQ"]
    same = json.loads(alphaswarm("call", "data.search_symbols", "--json", '{"text": "AAP"}'))
    assert same == found


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        pytest.param(["data.nothing"], 2, "unknown_tool", id="unknown tool"),
        pytest.param(["dta.list_tables"], 2, "unknown_name", id="unknown server"),
        pytest.param(["list_tables"], 2, "invalid_arguments", id="no server"),
        pytest.param(["data.list_tables", "--json", "{"], 2, "invalid_arguments", id="not JSON"),
        pytest.param(["data.list_tables", "--json", "[]"], 2, "invalid_arguments", id="no object"),
        pytest.param(
            ["data.list_tables", "--arg", "lmit=1"], 2, "invalid_arguments", id="argument"
        ),
        pytest.param(["data.describe_table", "--arg", "table=x"], 2, "table_not_found", id="table"),
        pytest.param(
            ["data.query_sql", "--arg", "sql=DROP TABLE x"], 2, "sql_not_allowed", id="sql"
        ),
        pytest.param(["backtest.get_run", "--arg", f"run_id={'0' * 26}"], 2, "not_found", id="run"),
    ],
)
def test_a_call_that_cannot_work_is_the_error_object(
    alphaswarm: Demonstrated, arguments: list[str], code: int, error: str
) -> None:
    done = alphaswarm.run("call", *arguments)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["code"] == error


def test_tools_lists_every_tool_of_every_server(alphaswarm: Demonstrated) -> None:
    found = alphaswarm.json("tools")["servers"]
    names = {f"{server}.{tool['name']}" for server, listed in found.items() for tool in listed}
    assert {"data.ingest", "backtest.submit_backtest", "control.resume"} <= names
    assert all(len(listed) <= 12 for listed in found.values())


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("specs") / "momentum.yaml"
    file.write_text(specs.packaged())
    return file


def test_a_spec_is_checked_without_being_run(alphaswarm: Demonstrated, spec_file: Path) -> None:
    before = alphaswarm.json("runs", "list")
    assert alphaswarm.json("spec", "hash", str(spec_file)) == {
        "spec_hash": alphaswarm.demo["spec_hash"]
    }
    found = alphaswarm.json("spec", "validate", str(spec_file), "--set", "seed=8")
    assert found["spec"]["seed"] == 8
    assert found["spec_hash"] != alphaswarm.demo["spec_hash"]
    assert alphaswarm.json("runs", "list") == before


def test_a_wrong_spec_names_the_key_the_value_and_the_nearest_name(
    alphaswarm: Demonstrated, spec_file: Path
) -> None:
    done = alphaswarm.run("run", str(spec_file), "--set", "strategy.name=momentun", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)
    assert error["facts"]["errors"][0]["path"] == "strategy.name"
    assert "momentum" in json.dumps(error)


def test_run_follows_a_spec_to_its_end(alphaswarm: Demonstrated, spec_file: Path) -> None:
    settings = ["--set", "data.start=2010-01-04", "--set", "strategy.params.top=2"]
    record = alphaswarm.json("run", str(spec_file), *settings)
    assert record["status"] == "succeeded"
    assert record["last_frame"]["stage"] == "done"
    assert record["last_frame"]["run_id"] == record["run_id"]
    listed = alphaswarm.json("runs", "list", "--kind", "backtest", "--limit", "1")
    assert [row["run_id"] for row in listed["runs"]] == [record["run_id"]]


def test_logs_are_frames_one_per_line_and_resume_behind_a_seq(
    alphaswarm: Demonstrated, spec_file: Path
) -> None:
    handle = alphaswarm.json("run", str(spec_file), "--detach")
    assert handle["status"] == "queued"
    lines = alphaswarm("runs", "logs", handle["run_id"], "-f", "--json").splitlines()
    frames: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    assert (frames[0]["stage"], frames[-1]["stage"]) == ("start", "done")
    rest = alphaswarm("runs", "logs", handle["run_id"], "--json", "--after", str(len(frames) - 1))
    assert [json.loads(line) for line in rest.splitlines()] == frames[-1:]
    assert alphaswarm("runs", "logs", handle["run_id"], "--after", "99999") == ""


def test_ctrl_c_lets_go_of_a_run_and_a_second_one_cancels_it(
    alphaswarm: Demonstrated, spec_file: Path
) -> None:
    assert until(lambda: "interactive" in queues(alphaswarm), 30)
    workers = alphaswarm.json("status")["workers"]
    stopped = [worker["pid"] for worker in workers if "interactive" in worker["queues"]]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        first, said = interrupted(alphaswarm, spec_file, times=1)
        assert f"alphaswarm runs logs {first} -f" in said
        assert alphaswarm.json("runs", "show", first)["status"] == "queued"
        second, _ = interrupted(alphaswarm, spec_file, times=2)
        assert alphaswarm.json("runs", "show", second)["status"] == "cancelled"
        assert alphaswarm.json("runs", "cancel", first)["status"] == "cancelled"
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def interrupted(alphaswarm: Demonstrated, spec_file: Path, *, times: int) -> tuple[str, str]:
    """Follow a new run, press Ctrl-C, and return the run and what the command said."""
    before, said = newest(alphaswarm), list[str]()
    with alphaswarm.start("run", str(spec_file)) as command:
        assert command.stderr is not None
        listener = threading.Thread(target=said.extend, args=(command.stderr,))
        listener.start()
        try:
            assert until(lambda: newest(alphaswarm) != before, 30, poll_s=0.2)
            time.sleep(1)  # from the submission to following is a moment
            command.send_signal(signal.SIGINT)
            if times == 2:
                assert until(lambda: "Press Ctrl-C again" in "".join(said), 20)
                command.send_signal(signal.SIGINT)
            assert command.wait(30) == 130, said
        finally:
            command.kill()
            listener.join()
    return newest(alphaswarm), "".join(said)


def newest(alphaswarm: Demonstrated) -> str:
    """Return the id of the newest run."""
    return str(alphaswarm.json("runs", "list", "--limit", "1")["runs"][0]["run_id"])


def test_cancelling_what_has_ended_changes_nothing(alphaswarm: Demonstrated) -> None:
    run_id = alphaswarm.demo["run_id"]
    assert alphaswarm.json("runs", "cancel", run_id)["status"] == "succeeded"


def test_data_in_and_out(alphaswarm: Demonstrated, tmp_path: Path) -> None:
    file, table = tmp_path / "acme.csv", "alphaswarm_silver_acme.bars_1d"
    file.write_text(
        "Day,O,H,L,C,V\n2020-01-02,10,11,9,10.5,1000\n2020-01-03,10.5,12,10,11,1200\n"
        "2020-01-06,11,10,12,11,900\n"  # high below low
    )
    names = {"timestamp": "Day", "open": "O", "high": "H", "low": "L", "close": "C", "volume": "V"}
    arguments = [
        part for ours, theirs in names.items() for part in ("--column", f"{ours}={theirs}")
    ]
    arguments += ["--table", table, "--vt-symbol", "ACME.XTST", "--timezone", "America/New_York"]
    record = alphaswarm.json("data", "ingest", str(file), *arguments)
    assert record["status"] == "succeeded"
    assert record["last_frame"]["message"] == "2 new bars, 1 rows rejected."
    asked = f"SELECT timestamp, close FROM {table} ORDER BY timestamp"
    found = alphaswarm.json("data", "sql", asked)
    assert found["rows"] == [["2020-01-02T21:00:00Z", 10.5], ["2020-01-03T21:00:00Z", 11.0]]
    assert table in {row["table"] for row in alphaswarm.json("data", "ls")["tables"]}
    snapshots = alphaswarm.json("data", "snapshots", table)["snapshots"]
    assert [row["snapshot_id"] for row in snapshots] == list(found["snapshot_ids"].values())


@pytest.mark.parametrize("source", ["/etc/hostname-missing.csv", "smple"])
def test_a_source_that_does_not_exist(alphaswarm: Demonstrated, source: str) -> None:
    done = alphaswarm.run("data", "ingest", source)
    assert done.returncode == 2
    assert done.stdout == ""


def test_sql_is_one_select_and_reads_standard_input(alphaswarm: Demonstrated) -> None:
    assert alphaswarm("data", "sql", "-", stdin="SELECT 1 AS one").split() == ["one", "1"]
    assert alphaswarm.run("data", "sql", "SELECT * FROM nothing").returncode == 2


def test_a_halt_by_file_permission_and_a_resume_by_second_factor(
    alphaswarm: Demonstrated, spec_file: Path, codes: list[str]
) -> None:
    halted = alphaswarm.json("halt", "--kind", "backtest", "--local", "--reason", "a drill")
    try:
        assert alphaswarm.json("status")["halted"] is True
        shown = alphaswarm.json("halt", "status", code=4)
        assert [row["scope"] for row in shown["scopes"]] == ["kind:backtest"]
        refused = alphaswarm.run("run", str(spec_file), "--json")
        assert (refused.returncode, json.loads(refused.stdout)["code"]) == (4, "halted")
    finally:
        lifted = resumed(alphaswarm, "kind:backtest", halted["epoch"], codes)
        assert lifted["halted"] is False
    assert alphaswarm.json("halt", "status")["halted"] is False


def test_a_step_up_is_shown_before_it_is_needed(alphaswarm: Demonstrated, codes: list[str]) -> None:
    held = alphaswarm.json("whoami")["factors"]
    assert [one["kind"] for one in held["held"]] == ["totp"]
    left, code = held["recovery_codes"], codes.pop()
    meant = alphaswarm.run("stepup", "control:hlt", "--code", code)
    assert (meant.returncode, "control:halt" in meant.stderr) == (2, True)
    assert alphaswarm.run("stepup", "control:resume", "--code", code).returncode != 0, "unnamed"
    found = alphaswarm.json("stepup", "--code", code)
    assert (found["scope"], found["acr"]) == ("control:halt", "urn:alphaswarm:acr:mfa")
    assert alphaswarm.run("stepup", "--code", code).returncode == 3, "it is used up"
    now = alphaswarm.json("whoami")
    assert now["factors"]["recovery_codes"] == left - 1
    assert now["servers"]["control"]["scope"] == "control:read", "nothing of it is stored"


@pytest.mark.skipif(bool(sandbox.lacking()), reason="no Landlock")
def test_a_spec_with_source_runs_after_a_second_factor_and_not_before(
    alphaswarm: Demonstrated, tmp_path: Path, codes: list[str]
) -> None:
    code = (
        "class Strategy:\n    def on_bar(self, account):\n        account.target('IBM.NYSE', 0.5)\n"
    )
    body = {
        "kind": "backtest",
        "name": "typed-in",
        "universe": {"symbols": ["IBM.NYSE"]},
        "data": {"start": "2010-01-04", "end": "2010-03-31"},
        "strategy": {"name": "half", "code": code},
        "audit": {"cuts": 1, "noise": 0},
    }
    file = tmp_path / "source.yaml"
    file.write_text(json.dumps(body))
    wrong = alphaswarm.run("run", str(file), "--code", "000000", "--json")
    assert (wrong.returncode, json.loads(wrong.stdout)["code"]) == (3, "access_denied")
    record = alphaswarm.json("run", str(file), "--code", codes.pop())
    assert record["status"] == "succeeded"
    assert alphaswarm.json("whoami")["servers"]["backtest"]["scope"].find("code") == -1


def test_a_passkey_is_enrolled_on_a_page_that_only_this_machine_opens(
    alphaswarm: Demonstrated, codes: list[str]
) -> None:
    said = alphaswarm.process("user", "enrol", "passkey", "--no-browser")
    assert said.returncode == 0, said.stderr
    address = said.stdout.split()[-1]
    assert address.startswith(f"http://localhost:{alphaswarm.port}/as/passkeys?ticket=")
    page = httpx2.get(address)
    assert (page.status_code, "A passkey for" in page.text) == (200, True)
    gone = alphaswarm.process("user", "remove-factor", "old phone")
    assert (gone.returncode, "There are: recovery, totp" in gone.stderr) == (2, True)
    checks = {one["name"]: one["state"] for one in alphaswarm.json("doctor")["checks"]}
    assert checks["second factor"] == "ok"


def test_without_a_browser_a_code_is_typed(alphaswarm: Demonstrated, codes: list[str]) -> None:
    alphaswarm("halt", "--kind", "data", "--local", "--reason", "a drill")
    resume = ("resume", "kind:data", "--reason", "drill over", "--checked", "--code")
    wrong = alphaswarm.run(*resume, "000000", "--json")
    assert (wrong.returncode, json.loads(wrong.stdout)["code"]) == (3, "access_denied")
    assert alphaswarm.json(*resume, codes.pop())["halted"] is False


def test_a_halt_through_the_server_takes_a_second_factor_and_gives_a_receipt(
    alphaswarm: Demonstrated, codes: list[str]
) -> None:
    """K3, K10, K11: effects chosen when it is pressed, a receipt, a resume that names its epoch."""
    press = ("halt", "--spec", "backtest/nothing", "--reason", "a drill", "--keep-orders", "--code")
    wrong = alphaswarm.run(*press, "000000", "--json")
    assert (wrong.returncode, json.loads(wrong.stdout)["code"]) == (3, "access_denied")
    halted = alphaswarm.json(*press, codes.pop())
    (row,) = halted["scopes"]
    assert (row["scope"], row["orders"], row["covered"]) == ("spec:backtest/nothing", "keep", 0)
    audited = {row["seq"]: row for row in alphaswarm.json("audit", "tail", "-n", "50")["rows"]}
    found = audited[halted["receipt"]["seq"]]
    assert (found["hash"], found["action"]) == (halted["receipt"]["hash"], "halt")
    assert found["facts"]["acr"] == "urn:alphaswarm:acr:mfa"
    shown = alphaswarm.run("halt", "status")
    assert shown.returncode == 4
    assert "0 of 0" in shown.stdout
    resume = ("resume", "spec:backtest/nothing", "--reason", "over", "--checked", "--code")
    lifted = alphaswarm.json(*resume, codes.pop())
    assert (lifted["halted"], lifted["receipt"]["seq"] > found["seq"]) == (False, True)


def test_a_drill_measures_itself_and_lifts_what_it_pressed(alphaswarm: Demonstrated) -> None:
    """K13: a probe run on the workers, from the press to its end."""
    found = alphaswarm.json("halt", "drill")
    assert 0 <= found["visible_ms"] <= found["acknowledged_ms"] <= found["ended_ms"] < 5_000
    assert alphaswarm.json("halt", "status")["halted"] is False
    assert alphaswarm.json("runs", "show", found["run_id"])["status"] == "halted"


def resumed(alphaswarm: Demonstrated, scope: str, epoch: int, codes: list[str]) -> dict[str, Any]:
    """Resume as a person who types what the pages ask for that the command names."""
    asked = alphaswarm.start(
        *("resume", scope, "--reason", "drill over", "--epoch", str(epoch), "--checked"),
        *("--no-browser", "--json"),
    )
    assert asked.stdout is not None
    assert asked.stderr is not None
    owner = alphaswarm.json("whoami")["subject"]
    person = Person(username=owner, password=PASSWORD, codes=codes)
    for line in asked.stderr:
        if line.startswith("http"):
            threading.Thread(target=person.visit, args=(line.strip(),)).start()
    with asked:
        answer = asked.stdout.read()
    assert asked.returncode == 0, answer
    found: dict[str, Any] = json.loads(answer)
    return found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["--all", "--reason", "why", "--keep-orders", "--flatten"], "exclude", id="both effects"
        ),
        pytest.param(["--local", "--reason", "why not"], "exactly one scope", id="no scope"),
        pytest.param(
            ["--local", "--all", "--kind", "data", "--reason", "why"],
            "exactly one",
            id="two scopes",
        ),
        pytest.param(["--local", "--all"], "A reason of", id="no reason"),
        pytest.param(
            ["--local", "--kind", "bcktest", "--reason", "why"], "backtest", id="misspelt kind"
        ),
    ],
)
def test_a_halt_that_is_not_meant_halts_nothing(
    alphaswarm: Demonstrated, arguments: list[str], says: str
) -> None:
    done = alphaswarm.run("halt", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert alphaswarm.json("status")["halted"] is False


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["all", "--reason", "x", "--checked"], id="no reason"),
        pytest.param(["everything", "--reason", "because", "--checked"], id="no scope"),
        pytest.param(["all", "--reason", "because"], id="nothing checked"),
        pytest.param(["all", "--reason", "because", "--checked"], id="nothing halted"),
    ],
)
def test_a_resume_that_cannot_be_asks_for_no_password(
    alphaswarm: Demonstrated, arguments: list[str]
) -> None:
    done = alphaswarm.run("resume", *arguments)
    assert done.returncode == 2
    assert "http" not in done.stderr


def test_the_audit_chain_is_whole_and_shows_who_did_what(alphaswarm: Demonstrated) -> None:
    assert alphaswarm.json("audit", "verify")["ok"] is True
    rows = alphaswarm.json("audit", "tail", "-n", "200")["rows"]
    assert {"submit_backtest", "ingest"} <= {row["action"] for row in rows}


def test_signing_out_ends_the_sign_in_here_and_at_the_issuer(alphaswarm: Demonstrated) -> None:
    token = alphaswarm("token", "data").strip()
    assert alphaswarm.json("logout", "data") == {"signed_out": ["data"]}
    try:
        assert alphaswarm.run("data", "ls").returncode == 3
        url = alphaswarm.json("status")["servers"]["data"]["url"]
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
        }
        answer = httpx2.post(url, json={}, headers=headers, trust_env=False)
        assert answer.status_code == 401
    finally:
        alphaswarm("login", "data", "--local")
    assert alphaswarm.run("data", "ls").returncode == 0


def test_topology_is_checked_and_shown(alphaswarm: Demonstrated, tmp_path: Path) -> None:
    assert alphaswarm.json("topology", "validate")["ok"] is True
    shown = alphaswarm.json("topology", "show")
    assert shown["faces"]["data"]["audience"].endswith(f":{alphaswarm.port}/data/mcp")
    file = tmp_path / "map.yaml"
    file.write_text("version: 1\nversion: 2\nport: 1\n")
    done = alphaswarm.run("topology", "validate", str(file))
    assert done.returncode == 2
    assert f"{file}:2:" in done.stderr


def test_a_deployment_is_rendered_and_its_drift_is_found(
    alphaswarm: Demonstrated, tmp_path: Path
) -> None:
    printed = alphaswarm.run("topology", "render", "compose").stdout
    assert f":{alphaswarm.port}/readyz" in printed
    alphaswarm("topology", "render", "compose", "--out", str(tmp_path))
    assert alphaswarm.json("topology", "validate", "--rendered", str(tmp_path))["ok"] is True
    file = tmp_path / "compose.yaml"
    file.write_text(file.read_text().replace("network_mode: none", "network_mode: host"))
    done = alphaswarm.run("topology", "validate", "--rendered", str(tmp_path))
    assert done.returncode == 2
    assert "compose.yaml" in done.stderr
    assert alphaswarm.run("topology", "render", "compos").returncode == 2


def test_without_a_terminal_nothing_is_coloured(alphaswarm: Demonstrated) -> None:
    for arguments in (["status"], ["--help"], ["data", "sql", "SELECT"]):
        done = alphaswarm.process(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
