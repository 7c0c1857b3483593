"""``python -m tests.browser.console_picture``: a suite at work, and pictures of its console."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kit.browser import facts
from tests.kit.client import COMMAND, free_port

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images"
SPEC = Path(__file__).resolve().parents[2] / "clients" / "cli" / "examples" / "momentum.yaml"
PASSWORD = "only for the pictures"
CHANGES = ("strategy.params.top=2", "strategy.params.lookback=252", "strategy.params.top=1")


def main() -> int:
    """Take the pictures in a home that is thrown away; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        environ = {**os.environ, "ALPHASWARM_HOME": f"{folder}/home", "ALPHASWARM_PORT": str(port)}

        def command(*words: str, stdin: str = "") -> None:
            subprocess.run(
                [COMMAND, *words], env=environ, input=stdin, text=True, check=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip

        command("demo")
        command("up", "--port", str(port))
        try:
            command("user", "passwd", stdin=f"{PASSWORD}\n{PASSWORD}\n")
            for change in CHANGES:
                command("run", str(SPEC), "--set", change, "--wait")
            arguments = (f"http://localhost:{port}", getpass.getuser(), PASSWORD, COMMAND)
            # the script calls the command, in this environment
            os.environ.update(environ)
            said = facts(
                "console_picture.mjs", *arguments, str(TARGET), folder=Path(folder), limit_s=400
            )
        finally:
            command("down")
    assert said["outside"] == [], said["outside"]
    print(*said["written"], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
