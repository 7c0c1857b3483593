"""A FAKE `tofu`: it plays the documented JSON over a toy world, and no cloud was ever behind it.

`install` puts it where a test wants it, as a program. Its world is ``world.json`` beside it (what
"really" exists), its state ``terraform.tfstate`` in the folder in which it is started. The toy
language is one form: ``resource "TYPE" "NAME" { input = JSON }`` or ``= var.NAME``, and ``module``
with a ``source`` (shown, not followed). ``script.json`` beside it says how it misbehaves; every
call is noted in ``calls.jsonl`` with all that it knew.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESOURCE = re.compile(r'resource\s+"(\w+)"\s+"(\w+)"\s*{\s*input\s*=\s*([^\n}]+?)\s*}')
MODULE = re.compile(r'module\s+"(\w+)"\s*{\s*source\s*=\s*"([^"]+)"\s*}')
STATE = Path("terraform.tfstate")
VERSION = "1.10.0-fake"

stopped: list[int] = []


def install(folder: Path, **script: Any) -> Path:
    """Return the path of a fake in ``folder`` that behaves as ``script`` says; for tests."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "tofu"
    (folder / "fake.py").write_text(Path(__file__).read_text())  # compiled once, it starts sooner
    lines = ["import sys", f"sys.path.insert(0, {str(folder)!r})", "import fake"]
    program.write_text("\n".join([f"#!{sys.executable} -IS", *lines, "sys.exit(fake.main())"]))
    program.chmod(0o755)
    behave(program, **script)
    return program


def behave(program: Path, **script: Any) -> None:
    """Change how it behaves from now on: ``crash`` (an address: created, then killed before the
    state is written; or ``kept``: with the state written and nothing said), ``fail`` (an address),
    ``slow_s``, ``gate`` (a file that it waits for), ``deaf`` (to SIGINT and SIGTERM), ``ui``,
    ``format_version``, ``leak`` (what a diagnostic quotes)."""
    program.with_name("script.json").write_text(json.dumps(script))


def calls(program: Path, command: str = "") -> list[dict[str, Any]]:
    """Return what was asked of it, in order, with the environment of each call."""
    file = program.with_name("calls.jsonl")
    lines = file.read_text().splitlines() if file.exists() else []
    return [c for c in map(json.loads, lines) if not command or c["argv"][0] == command]


def world(program: Path) -> dict[str, Any]:
    """Return what exists in the toy world: address to input."""
    return dict(load(program.with_name("world.json"), {}))


