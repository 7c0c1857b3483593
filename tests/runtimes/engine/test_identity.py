"""Who computed: the sources' hash, the builds, and the folder of compiled code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes.engine import identity
from runtimes.engine.errors import EngineFaultError

ROOT = Path(__file__).resolve().parents[3]


def fresh(code: str, root: Path = ROOT) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env=environ,
    )
    return done.stdout.strip()


def test_the_identity_has_what_a_run_row_needs() -> None:
    found = identity.identity()
    assert set(found) == {"version", "sources", "fingerprint"}
    assert len(found["sources"]) == 64
    assert "numba-" in found["fingerprint"]
    assert "numpy-" in found["fingerprint"]


def test_another_process_has_the_same_identity() -> None:
    there = fresh("from runtimes.engine import identity; print(identity.identity())")
    assert there == str(identity.identity())


@pytest.mark.parametrize(
    "source",
    ["runtimes/engine/kernel.py", "runtimes/backtest/bars.py", "lakehouse/adjust.py"],
)
def test_whatever_shapes_a_result_belongs_to_the_identity(tmp_path: Path, source: str) -> None:
    """Else an upgrade gives another result for the same run_sha, which is refused for ever."""
    for folder in ("runtimes", "lakehouse", "topology"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc"))
    code = "from runtimes.engine import identity; print(identity.sources())"
    before = fresh(code, tmp_path)
    with (tmp_path / source).open("a") as file:
        file.write("# changed\n")
    assert before == identity.sources()
    assert fresh(code, tmp_path) != before


def test_uncompiled_runs_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    there = fresh("from runtimes.engine import identity; print(identity.fingerprint())")
    assert there.endswith(" nojit")


def test_compiled_code_lives_below_the_hash_of_the_sources(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from runtimes.engine import identity\n"
        f"print(identity.prepare(Path({str(tmp_path)!r})))\n"
        "from runtimes.engine.costs import fee\n"
        "from runtimes.engine.params import make\n"
        "fee(1.0, 2.0, False, make())\n"
    )
    home = Path(fresh(code))
    assert home == tmp_path / identity.kernels()[:16]
    assert home.stat().st_mode & 0o777 == 0o700
    assert list(home.rglob("*.nbc"))


def test_naming_the_folder_too_late_is_an_error(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from runtimes.engine import compiled, identity\n"
        "try:\n"
        f"    identity.prepare(Path({str(tmp_path)!r}))\n"
        "except identity.EngineFaultError as error:\n"
        "    print(error.body()['code'])\n"
    )
    assert fresh(code) == EngineFaultError.code == "engine_fault"


def test_names_parameters_and_specs_load_without_the_compiler() -> None:
    code = (
        "import sys, runtimes.specs.backtest, runtimes.engine.identity, runtimes.engine.params\n"
        "from runtimes.strategies import STRATEGIES\n"
        "[STRATEGIES.load(name) for name in STRATEGIES]\n"
        "print('numba' in sys.modules, 'pyarrow' in sys.modules)"
    )
    assert fresh(code) == "False False"
