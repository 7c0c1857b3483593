"""Our processes do without pandas, although it is installed for others."""

from __future__ import annotations

import subprocess
import sys

READING = """
import sys
from lakehouse import scan
import pyarrow as pa
import pyiceberg.io.pyarrow
rows = scan.select("SELECT * FROM a", {"a": pa.table({"x": [1]})})
assert rows.to_pylist() == [{"x": 1}]
print("pandas" in sys.modules)
import pandas
print(pandas.__name__)
"""


def test_reading_the_lake_does_not_load_pandas_and_does_not_forbid_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READING], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "pandas"]