def load(path: Path, default: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else default


def say(level: str, text: str, kind: str, **more: Any) -> None:
    line = {"@level": level, "@message": text, "@module": "tofu.ui", "type": kind, **more}
    print(json.dumps({**line, "@timestamp": "2026-01-02T03:04:05.000006Z"}), flush=True)


def complain(summary: str, address: str = "") -> None:
    detail = f"The toy quotes {SCRIPT.get('leak', 'nothing')}."
    told: dict[str, Any] = {
        "severity": "error",
        "summary": summary,
        "detail": detail,
        "address": address,
    }
    told["range"] = {"filename": "main.tf", "start": {"line": 1, "column": 1, "byte": 0}}
    say("error", f"Error: {summary}", "diagnostic", diagnostic=told)


def about(address: str, action: str, **more: Any) -> dict[str, Any]:
    kind, _, name = address.partition(".")
    resource: dict[str, Any] = {
        "addr": address,
        "module": "",
        "resource": address,
        "implied_provider": "toy",
    }
    resource |= {"resource_type": kind, "resource_name": name, "resource_key": None}
    return {"resource": resource, "action": action, **more}


def wanted(variables: dict[str, Any]) -> dict[str, Any]:
    """Return address to input of everything that the module asks for."""
    found = {}
    for path in sorted(Path().glob("*.tf")):
        for kind, name, text in RESOURCE.findall(path.read_text()):
            variable = re.fullmatch(r"var\.(\w+)", text)
            value = variables[variable[1]] if variable else json.loads(text)
            found[f"{kind}.{name}"] = value
    return found


def given(arguments: list[str]) -> dict[str, Any]:
    """Return the variables: of files, and of the environment."""
    files = [a.partition("=")[2] for a in arguments if a.startswith("-var-file=")]
    told = {k[7:]: v for k, v in os.environ.items() if k.startswith("TF_VAR_")}
    return {**told, **{k: v for file in files for k, v in load(Path(file), {}).items()}}


def owned(state: dict[str, Any]) -> dict[str, Any]:
    """Return address to input as the state has it."""
    return {
        f"{r['type']}.{r['name']}": r["instances"][0]["attributes"]["input"]
        for r in state.get("resources", [])
    }


def keep(state: dict[str, Any], held: dict[str, Any]) -> None:
    """Write the state: one serial more."""
    parts = [(address.partition("."), value) for address, value in sorted(held.items())]
    resources = [
        {
            "mode": "managed",
            "type": a[0],
            "name": a[2],
            "provider": 'provider["toy"]',
            "instances": [{"schema_version": 0, "attributes": {"input": value}}],
        }
        for a, value in parts
    ]
    serial = state.get("serial", 0) + 1
    head = {"version": 4, "terraform_version": VERSION, "serial": serial, "lineage": "toy-lineage"}
    STATE.write_text(json.dumps({**head, "outputs": {}, "resources": resources}))


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return address to action; another type of value is another thing, so it is replaced."""
    found = {a: "create" for a in after if a not in before}
    found |= {a: "delete" for a in before if a not in after}
    for a in before.keys() & after.keys():
        if before[a] != after[a]:
            found[a] = "update" if type(before[a]) is type(after[a]) else "replace"
    return dict(sorted(found.items()))


def plan(arguments: list[str]) -> int:
    say("info", f"OpenTofu {VERSION}", "version", tofu=VERSION, ui=SCRIPT.get("ui", "1.2"))
    state, there = load(STATE, {}), load(HERE / "world.json", {})
    if SCRIPT.get("fail") == "plan":
        complain(f"Invalid credentials {os.environ.get('TF_VAR_TOKEN', '')}", "toy_thing.a")
        return 1
    slowly()
    refreshed = {a: there[a] for a in owned(state) if a in there}
    drift = changes(owned(state), refreshed)
    for address, action in drift.items():
        say("info", f"{address}: Drift", "resource_drift", change=about(address, action))
    refreshing, destroying = "-refresh-only" in arguments, "-destroy" in arguments
    after = refreshed if refreshing else {} if destroying else wanted(given(arguments))
    found = changes(refreshed, after)
    for address, action in found.items():
        say("info", f"{address}: Plan to {action}", "planned_change", change=about(address, action))
    say("info", "Plan.", "change_summary", changes={"add": len(found), "operation": "plan"})
    made = {"serial": state.get("serial", 0), "changes": found, "drift": drift, "before": refreshed}
    made |= {"after": after, "refresh": refreshing, "modules": modules()}
    for target in (a.partition("=")[2] for a in arguments if a.startswith("-out=")):
        Path(target).write_text(json.dumps(made))
    return 2 if found or (refreshing and drift) else 0


def modules() -> dict[str, str]:
    texts = [path.read_text() for path in sorted(Path().glob("*.tf"))]
    return {name: source for text in texts for name, source in MODULE.findall(text)}


ACTIONS = {"replace": ["delete", "create"]}


def change(address: str, action: str, made: dict[str, Any]) -> dict[str, Any]:
    kind, _, name = address.partition(".")
    values = {"before": made["before"].get(address), "after": made["after"].get(address)}
    return {
        "address": address,
        "mode": "managed",
        "type": kind,
        "name": name,
        "provider_name": "toy",
        "change": {"actions": ACTIONS.get(action, [action]), **values},
    }


def show(arguments: list[str]) -> int:
    made = load(Path(arguments[-1]), {})
    shown = {"format_version": SCRIPT.get("format_version", "1.2"), "terraform_version": VERSION}
    shown["variables"] = {k: {"value": v} for k, v in given([]).items()}
    for key, source in (("resource_changes", "changes"), ("resource_drift", "drift")):
        shown[key] = [change(a, action, made) for a, action in made[source].items()]
    calling = {name: {"source": source} for name, source in made["modules"].items()}
    shown["configuration"] = {"root_module": {"module_calls": calling}}
    print(json.dumps(shown))
    return 0


def apply(arguments: list[str]) -> int:
    say("info", f"OpenTofu {VERSION}", "version", tofu=VERSION, ui=SCRIPT.get("ui", "1.2"))
    made, state = load(Path(arguments[-1]), {}), load(STATE, {})
    if made["serial"] != state.get("serial", 0):
        complain("Saved plan is stale")
        return 1
    held, there = dict(made["before"]), load(HERE / "world.json", {})
    failed = False
    for address, action in made["changes"].items():
        if stopped:
            complain("execution halted")
            failed = True
            break
        say("info", f"{address}: {action}", "apply_start", hook=about(address, action))
        slowly()
        if SCRIPT.get("fail") == address:
            complain(f"{address} refuses {os.environ.get('TF_VAR_TOKEN', '')}", address)
            say("info", f"{address}: failed", "apply_errored", hook=about(address, action))
            failed = True
            continue
        alter(there, address, made["after"].get(address))
        (HERE / "world.json").write_text(json.dumps(there))
        if SCRIPT.get("crash") == address:
            os.kill(os.getpid(), signal.SIGKILL)
        alter(held, address, made["after"].get(address))
        text = f"{address}: done [id={made['after'].get(address)}]"
        say("info", text, "apply_complete", hook=about(address, action, id_key="id", id_value="x"))
    keep(state, held)
    if SCRIPT.get("crash") == "kept":
        os.kill(os.getpid(), signal.SIGKILL)
    say("info", "Apply complete!", "change_summary", changes={"operation": "apply"})
    return 1 if failed else 0


def alter(things: dict[str, Any], address: str, value: Any) -> None:
    if value is None:
        things.pop(address, None)
    else:
        things[address] = value


def slowly() -> None:
    """Work for a while, as a cloud does; a signal to stop is noted and the step is ended first."""
    end = time.monotonic() + SCRIPT.get("slow_s", 0)
    (HERE / "busy").write_text(str(os.getpid()))
    while SCRIPT.get("gate") and not Path(SCRIPT["gate"]).exists():
        time.sleep(0.01)
    while time.monotonic() < end and (not stopped or SCRIPT.get("deaf")):
        time.sleep(0.01)


def main() -> int:
    arguments = sys.argv[1:]
    command, rest = arguments[0], arguments[1:]
    with (HERE / "calls.jsonl").open("a") as file:
        call = {"argv": arguments, "environ": dict(os.environ), "cwd": str(Path.cwd())}
        file.write(json.dumps(call) + "\n")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    if command == "version":
        print(json.dumps({"terraform_version": VERSION, "platform": "toy_arm64"}))
    elif command == "init":
        if SCRIPT.get("fail") == "init":
            print(f"| Error: No such backend {os.environ.get('TF_VAR_TOKEN', '')}", file=sys.stderr)
            return 1
    elif command == "state":
        print(STATE.read_text() if STATE.exists() else "")
    elif command in {"plan", "show", "apply"}:
        return {"plan": plan, "show": show, "apply": apply}[command](rest)
    return 0


SCRIPT = load(HERE / "script.json", {})
