"""Run every benchmark in its own process and write benchmarks.json: `python -m tests.benchmarks`.

Each `bench_*.py` prints one JSON object a line: `name`, `ours`, `peer`, `ratio` (ours / peer unless
its name says otherwise), `limit` where the ratio is gated, and what else tells the story. Absolute
figures belong to the machine that printed them; ratios are the result.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
LONG = {"memory"}
"""What takes many minutes runs only if it is named."""


def main(names: list[str]) -> int:
    """Run the benchmarks whose names begin so, or all but `LONG`; fail over a ratio's limit."""
    figures: list[dict[str, object]] = []
    broken: list[str] = []
    for path in sorted(FOLDER.glob("bench_*.py")):
        name = path.stem.removeprefix("bench_")
        if not name.startswith(tuple(names)) if names else name in LONG:
            continue
        print(f"== {path.stem}", flush=True)
        found, status = run(path)
        figures.extend(found)
        broken += [path.stem] if status else []
    over = [str(f["name"]) for f in figures if f.get("limit") and f["ratio"] > f["limit"]]  # type: ignore[operator]  # JSON numbers
    report = {"machine": machine(), "figures": figures}
    (ROOT / "benchmarks.json").write_text(json.dumps(report, indent=2) + "\n")
    for line in [f"over its limit: {name}" for name in over] + [f"failed: {n}" for n in broken]:
        print(line, file=sys.stderr)
    return 1 if over or broken else 0


def run(path: Path) -> tuple[list[dict[str, object]], int]:
    """Return what one benchmark printed and its exit status, echoing it as it comes."""
    found: list[dict[str, object]] = []
    command = [sys.executable, "-m", f"tests.benchmarks.{path.stem}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                found.append(json.loads(line))
    return found, process.returncode


def machine() -> dict[str, object]:
    """Say what the absolute figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cpu": platform.machine(),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
