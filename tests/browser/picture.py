"""``python -m tests.browser.picture``: run the demo and take the README's picture of its page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kit.browser import facts
from tests.kit.client import COMMAND

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images" / "tearsheet.png"


def main() -> int:
    """Take the picture in a home that is thrown away; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "ALPHASWARM_HOME": f"{folder}/home"}
        done = subprocess.run(
            [COMMAND, "demo", "--json"], env=environ, stdout=subprocess.PIPE, check=True
        )
        page = Path(json.loads(done.stdout)["tear_sheet"]).as_uri()
        said = facts("picture.mjs", page, str(TARGET), folder=Path(folder))
    assert said["outside"] == [], said["outside"]
    print(said["written"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
