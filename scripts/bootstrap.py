"""Make `.venv` hold what a make target needs: `python scripts/bootstrap.py base|all`.

Standard library only. Installs with uv where uv can be had and works, with plain pip otherwise (or
with ALPHASWARM_INSTALLER=pip). A stamp per set holds the hash of pyproject.toml, the lock and the
interpreter, so that a second run costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
EXTRAS = {"base": ".", "all": ".[dev,yfinance,ccxt]"}
ROOMS = ("servers", "tools", "runtimes", "clients", "auth", "ledger", "lakehouse", "topology")


def main(arguments: list[str]) -> int:
    """Install the set named on the command line; return the exit status."""
    if len(arguments) != 1 or arguments[0] not in EXTRAS:
        print(f"usage: bootstrap.py {'|'.join(EXTRAS)}", file=sys.stderr)
        return 2
    wanted = arguments[0]
    if stamped(wanted):
        return 0
    started = time.monotonic()
    if not make_venv():
        return 1
    installer = install(EXTRAS[wanted])
    if installer is None:
        return 1
    compile_bytecode()
    for name in EXTRAS if wanted == "all" else [wanted]:
        stamp(name).write_text(fingerprint())
    print(f"installed with {installer} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


def fingerprint() -> str:
    """Return the hash of everything that decides what belongs into the environment."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), LOCK.read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamp(name: str) -> Path:
    """Return the file that says the set ``name`` is installed."""
    return VENV / f".stamp-{name}"


def stamped(name: str) -> bool:
    """Tell whether the set is installed as the files now ask."""
    try:
        return PYTHON.exists() and stamp(name).read_text() == fingerprint()
    except OSError:
        return False


def make_venv() -> bool:
    """Create the environment; say what is missing where Python ships without venv's parts."""
    if PYTHON.exists():
        return True
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(f"Cannot create {VENV}: {error}", file=sys.stderr)
        print(f"On Debian and Ubuntu: apt install python{version}-venv", file=sys.stderr)
        return False
    return True


def install(target: str) -> str | None:
    """Install the locked packages and this checkout; return the installer's name or None."""
    arguments = ["install", "-r", str(LOCK), "-e", target]
    if target == ".":
        arguments = ["install", "-c", str(LOCK), "-e", target]
    if os.environ.get("ALPHASWARM_INSTALLER") != "pip":
        if uv_installs(arguments):
            return "uv"
        print("uv does not work here; using plain pip", file=sys.stderr)
    pip = [str(PYTHON), "-m", "pip", "-q", "--disable-pip-version-check"]
    return (
        "pip" if subprocess.run([*pip, *arguments], cwd=ROOT, check=False).returncode == 0 else None
    )


def uv_installs(arguments: list[str]) -> bool:
    """Try uv, fetched by pip into the environment, with pip's own settings passed on."""
    pip = [str(PYTHON), "-m", "pip", "-q", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", "uv"], cwd=ROOT, check=False).returncode != 0:
        return False
    # Without bytecode every process would compile its libraries at each start: seconds, each time.
    command = [str(PYTHON), "-m", "uv", "-q", "pip", arguments[0], "--compile-bytecode"]
    command += ["--python", str(PYTHON)]
    done = subprocess.run(
        [*command, *arguments[1:]], cwd=ROOT, env=os.environ | pip_settings(pip), check=False
    )
    return done.returncode == 0


def compile_bytecode() -> None:
    """Compile our own rooms, also where the environment keeps Python from writing bytecode."""
    rooms = [str(ROOT / room) for room in ROOMS]
    subprocess.run([str(PYTHON), "-m", "compileall", "-q", "-j", "0", *rooms], check=False)


def pip_settings(pip: list[str]) -> dict[str, str]:
    """Return pip's configuration in uv's words: uv reads none of pip's files."""
    words = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
    }
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        name = words.get(key.rpartition(".")[2])
        if name and name not in os.environ:
            separator = "," if name == "UV_FIND_LINKS" else " "
            found[name] = separator.join(value.strip("'\"").split())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
